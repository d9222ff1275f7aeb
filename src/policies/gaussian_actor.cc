#include "reverie/policies/gaussian_actor.h"

#include <ATen/ATen.h>

#include <stdexcept>
#include <utility>

#include "reverie/core/state.h"
#include "reverie/env/action_bounds.h"

namespace reverie {
namespace {

// Observations that an export is held against the live actor on.
constexpr int64_t kExportRows = 1000;

// How near to the bounds an action is taken to lie at most where its noise is asked for.
constexpr double kBoundary = 1e-6;

MlpShape ActorMlpShape(int64_t obs_dim, int64_t act_dim, const ActorShape& actor) {
  return {.members = 1,
          .widths = Widths(obs_dim, actor.hidden, actor.std == ActorStd::kNone ? act_dim : 2 * act_dim),
          .activation = actor.activation};
}

// The standard deviation's logarithm, differentiable.
torch::Tensor LogStd(const torch::Tensor& raw, ActorStd std) {
  return std == ActorStd::kSoftplus ? torch::log(at::softplus(raw) + kLeastStd) : raw.clamp(kLogStdMin, kLogStdMax);
}

// An MLP of SiLUs as one with nothing to normalise and to drop.
LayerNormMlpShape WithoutNorms(const MlpShape& shape) {
  const auto layers = static_cast<size_t>(shape.layers());
  return {.members = shape.members,
          .widths = shape.widths,
          .epsilon = std::vector<double>(layers, 0),
          .dropout = std::vector<double>(layers, 0)};
}

}  // namespace

GaussianActor::GaussianActor(int64_t obs_dim, int64_t act_dim, const ActorShape& shape, const Rng& rng,
                             const torch::TensorOptions& options, std::optional<Normalizer> normalizer)
    : act_dim_(act_dim),
      shape_(shape),
      normalizer_(std::move(normalizer)),
      parameters_(ActorMlpShape(obs_dim, act_dim, shape).ParameterCount(), options),
      mlp_(ActorMlpShape(obs_dim, act_dim, shape), parameters_) {
  torch::Generator generator = MakeGenerator(rng, options.device());
  shape.orthogonal ? mlp_.InitOrthogonal(generator) : mlp_.InitXavierUniform(generator);
  for (size_t l = 0; l < mlp_.weights().size(); ++l) {
    weight_leaves_.push_back(FlatParameters::View{mlp_.weights()[l], mlp_.weight_grads()[l]}.Leaf());
    bias_leaves_.push_back(FlatParameters::View{mlp_.biases()[l], mlp_.bias_grads()[l]}.Leaf());
    leaves_.insert(leaves_.end(), {weight_leaves_.back(), bias_leaves_.back()});
  }
  if (shape.activation == Activation::kSilu) {
    silu_mlp_.emplace(WithoutNorms(mlp_.shape()), leaves_);
  }
}

torch::Tensor GaussianActor::Act(const ActInput& input, PolicyMemory*, ActMode mode,
                                 torch::Generator& generator) const {
  const torch::NoGradGuard no_grad;
  const torch::Tensor obs = Seen(input.obs);
  const torch::Tensor head = mlp_.Infer(obs)[0];
  if (mode == ActMode::kMean) {
    return torch::tanh(head.slice(1, 0, act_dim_));
  }
  const torch::Tensor noise = torch::randn({obs.size(0), act_dim_}, generator, obs.options());
  if (shape_.std == ActorStd::kNone) {
    return torch::clamp(torch::tanh(head) + shape_.exploration_std * noise, -1, 1);
  }
  const torch::Tensor std = LogStd(head.slice(1, act_dim_, 2 * act_dim_), shape_.std).exp_();
  return torch::tanh(head.slice(1, 0, act_dim_) + std * noise);
}

torch::Tensor GaussianActor::Head(const torch::Tensor& obs) const {
  const torch::Tensor seen = Seen(obs);
  return (silu_mlp_ ? silu_mlp_->Forward(seen) : MlpForward(seen, weight_leaves_, bias_leaves_, shape_.activation))[0];
}

ActionSample GaussianActor::Sample(const torch::Tensor& obs, const torch::Tensor& noise) const {
  const torch::Tensor head = Head(obs);
  if (shape_.std == ActorStd::kNone) {
    return {.action = torch::tanh(head), .log_prob = torch::zeros_like(head.detach().select(1, 0))};
  }
  const torch::Tensor mean = head.slice(1, 0, act_dim_);
  const torch::Tensor log_std = LogStd(head.slice(1, act_dim_), shape_.std);
  const torch::Tensor u = mean + torch::exp(log_std) * noise;
  return {.action = torch::tanh(u), .log_prob = SquashedLogProb(mean, log_std, u)};
}

torch::Tensor GaussianActor::NoiseOf(const torch::Tensor& obs, const torch::Tensor& action) const {
  if (shape_.std == ActorStd::kNone) {
    throw std::logic_error("GaussianActor: a deterministic actor has no noise");
  }
  const torch::NoGradGuard no_grad;
  const torch::Tensor head = Head(obs);
  const torch::Tensor u = torch::atanh(action.clamp(-1 + kBoundary, 1 - kBoundary));
  return (u - head.slice(1, 0, act_dim_)) * torch::exp(-LogStd(head.slice(1, act_dim_), shape_.std));
}

FrozenPolicy FreezeActor(const GaussianActor& actor, const EnvSpec& spec, const EnvConfig& env) {
  const EnsembleMlp& mlp = actor.mlp();
  const auto host = [](const torch::Tensor& tensor) { return tensor.detach().to(torch::kCPU).contiguous().clone(); };
  FrozenPolicy frozen{.env_id = env.id,
                      .env_options = EnvOptionsOf(env.maker.options()),
                      .obs_mean = torch::zeros({spec.obs_dim()}),
                      .obs_std = torch::ones({spec.obs_dim()}),
                      .action_low = spec.action_low,
                      .action_high = spec.action_high};
  if (ObserveConfig observe = env.observe; !observe.changes_nothing()) {
    for (auto& [name, value] : EnvOptionsOf(Fields::Of(observe))) {
      frozen.env_options.emplace_back("observe." + name, std::move(value));
    }
  }
  if (const std::optional<Normalizer>& normalizer = actor.normalizer()) {
    frozen.obs_mean = host(normalizer->mean());
    frozen.obs_std = host(normalizer->std());
  }
  const auto last = static_cast<size_t>(mlp.shape().layers() - 1);
  const char* const hidden = mlp.shape().activation == Activation::kSilu ? "silu" : "relu";
  for (size_t l = 0; l <= last; ++l) {
    torch::Tensor weight = mlp.weights()[l][0].t();
    torch::Tensor bias = mlp.biases()[l][0][0];
    if (l == last && actor.shape().std != ActorStd::kNone) {
      const torch::Tensor head_weight = host(weight.slice(0, actor.act_dim()));
      const torch::Tensor head_bias = host(bias.slice(0, actor.act_dim()));
      if (actor.shape().std == ActorStd::kSoftplus) {
        frozen.std_head = FrozenStdHead{.weight = head_weight, .bias = head_bias, .least = kLeastStd};
      } else {
        frozen.log_std =
            FrozenLogStdHead{.weight = head_weight, .bias = head_bias, .low = kLogStdMin, .high = kLogStdMax};
      }
      weight = weight.slice(0, 0, actor.act_dim());
      bias = bias.slice(0, 0, actor.act_dim());
    }
    frozen.layers.push_back({host(weight), host(bias), l == last ? "tanh" : hidden});
  }
  return frozen;
}

std::vector<std::filesystem::path> ExportActor(GaussianActor& actor, const EnvSpec& spec, const EnvConfig& env,
                                               const std::filesystem::path& torchscript) {
  const torch::NoGradGuard no_grad;
  const FrozenPolicy frozen = FreezeActor(actor, spec, env);
  torch::Generator generator = MakeGenerator(Rng(0).Split("export"), torch::kCPU);
  const torch::Tensor obs = torch::randn({kExportRows, spec.obs_dim()}, generator);
  const BatchedActionBounds bounds(spec.action_low, spec.action_high, torch::kFloat64);
  torch::Generator unused = MakeGenerator(Rng(0), actor.device());
  std::filesystem::path json = torchscript;
  json.replace_extension(".json");
  const torch::Tensor actions = actor.Act({.obs = obs.to(actor.device())}, nullptr, ActMode::kMean, unused);
  // In float64 by the pass that autograd differentiates, which shares nothing with the files.
  const torch::Tensor exact_obs = obs.to(actor.device(), torch::kFloat64);
  const torch::Tensor exact_head =
      actor.mlp().Forward(actor.normalizer() ? (*actor.normalizer())(exact_obs) : exact_obs)[0];
  const torch::Tensor exact_actions = torch::tanh(exact_head.slice(1, 0, actor.act_dim()));
  const auto in_bounds = [&](const torch::Tensor& action) {
    return bounds.ToEnvAction(action.to(torch::kCPU, torch::kFloat64));
  };
  ExportPolicy(frozen, {.obs = obs, .actions = in_bounds(actions), .exact_actions = in_bounds(exact_actions)},
               torchscript, json);
  return {torchscript, json};
}

}  // namespace reverie
