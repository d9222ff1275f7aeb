#include "reverie/learners/value_critics.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <tuple>

#include "reverie/nn/ensemble_mlp.h"

namespace reverie {
namespace {

constexpr double kLowQuantile = 0.01;
constexpr double kEpsilon = 1e-5;
// Where rewards are as good as constant, or rare, their quantiles are one number.
constexpr double kLeastWidth = 1;
// Critics out of which the least is taken.
constexpr int64_t kDrawnCritics = 2;

LayerNormMlpShape ValueCriticShape(const ValueCriticsConfig& config, const TransitionLayout& layout) {
  LayerNormMlpShape shape{.members = config.members,
                          .widths = Widths(layout.obs_dim + layout.act_dim, config.hidden, 1),
                          .epsilon = {0},
                          .dropout = std::vector<double>(config.hidden.size(), config.dropout)};
  shape.epsilon.insert(shape.epsilon.end(), config.hidden.size(), config.layer_norm ? kEpsilon : 0);
  shape.dropout.push_back(0);
  return shape;
}

}  // namespace

void ValueCriticsConfig::Visit(Fields& fields) {
  fields("members", members, "critics", AtLeast(1));
  fields("hidden", hidden, "widths of the critics' hidden layers", AtLeast(1));
  fields.Check([this] { return !hidden.empty(); }, "at least one hidden layer");
  fields("layer_norm", layer_norm, "normalise what goes into every layer but the first");
  fields("dropout", dropout, "share of a hidden layer's outputs dropped in training", Between(0, 0.9));
  fields("learning_rate", learning_rate, "Adam's step size, and how fast the bounds of the values follow the rewards",
         Above(0));
  fields("tau", tau, "share of the critics that the targets take over in each update", Between(0, 1));
}

ValueCritics::ValueCritics(const ValueCriticsConfig& config, const TransitionLayout& layout, double discount,
                           const Normalizer& normalizer, const Rng& rng, const torch::TensorOptions& options)
    : config_(config),
      discount_(discount),
      normalizer_(normalizer),
      parameters_(ValueCriticShape(config, layout).ParameterCount(), options),
      target_parameters_(ValueCriticShape(config, layout).ParameterCount(), options),
      mlp_(ValueCriticShape(config, layout), parameters_),
      target_mlp_(ValueCriticShape(config, layout), target_parameters_),
      adam_(parameters_, config.learning_rate),
      bounds_(torch::zeros({2}, options)),
      following_(torch::ones({}, options)) {
  torch::Generator generator = MakeGenerator(rng, options.device());
  mlp_.InitHeNormal(generator);
  mlp_.ZeroLastLayer();
  target_parameters_.values().copy_(parameters_.values());
}

torch::Tensor ValueCritics::Center() const { return (bounds_[1] + bounds_[0]) / 2; }

torch::Tensor ValueCritics::Width() const { return ((bounds_[1] - bounds_[0]) / 2).clamp_min(kLeastWidth); }

torch::Tensor ValueCritics::Scaled(const torch::Tensor& q) const { return q.squeeze(-1) * Width() + Center(); }

torch::Tensor ValueCritics::Q(const torch::Tensor& obs, const torch::Tensor& action, torch::Generator* dropout) const {
  const torch::Tensor input = torch::cat({normalizer_(obs), action}, 1);
  return Scaled(dropout != nullptr ? mlp_.Forward(input, *dropout) : mlp_.Forward(input));
}

torch::Tensor ValueCritics::TargetQ(const torch::Tensor& obs, const torch::Tensor& action,
                                    torch::Generator& generator) const {
  const torch::NoGradGuard no_grad;
  const torch::Tensor input = torch::cat({normalizer_(obs), action}, 1);
  const torch::Tensor q =
      Scaled(config_.members > kDrawnCritics ? Drawn(generator).Forward(input) : target_mlp_.Forward(input));
  return torch::clamp(q.amin(0), Center() - Width(), Center() + Width());
}

LayerNormMlp ValueCritics::Drawn(torch::Generator& generator) const {
  LayerNormMlpShape shape = target_mlp_.shape();
  std::vector<torch::Tensor> leaves = target_mlp_.leaves();
  const torch::Tensor order = torch::rand({config_.members}, generator, leaves[0].options()).argsort();
  shape.members = kDrawnCritics;
  for (torch::Tensor& leaf : leaves) {
    leaf = leaf.index_select(0, order.narrow(0, 0, kDrawnCritics));
  }
  return {shape, leaves};
}

void ValueCritics::FollowRewards(const torch::Tensor& rewards) {
  const torch::NoGradGuard no_grad;
  // Not at::quantile, which looks at its levels anew in each call.
  const torch::Tensor sorted = std::get<0>(rewards.flatten().sort());
  const auto quantile = [&](double level) {
    const double rank = level * static_cast<double>(sorted.size(0) - 1);
    const auto below = static_cast<int64_t>(rank);
    return torch::lerp(sorted[below], sorted[std::min(below + 1, sorted.size(0) - 1)],
                       rank - static_cast<double>(below));
  };
  const torch::Tensor reached = torch::stack({quantile(kLowQuantile), quantile(1 - kLowQuantile)}) / (1 - discount_);
  bounds_.lerp_(reached, following_);
  following_.fill_(config_.learning_rate);
}

ValueCritics::Update ValueCritics::Learn(const torch::Tensor& obs, const torch::Tensor& action, const torch::Tensor& y,
                                         torch::Generator& generator) {
  torch::Tensor q, loss;
  {
    const torch::AutoGradMode with_gradients(true);
    q = Q(obs, action, &generator);
    loss = (q - y).square().mean(1).sum();
    BackPropagate(loss, {&parameters_}, mlp_.leaves());
  }
  const torch::NoGradGuard no_grad;
  const torch::Tensor grad_norm = parameters_.grads().norm();
  adam_.StepWithTarget(target_parameters_, config_.tau);
  return {.loss = loss.detach() / config_.members,
          .q = q.detach().mean(),
          .spread = config_.members > 1 ? q.detach().std(0).mean() : torch::zeros_like(grad_norm),
          .grad_norm = grad_norm};
}

void ValueCritics::VisitState(StateVisitor& state) {
  state("critics", parameters_.values());
  state("targets", target_parameters_.values());
  state("adam", adam_);
  state("bounds", bounds_);
  state("following", following_);
}

}  // namespace reverie
