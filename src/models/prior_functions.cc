#include "reverie/models/prior_functions.h"

#include <cmath>

namespace reverie {

PriorFunctions::PriorFunctions(const MlpShape& shape, double scale, const Rng& rng, const torch::Device& device)
    : scale_(scale), parameters_(shape.ParameterCount(), device), mlp_(shape, parameters_) {
  const torch::NoGradGuard no_grad;
  torch::Generator generator = MakeGenerator(rng, device);
  for (const torch::Tensor& weight : mlp_.weights()) {
    weight.normal_(0, std::sqrt(2 / static_cast<double>(weight.size(1))), generator);
  }
}

torch::Tensor PriorFunctions::operator()(const torch::Tensor& z) const {
  return torch::GradMode::is_enabled() ? mlp_.Forward(z) * scale_ : mlp_.Infer(z).mul_(scale_);
}

}  // namespace reverie
