// Guided policy search: one network taught by a linear-Gaussian controller for each start, which improve along
// trajectories that the network can follow.
//
//   repeat: roll out N episodes from each start s under p_s(u | x, t), or under the network
//           linearise the network around them: pi_s(u | x, t)                              (learners/local_policy.h)
//     C-step: p_s <- argmin_p E_p[cost]  subject to  KL(p(tau) || pi_s(tau)) <= epsilon    (learners/local_model.h)
//     S-step: theta <- argmin sum_s E_{x_t}[ KL(pi_theta(u | o_t) || p_s(u | x_t, t)) ] (learners/regression_learner.h)
//
// Mirror descent (`coupling: mirror_descent`): the C-step goes down in the space of controllers, the S-step projects
// onto what the network can do. Bregman ADMM (`badmm`): p_s stays near its own last, and multipliers and a growing
// weight of their divergence draw controllers and network together, in some alternations on one set of episodes
// (learners/admm_coupling.h).
// The controllers see the simulator's state and the time, the network what is observed (env.observe); it alone is
// evaluated and exported, and acts from other starts too. Source: Montgomery and Levine 2016 ("Guided policy search as
// approximate mirror descent", algorithm 1); Levine et al. 2016 ("End-to-end training of deep visuomotor policies") for
// Bregman ADMM; Levine and Abbeel 2014 for the controllers. Before the first C-step the network is fitted to the
// controllers as they begin.
//
// Not supported: tasks that end before their time limit, and those without a cost of states.
#ifndef REVERIE_ALGORITHMS_GPS_H_
#define REVERIE_ALGORITHMS_GPS_H_

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "reverie/algorithms/algorithm.h"
#include "reverie/env/env_config.h"
#include "reverie/learners/admm_coupling.h"
#include "reverie/learners/local_model.h"
#include "reverie/learners/local_policy.h"
#include "reverie/learners/regression_learner.h"
#include "reverie/policies/linear_gaussian_policy.h"
#include "reverie/rollout/collector.h"
#include "reverie/rollout/start_trajectories.h"
#include "reverie/run/run_config.h"

namespace reverie {

// Who acts in training; in the first iteration the controllers do.
enum class GpsSamples { kControllers, kNetwork };
std::vector<std::pair<std::string, GpsSamples>> EnumNames(GpsSamples);

enum class GpsCoupling { kMirrorDescent, kBadmm };
std::vector<std::pair<std::string, GpsCoupling>> EnumNames(GpsCoupling);

class Gps final : public Algorithm {
 public:
  struct Config {
    explicit Config(const EnvRegistry& envs);

    RunConfig run;
    EnvConfig env;
    int64_t rollouts = 5;
    GpsSamples samples = GpsSamples::kControllers;
    GpsCoupling coupling = GpsCoupling::kMirrorDescent;
    AdmmConfig badmm;
    LocalModelConfig local;
    RegressionConfig learner;

    void Visit(Fields& fields);
  };

  // The controllers are on the CPU, the network on the device.
  Gps(const Config& config, const torch::Device& device);

  void Train(RunContext& run) override;
  bool Rehearse() override { return false; }  // small matrices and networks, for which one thread is best
  const Policy& policy() const override { return learner_.actor(); }
  std::vector<std::filesystem::path> Export(const std::filesystem::path& torchscript) override;
  void VisitState(StateVisitor& state) override;

 private:
  std::optional<EpisodeStats> Step();
  void DescendMirror(RunContext& run);
  void AlternateDirections(RunContext& run);
  LinearGaussianController Linearised(size_t start);
  void TeachNetwork(RunContext& run);  // S-step
  // Of controller and network along the trajectories of a start, [N, T, m] float64.
  torch::Tensor ControllerMeans(size_t start) const;
  torch::Tensor NetworkMeans(size_t start) const;
  // What the controllers' mean actions earn, each from its own start.
  Metrics ReturnsOfControllers() const;
  // mu_theta, on the CPU.
  torch::Tensor MeanOf(const torch::Tensor& obs) const;

  Config config_;
  Rng rng_;
  Collector collector_;
  StartTrajectories trajectories_;       // of the present iteration
  std::vector<LocalModel> locals_;       // p_s
  std::vector<LocalPolicy> linearised_;  // pi_s
  std::vector<AdmmCoupling> couplings_;  // none of mirror descent
  LinearGaussianPolicy controllers_;     // all p_s as one policy
  RegressionLearner learner_;            // pi_theta
  // Of the network, [m, m] float64: that of the mean precision of what the last S-step taught.
  torch::Tensor covariance_;
  torch::Generator noise_;
  int64_t iterations_ = 0;
};

}  // namespace reverie

#endif  // REVERIE_ALGORITHMS_GPS_H_
