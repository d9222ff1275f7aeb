#include "reverie/policies/gaussian_actor.h"

#include "reverie/core/state.h"
#include "reverie/env/action_bounds.h"

namespace reverie {
namespace {

// Observations that an export is held against the live actor on.
constexpr int64_t kExportRows = 1000;

MlpShape ActorShape(int64_t obs_dim, int64_t act_dim, const std::vector<int64_t>& hidden) {
  MlpShape shape{.members = 1, .widths = {obs_dim}, .activation = Activation::kRelu};
  shape.widths.insert(shape.widths.end(), hidden.begin(), hidden.end());
  shape.widths.push_back(2 * act_dim);
  return shape;
}

}  // namespace

GaussianActor::GaussianActor(int64_t obs_dim, int64_t act_dim, const std::vector<int64_t>& hidden, const Rng& rng,
                             const torch::Device& device)
    : act_dim_(act_dim),
      parameters_(ActorShape(obs_dim, act_dim, hidden).ParameterCount(), device),
      mlp_(ActorShape(obs_dim, act_dim, hidden), parameters_) {
  torch::Generator generator = MakeGenerator(rng, device);
  mlp_.InitXavierUniform(generator);
}

torch::Tensor GaussianActor::Act(const ActInput& input, PolicyMemory*, ActMode mode,
                                 torch::Generator& generator) const {
  const torch::NoGradGuard no_grad;
  const torch::Tensor& obs = input.obs;
  const torch::Tensor head = mlp_.Infer(obs)[0];
  if (mode == ActMode::kMean) {
    return torch::tanh(head.slice(1, 0, act_dim_));
  }
  const torch::Tensor noise = torch::randn({obs.size(0), act_dim_}, generator, obs.options());
  const torch::Tensor std = head.slice(1, act_dim_, 2 * act_dim_).clamp(kLogStdMin, kLogStdMax).exp_();
  return torch::tanh(head.slice(1, 0, act_dim_) + std * noise);
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
  const auto last = static_cast<size_t>(mlp.shape().layers() - 1);
  for (size_t l = 0; l <= last; ++l) {
    torch::Tensor weight = mlp.weights()[l][0].t();
    torch::Tensor bias = mlp.biases()[l][0][0];
    if (l == last) {
      frozen.log_std = FrozenLogStdHead{.weight = host(weight.slice(0, actor.act_dim())),
                                        .bias = host(bias.slice(0, actor.act_dim())),
                                        .low = kLogStdMin,
                                        .high = kLogStdMax};
      weight = weight.slice(0, 0, actor.act_dim());
      bias = bias.slice(0, 0, actor.act_dim());
    }
    frozen.layers.push_back({host(weight), host(bias), l == last ? "tanh" : "relu"});
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
  const torch::Tensor exact_head = actor.mlp().Forward(obs.to(actor.device(), torch::kFloat64))[0];
  const torch::Tensor exact_actions = torch::tanh(exact_head.slice(1, 0, actor.act_dim()));
  const auto in_bounds = [&](const torch::Tensor& action) {
    return bounds.ToEnvAction(action.to(torch::kCPU, torch::kFloat64));
  };
  ExportPolicy(frozen, {.obs = obs, .actions = in_bounds(actions), .exact_actions = in_bounds(exact_actions)},
               torchscript, json);
  return {torchscript, json};
}

}  // namespace reverie
