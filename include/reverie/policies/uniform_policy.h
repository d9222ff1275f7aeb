// Uniform actions: what collects the first data.
#ifndef REVERIE_POLICIES_UNIFORM_POLICY_H_
#define REVERIE_POLICIES_UNIFORM_POLICY_H_

#include "reverie/policies/policy.h"

namespace reverie {

class UniformPolicy final : public Policy {
 public:
  UniformPolicy(int64_t act_dim, const torch::Device& device) : act_dim_(act_dim), device_(device) {}

  // Uniform in [-1, 1] (kSample), or 0 (kMean).
  torch::Tensor Act(const ActInput& input, PolicyMemory*, ActMode mode, torch::Generator& generator) const override {
    const at::TensorOptions options = torch::dtype(torch::kFloat32).device(device_);
    if (mode == ActMode::kMean) {
      return torch::zeros({input.obs.size(0), act_dim_}, options);
    }
    return torch::rand({input.obs.size(0), act_dim_}, generator, options).mul_(2).sub_(1);
  }
  torch::Device device() const override { return device_; }

 private:
  int64_t act_dim_;
  torch::Device device_;
};

}  // namespace reverie

#endif  // REVERIE_POLICIES_UNIFORM_POLICY_H_
