#include "reverie/learners/value_expansion.h"

#include <ATen/ATen.h>

#include <cmath>

namespace reverie {
namespace {

// STEVE's: estimates that all agree have a variance of 0.
constexpr double kLeastVariance = 1e-8;

// w_h for h = 0 ... H.
std::vector<double> FixedWeights(const ValueExpansionConfig& config) {
  const int64_t horizon = config.horizon;
  std::vector<double> weights(static_cast<size_t>(horizon) + 1, 0);
  if (config.weights == ExpansionWeights::kMean) {
    weights.assign(weights.size(), 1 / static_cast<double>(horizon + 1));
    return weights;
  }
  const double lambda = config.weights == ExpansionWeights::kLambda ? config.lambda : 1;
  double rest = 1;
  for (int64_t h = 0; h < horizon; ++h) {
    weights[static_cast<size_t>(h)] = (1 - lambda) * rest;
    rest *= lambda;
  }
  weights.back() = rest;
  return weights;
}

}  // namespace

std::vector<std::pair<std::string, ExpansionWeights>> EnumNames(ExpansionWeights) {
  return {{"last", ExpansionWeights::kLast},
          {"mean", ExpansionWeights::kMean},
          {"lambda", ExpansionWeights::kLambda},
          {"inverse_variance", ExpansionWeights::kInverseVariance}};
}

void ValueExpansionConfig::Visit(Fields& fields) {
  fields("horizon", horizon, "imagined steps that the critics' targets are expanded by (H); 0: none", AtLeast(0));
  fields.When({.key = "sac.expansion.horizon", .wanted = "above 0", .holds = [this] { return horizon > 0; }}, [&] {
    fields("weights", weights,
           "how the targets T_0 to T_H of 0 to H steps are weighted: last is T_H alone (MVE), mean all alike, lambda "
           "(1 - lambda) lambda^h with the rest on T_H, inverse_variance by how much hypotheses and critics agree "
           "(STEVE)");
    fields.When({.key = "sac.expansion.weights",
                 .wanted = "lambda",
                 .holds = [this] { return weights == ExpansionWeights::kLambda; }},
                [&] { fields("lambda", lambda, "lambda in (1 - lambda) lambda^h", Between(0, 1)); });
  });
}

ValueExpansion::ValueExpansion(const ValueExpansionConfig& config, const ModelEnv& model_env, double discount,
                               const torch::Device& device)
    : config_(config), model_env_(model_env), discount_(discount) {
  if (!by_variance()) {
    weights_ = torch::tensor(FixedWeights(config)).to(device, torch::kFloat32).unsqueeze(1);
  }
}

ValueExpansion::Draws ValueExpansion::Draw(const torch::Tensor& next_noise, torch::Generator& generator) const {
  const DynamicsModel& model = model_env_.model();
  const int64_t rows = next_noise.size(0);
  Draws draws{.policy = {next_noise}, .model = {}};
  for (int64_t t = 0; t < config_.horizon; ++t) {
    if (by_variance()) {
      // In order: each hypothesis computes all rows, and keeps them from step to step.
      const int64_t copies = Trajectories();
      StepDraws step{.deal = torch::arange(copies * rows, model.hypotheses().options()), .noise = {}};
      if (model.noise_dim() > 0) {
        step.noise = torch::randn({rows, model.noise_dim()}, generator, next_noise.options()).repeat({copies, 1});
      }
      draws.model.push_back(step);
    } else {
      draws.model.push_back(DrawStep(model, rows, generator));
    }
    draws.policy.push_back(torch::randn(next_noise.sizes(), generator, next_noise.options()));
  }
  return draws;
}

torch::Tensor ValueExpansion::Target(const TransitionBatch& batch, const GaussianActor& actor,
                                     const EnsembleMlp& target_critics, const torch::Tensor& alpha,
                                     const Draws& draws) const {
  return Combine(Estimates(batch, actor, target_critics, alpha, draws));
}

torch::Tensor ValueExpansion::Estimates(const TransitionBatch& batch, const GaussianActor& actor,
                                        const EnsembleMlp& target_critics, const torch::Tensor& alpha,
                                        const Draws& draws) const {
  const torch::NoGradGuard no_grad;
  const int64_t rows = batch.size();
  const int64_t copies = Trajectories();
  TransitionBatch step = TransitionBatch::Empty(batch.layout, copies * rows, batch.rows.device());
  step.obs().copy_(batch.next_obs().repeat({copies, 1}));
  // Of each trajectory: the rewards so far, g^{t+1} m_t, and whether all its steps were finite.
  torch::Tensor earned = batch.reward().repeat({copies});
  torch::Tensor discount_alive = (discount_ * (1 - batch.terminated())).repeat({copies});
  torch::Tensor finite = torch::ones_like(earned, earned.options().dtype(torch::kBool));
  std::vector<torch::Tensor> estimates;  // H + 1 of [C, copies B], C: 1, or the critics
  for (int64_t h = 0; h <= config_.horizon; ++h) {
    const ActionSample sample = actor.Sample(step.obs(), draws.policy[static_cast<size_t>(h)].repeat({copies, 1}));
    step.action().copy_(sample.action);
    earned = earned - discount_alive * alpha * sample.log_prob;
    torch::Tensor q = target_critics.Infer(step.obs_action()).squeeze(2);
    if (!by_variance()) {
      q = q.amin(0, /*keepdim=*/true);
    }
    const torch::Tensor estimate = earned + discount_alive * q;
    estimates.push_back(h == 0 ? estimate : torch::where(finite, estimate, estimates.back()));
    if (h == config_.horizon) {
      break;
    }
    const ImaginedStep imagined = model_env_.Step(step, draws.model[static_cast<size_t>(h)]);
    finite = finite.logical_and(imagined.finite);
    earned = earned + discount_alive * step.reward();
    discount_alive = discount_ * discount_alive * imagined.terminated.logical_not();
    // Trajectories that ended stay where they were.
    const torch::Tensor goes_on = imagined.finite.logical_and(discount_alive > 0);
    step.obs().copy_(torch::where(goes_on.unsqueeze(1), step.next_obs(), step.obs()));
  }
  return torch::stack(estimates).view({config_.horizon + 1, -1, rows});
}

torch::Tensor ValueExpansion::Combine(const torch::Tensor& estimates) const {
  const torch::Tensor means = estimates.mean(1);  // [H + 1, B]
  if (!by_variance()) {
    return (weights_ * means).sum(0);
  }
  const torch::Tensor precision = (estimates.var(1, /*unbiased=*/false) + kLeastVariance).reciprocal();
  return (precision * means).sum(0) / precision.sum(0);
}

}  // namespace reverie
