// The contract of a learned model of the dynamics.
//
// A model predicts a target y of D numbers for (s, a): the change of the observation or the next observation itself,
// then the reward where the model learns it. Observations are the environment's own, actions in [-1, 1].
#ifndef REVERIE_MODELS_DYNAMICS_MODEL_H_
#define REVERIE_MODELS_DYNAMICS_MODEL_H_

#include <functional>
#include <optional>

#include "reverie/core/metrics.h"
#include "reverie/core/rng.h"
#include "reverie/core/state.h"
#include "reverie/core/tensor.h"
#include "reverie/data/replay_buffer.h"

namespace reverie {

// The members' Gaussians at B points, in units of the target: mean, var [M, B, D] float32.
struct GaussianPrediction {
  torch::Tensor mean;
  torch::Tensor var;
};

enum class Members {
  kElites,  // those that predict
  kAll,     // every trained one
};

// Where B imagined transitions are written: tensors, or columns of packed rows.
struct ModelSample {
  torch::Tensor next_obs;  // [B, obs_dim]
  torch::Tensor reward;    // [B]; undefined where the model learns none
  torch::Tensor member;    // [B] int64: which elite was drawn, 0 ... elites - 1
};

class DynamicsModel {
 public:
  virtual ~DynamicsModel() = default;
  DynamicsModel() = default;
  DynamicsModel(const DynamicsModel&) = delete;
  DynamicsModel& operator=(const DynamicsModel&) = delete;

  // Fits to all of `data`, going on from the last fit. `rng` is this fit's own stream. Returns what is worth logging.
  // `stop` is asked after every minibatch: where it says yes, the model is as before the fit and nothing is returned.
  // Throws std::runtime_error where a loss is not finite.
  virtual std::optional<Metrics> Fit(const ReplayBuffer& data, const Rng& rng, const std::function<bool()>& stop) = 0;
  Metrics Fit(const ReplayBuffer& data, const Rng& rng) {
    return Fit(data, rng, [] { return false; }).value();
  }

  // A sample of one elite's Gaussian for each row: obs [B, obs_dim], action [B, act_dim] float32, both whole or columns
  // of packed rows. deal [B] int64, a permutation of the rows: in its order they are dealt to the elites in consecutive
  // shares of ceil(B / elites), so a random one makes each row's elite uniform. Without gradients.
  virtual void Sample(const torch::Tensor& obs, const torch::Tensor& action, const torch::Tensor& deal,
                      torch::Generator& generator, ModelSample& sample) const = 0;

  // Every member's Gaussian at (obs, action). Differentiable in both unless the caller holds a NoGradGuard.
  virtual GaussianPrediction Predict(const torch::Tensor& obs, const torch::Tensor& action, Members members) const = 0;

  // A sample of a random elite's Gaussian for each row, from those already at hand: prediction of Members::kElites at
  // (obs, action).
  virtual void SampleFrom(const GaussianPrediction& prediction, const torch::Tensor& obs, torch::Generator& generator,
                          ModelSample& sample) const = 0;

  // The observation and reward that a target [..., B, D] stands for, at obs [B, obs_dim].
  virtual torch::Tensor DecodeObs(const torch::Tensor& target, const torch::Tensor& obs) const = 0;

  // Standard deviation of the training targets, [D]: puts their dimensions on one scale. 0 where a target did not vary,
  // which is then predicted exactly, with variance 0.
  virtual const torch::Tensor& target_std() const = 0;

  // Elites among the members, [elites] int64, best first.
  virtual const torch::Tensor& elites() const = 0;

  // The rows that the last fit held out.
  virtual const TransitionBatch& holdout() const = 0;

  virtual bool learns_reward() const = 0;

  virtual void VisitState(StateVisitor& state) = 0;
};

// The elites' part of what `members` predicted.
inline GaussianPrediction ElitesOf(const DynamicsModel& model, const GaussianPrediction& prediction, Members members) {
  if (members == Members::kElites) {
    return prediction;
  }
  return {.mean = prediction.mean.index_select(0, model.elites()),
          .var = prediction.var.index_select(0, model.elites())};
}

}  // namespace reverie

#endif  // REVERIE_MODELS_DYNAMICS_MODEL_H_
