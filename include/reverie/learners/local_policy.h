// A network as it acts around the trajectories of one start: a linear-Gaussian controller that acts like it.
//
//   pi(u | x, t) ~ N(K_t x + k_t, S_t),   fitted to rows [x_t; mu_theta(o_t)] of the trajectories
//                                         (FitLinearController, control/local_dynamics.h)
//
// with the prior of a local model, of which the rows are those of the last trajectories: the states and observations
// are kept, and the network is asked anew what it would do there. Source: Montgomery and Levine 2016 (guided policy
// search as approximate mirror descent), section 4.
#ifndef REVERIE_LEARNERS_LOCAL_POLICY_H_
#define REVERIE_LEARNERS_LOCAL_POLICY_H_

#include <functional>

#include "reverie/control/gaussian_mixture.h"
#include "reverie/control/linear_gaussian.h"
#include "reverie/learners/local_model.h"

namespace reverie {

class LocalPolicy {
 public:
  // mu_theta: observations [B, obs_dim] float32 on the CPU to actions [B, m], without gradients.
  using Mean = std::function<torch::Tensor(const torch::Tensor& obs)>;

  // Reads the prior's options.
  LocalPolicy(const LocalModelConfig& config, const Rng& rng);

  // What it is linearised around from now on: states [N, T + 1, n], obs [N, T, obs_dim].
  void Remember(const torch::Tensor& states, const torch::Tensor& obs);
  // `covariance` [m, m] float64 is the network's own noise. Throws what FitLinearController does.
  LinearGaussianController Linearise(const Mean& mean, const torch::Tensor& covariance);

  void VisitState(StateVisitor& state);

 private:
  LocalModelConfig config_;
  torch::Generator generator_;
  GaussianMixture mixture_;
  torch::Tensor states_, obs_;  // of the last trajectories, as above; empty before there are any
  int64_t newest_ = 0;          // N, of them
};

}  // namespace reverie

#endif  // REVERIE_LEARNERS_LOCAL_POLICY_H_
