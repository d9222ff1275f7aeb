#include "reverie/learners/admm_coupling.h"

namespace reverie {
namespace {

constexpr double kMostChange = 1e4;

}  // namespace

void AdmmConfig::Visit(Fields& fields) {
  fields("inner_iterations", inner_iterations, "alternations of controllers and network on one set of episodes",
         AtLeast(1));
  fields("weight", weight, "first weight of the divergence between a controller and the network (nu)", Above(0));
  fields("dual_rate", dual_rate, "rate of the multipliers' steps", AtLeast(0));
}

AdmmCoupling::AdmmCoupling(const AdmmConfig& config, int64_t horizon, int64_t controls)
    : dual_rate_(config.dual_rate),
      first_weight_(config.weight),
      weights_(torch::full({horizon}, config.weight, torch::kFloat64)),
      duals_(torch::zeros({horizon, controls}, torch::kFloat64)) {}

torch::Tensor AdmmCoupling::Targets(const torch::Tensor& mean, const torch::Tensor& precision) const {
  return mean + torch::linalg_solve(weights_.view({-1, 1, 1}) * precision, duals_.unsqueeze(2)).squeeze(2);
}

void AdmmCoupling::StepDuals(const torch::Tensor& controller, const torch::Tensor& network,
                             const torch::Tensor& precision) {
  const torch::Tensor apart = (controller - network).mean(0).unsqueeze(2);  // [T, m, 1]
  duals_.add_(torch::matmul(weights_.view({-1, 1, 1}) * precision, apart).squeeze(2), dual_rate_);
}

void AdmmCoupling::AdaptWeights(const torch::Tensor& divergence) {
  const torch::Tensor mean = divergence.mean();
  const torch::Tensor std = divergence.std(/*unbiased=*/false);
  weights_.mul_(torch::where(divergence < mean - std, 0.5, 1.0));
  weights_.mul_(torch::where(divergence > mean + 0.5 * std, 2.0, 1.0));
  weights_.clamp_(first_weight_ / kMostChange, first_weight_ * kMostChange);
}

void AdmmCoupling::VisitState(StateVisitor& state) {
  state("weights", weights_);
  state("duals", duals_);
}

}  // namespace reverie
