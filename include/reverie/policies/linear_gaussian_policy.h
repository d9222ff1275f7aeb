// Time-varying linear-Gaussian controllers of the simulator's state as a policy, one for each state that episodes begin
// in.
//
//   u_t = clip(K_t x_t + k_t + eps),   eps ~ N(0, Sigma_t), or 0 with the mean action       in [-1, 1]
//
// x is Env::GetState() and t Env::elapsed_steps(): both are read from the environment that it acts in, and without one
// Act throws. An episode is given to the controller whose first state is nearest to its own. After a controller's last
// step that step's is repeated.
//
// With noise_smoothing s > 0 the eps of an episode are drawn as it begins and smoothed over time (SmoothedNoise), which
// takes a body further than noise that changes its mind at every step. Source: the authors' code of guided policy
// search (Levine and Abbeel 2014), with s = 2.
#ifndef REVERIE_POLICIES_LINEAR_GAUSSIAN_POLICY_H_
#define REVERIE_POLICIES_LINEAR_GAUSSIAN_POLICY_H_

#include <functional>
#include <memory>
#include <vector>

#include "reverie/control/linear_gaussian.h"
#include "reverie/policies/policy.h"

namespace reverie {

// noise [T, m], each column filtered by a Gaussian of `deviation` > 0 steps, cut off at four of them, beyond both ends
// as if mirrored there, and then divided by its own standard deviation over the T steps.
torch::Tensor SmoothedNoise(const torch::Tensor& noise, double deviation);

class LinearGaussianPolicy final : public Policy {
 public:
  // One controller for each of `starts`, in their order; asked for at every action, so that they may change.
  using ControllerOf = std::function<const LinearGaussianController&(size_t start)>;

  LinearGaussianPolicy(Env::States starts, ControllerOf controller_of, double noise_smoothing = 0);

  // Which controller has each row's episode, and its noise where that is smoothed. Without a memory it is not.
  std::unique_ptr<PolicyMemory> NewMemory(int64_t rows) const override;

  // Throws std::invalid_argument without environments.
  torch::Tensor Act(const ActInput& input, PolicyMemory* memory, ActMode mode,
                    torch::Generator& generator) const override;
  torch::Device device() const override { return torch::kCPU; }

  size_t NearestTo(const std::vector<double>& state) const;

 private:
  class Memory;

  Env::States starts_;
  ControllerOf controller_of_;
  double noise_smoothing_;
};

}  // namespace reverie

#endif  // REVERIE_POLICIES_LINEAR_GAUSSIAN_POLICY_H_
