// Policy learning by an adaptive teacher: it acts as the expert would, but no more unlike the network than that is
// worth.
//
//   iteration i: act for some episodes, at each step by
//       pi_lambda = argmin over pi of  E[Q] - H(pi) + lambda KL(pi || network)        (control/adaptive_teacher.h)
//     label every state with the expert's action, as sure as its Q_uu makes it; fit the network to all labels so far
//
// Source: Kahn, Zhang, Levine and Abbeel 2017 (PLATO). States come to be those that the network would lead to, as with
// DAgger, but the network itself never acts: its mistakes cost nothing in training. In the first iteration the expert
// acts. The same lambda adapts by itself, as the divergence grows where the network is wrong in what the cost is
// indifferent to; lambda_growth raises it as the network learns. The teacher acts by its mean. It sees the simulator's
// state, the network what is observed (env.observe).
#ifndef REVERIE_ALGORITHMS_PLATO_H_
#define REVERIE_ALGORITHMS_PLATO_H_

#include <filesystem>
#include <vector>

#include "reverie/algorithms/algorithm.h"
#include "reverie/algorithms/lessons.h"
#include "reverie/env/env_config.h"
#include "reverie/learners/regression_learner.h"
#include "reverie/planning/expert.h"
#include "reverie/rollout/collector.h"
#include "reverie/run/run_config.h"

namespace reverie {

class Plato final : public Algorithm {
 public:
  struct Config {
    explicit Config(const EnvRegistry& envs);

    RunConfig run;
    EnvConfig env;
    ExpertConfig expert;
    double lambda = 1;
    double lambda_growth = 1;
    LessonsConfig lessons;
    RegressionConfig learner;

    void Visit(Fields& fields);
  };

  Plato(const Config& config, const torch::Device& device);

  void Train(RunContext& run) override;
  bool Rehearse() override { return false; }  // small networks and an expert on one thread
  const Policy& policy() const override { return learner_.actor(); }
  std::vector<std::filesystem::path> Export(const std::filesystem::path& torchscript) override;
  void VisitState(StateVisitor& state) override;

 private:
  // [1, m] float32, in the state of the collector's environment.
  torch::Tensor TaughtAction(const Advice& label);

  Config config_;
  Rng rng_;
  Collector collector_;
  Expert expert_;
  RegressionLearner learner_;
  Lessons lessons_;
  double lambda_;
  double last_loss_ = 0;           // of a fit
  torch::Tensor pupil_precision_;  // of the last fit's labels
};

}  // namespace reverie

#endif  // REVERIE_ALGORITHMS_PLATO_H_
