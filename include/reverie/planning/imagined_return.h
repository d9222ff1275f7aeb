// The return of action sequences as a learned model imagines it.
//
//   J(a_1 ... a_H) = 1/N sum_n sum_t r(s_t^n, a_t, s_{t+1}^n)      from one state, s_1^n = s, N particles
//
// After a particle ends (by the task, or by an uncertainty over the threshold) it earns nothing more. One particle that
// meets a number that is not finite makes its candidate -infinity. What else the uncertainty does to a reward is config
// (models/uncertainty_use.h).
//
// How particles move on, with M hypotheses of the model, an ensemble's being its elites (Chua et al. 2018, section 5
// and appendix):
//   ts1      every particle draws a hypothesis anew for every step, and a sample of its Gaussian
//   tsinf    particle n keeps hypothesis floor(n M / N)
//   ds       the next states of a candidate's particles are drawn from one Gaussian, with the mean and variance of
//            those that all hypotheses give all of them
//   e        the mean of the hypotheses' means
#ifndef REVERIE_PLANNING_IMAGINED_RETURN_H_
#define REVERIE_PLANNING_IMAGINED_RETURN_H_

#include <string>
#include <utility>
#include <vector>

#include "reverie/config/fields.h"
#include "reverie/models/model_env.h"
#include "reverie/models/uncertainty_use.h"

namespace reverie {

enum class Propagation { kTs1, kTsInf, kDs, kE };
std::vector<std::pair<std::string, Propagation>> EnumNames(Propagation);

struct PropagationConfig {
  Propagation kind = Propagation::kTsInf;
  int64_t particles = 20;  // N

  void Visit(Fields& fields);

  // What is wrong with it for such a model, or "": for Fields::Check.
  std::string MisfitOf(const ModelCard& card) const;
};

class ImaginedReturn {
 public:
  // Rows imagined at once on the CPU: their activations stay in cache. On a GPU all go at once.
  static constexpr int64_t kCpuRows = 8192;

  // Borrows the model, which must outlive this. Throws std::logic_error where the propagation does not fit the
  // hypotheses, or the uncertainty is to weight rows, of which there are none here.
  ImaginedReturn(const ModelEnv& model_env, const PropagationConfig& propagation, const UncertaintyConfig& uncertainty);

  // J [P] of actions [P, H, A] in [-1, 1] from obs [obs_dim], all float32 on the model's device. With gradients by the
  // actions where gradients are recorded. Nothing is copied to the host. Cost: H N P forward passes of one network;
  // of all hypotheses where gradients, ds, e or the uncertainty want them.
  torch::Tensor Score(const torch::Tensor& obs, const torch::Tensor& actions, torch::Generator& generator) const;

  // What is not finite first when the model imagines a plan [H, A] from obs [obs_dim], as MpcPolicy::Diagnosis wants
  // it. Each particle's hypotheses are drawn as under ts1, whatever the propagation.
  std::string WhatIsNotFinite(const torch::Tensor& obs, const torch::Tensor& plan, torch::Generator& generator) const;

  // Call after each fit (UncertaintyRule).
  void UpdateThreshold(torch::Generator& generator) { uncertainty_.UpdateThreshold(model_env_.model(), generator); }

  void VisitState(StateVisitor& state) { uncertainty_.VisitState(state); }

 private:
  // Every step of N P particles, those after an end too; column n P + p is particle n of candidate p.
  struct Steps {
    torch::Tensor reward;  // [H, N P]
    torch::Tensor finite;  // [H, N P] bool: the step met no number that is not finite
    torch::Tensor ended;   // [H, N P] bool: the step is an end
  };
  torch::Tensor MeanReturn(const Steps& steps) const;  // J [P]
  // Each thread imagines its own candidates from beginning to end, with draws of its own, so that none waits for
  // another between two steps. How many there are decides who gets which draws.
  torch::Tensor ScoreOnThreads(const torch::Tensor& obs, const torch::Tensor& actions,
                               torch::Generator& generator) const;
  // By a step of one hypothesis for each row.
  Steps RollSampled(const torch::Tensor& obs, const torch::Tensor& actions, torch::Generator& generator) const;
  // By the predictions of all: differentiable, and every propagation.
  Steps RollPredicted(const torch::Tensor& obs, const torch::Tensor& actions, torch::Generator& generator) const;
  // The particles' next observation, and reward where it is learned, [N P, D], from all hypotheses' mean, var [M, N P,
  // D] of them. hypothesis [N P] int64: the one that moves each particle under ts1 and tsinf.
  torch::Tensor Moved(const GaussianPrediction& next, const torch::Tensor& hypothesis,
                      torch::Generator& generator) const;

  const ModelEnv& model_env_;
  PropagationConfig propagation_;
  UncertaintyRule uncertainty_;
};

}  // namespace reverie

#endif  // REVERIE_PLANNING_IMAGINED_RETURN_H_
