#include "reverie/models/vae_ensemble.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

#include "diagonal_gaussian.h"
#include "generator_networks.h"

namespace reverie {
namespace {

// Of latent variables and of targets.
constexpr double kLeastVaeLogVar = -10;
constexpr double kMostVaeLogVar = 2;
constexpr int64_t kBoundDraws = 64;
constexpr int64_t kJudgingDraws = 16;
constexpr uint64_t kBoundSeed = 2;
constexpr double kActiveVariance = 0.01;
constexpr int64_t kRowsForActive = 10'000;

struct VaeShapes {
  MlpShape prior, encoder, decoder;
};
VaeShapes ShapesOf(const VaeConfig& config, int64_t members, int64_t inputs, int64_t targets) {
  const auto shape = [&](int64_t from, int64_t outputs) -> MlpShape {
    return {.members = members, .widths = Widths(from, config.hidden, 2 * outputs), .activation = Activation::kSilu};
  };
  return {.prior = shape(inputs, config.latents),
          .encoder = shape(inputs + targets, config.latents),
          .decoder = shape(inputs + config.latents, targets)};
}

int64_t ParameterCountOf(const VaeShapes& shapes) {
  return shapes.prior.ParameterCount() + shapes.encoder.ParameterCount() + shapes.decoder.ParameterCount();
}

DiagonalGaussian VaeGaussian(const torch::Tensor& output) {
  return DiagonalGaussian::FromOutput(output, kLeastVaeLogVar, kMostVaeLogVar);
}

// In a gradient step by the leaves that are trained, else in blocks of rows.
DiagonalGaussian Said(const TrainableMlp& network, const torch::Tensor& x) {
  return VaeGaussian(torch::GradMode::is_enabled() ? network.Forward(x) : Ask(network.mlp(), x));
}

// Of the varying targets together.
torch::Tensor Nll(const DiagonalGaussian& decoded, const torch::Tensor& y, const torch::Tensor& varying) {
  return (decoded.Nll(y) * varying.to(y.scalar_type())).sum(-1);
}

}  // namespace

void VaeConfig::Visit(Fields& fields) {
  fields("latents", latents, "latent variables", AtLeast(1));
  fields("samples", samples, "draws of latent variables whose importance weights training takes; 1: the usual bound",
         AtLeast(1));
  fields.When({.key = "model.samples", .wanted = "1", .holds = [this] { return samples == 1; }}, [&] {
    fields("free_bits", free_bits, "nats of divergence a latent variable that cost nothing", AtLeast(0));
  });
  fields("warm_up", warm_up, "gradient steps in which the divergence comes in; 0: it counts from the first",
         AtLeast(0));
  fields("hidden", hidden, "widths of the hidden layers of every network", AtLeast(1));
  fields.Check([this] { return !hidden.empty(); }, "at least one hidden layer");
}

ConditionalVae::ConditionalVae(const VaeConfig& config, double learning_rate, int64_t members, int64_t input_dim,
                               int64_t target_dim, const Rng& rng, const torch::Device& device)
    : config_(config),
      parameters_(ParameterCountOf(ShapesOf(config, members, input_dim, target_dim)), device),
      prior_(ShapesOf(config, members, input_dim, target_dim).prior, parameters_),
      encoder_(ShapesOf(config, members, input_dim, target_dim).encoder, parameters_),
      decoder_(ShapesOf(config, members, input_dim, target_dim).decoder, parameters_),
      adam_(parameters_, learning_rate),
      steps_(torch::zeros({}, torch::device(device))),
      varying_(torch::ones({target_dim}, torch::device(device))) {
  torch::Generator generator = MakeGenerator(rng.Split("init"), device);
  for (TrainableMlp* network : {&prior_, &encoder_, &decoder_}) {
    network->mlp().InitTruncatedNormal(generator);
    const std::vector<torch::Tensor> own = network->leaves();
    leaves_.insert(leaves_.end(), own.begin(), own.end());
  }
}

std::vector<torch::Tensor> ConditionalVae::parameters() const {
  std::vector<torch::Tensor> all;
  for (const TrainableMlp* network : {&prior_, &encoder_, &decoder_}) {
    const std::vector<torch::Tensor> own = network->mlp().parameters();
    all.insert(all.end(), own.begin(), own.end());
  }
  return all;
}

ConditionalVae::Terms ConditionalVae::TermsOf(const torch::Tensor& z, const torch::Tensor& y,
                                              const torch::Tensor& noise) const {
  const DiagonalGaussian prior = Said(prior_, z);
  const DiagonalGaussian encoded = Said(encoder_, torch::cat({z, y}, -1));
  const torch::Tensor l = encoded.mean + torch::exp(0.5 * encoded.log_var) * noise;
  const torch::Tensor kl =
      0.5 * (((encoded.mean - prior.mean).square() + torch::exp(encoded.log_var)) * torch::exp(-prior.log_var) - 1 +
             prior.log_var - encoded.log_var);
  return {.nll = Nll(Said(decoder_, torch::cat({z, l}, -1)), y, varying_), .kl = kl};
}

torch::Tensor ConditionalVae::Bound(const torch::Tensor& z, const torch::Tensor& y, const torch::Tensor& noise,
                                    const torch::Tensor& beta) const {
  const int64_t draws = noise.size(0);
  const DiagonalGaussian prior = Said(prior_, z);
  const DiagonalGaussian encoded = Said(encoder_, torch::cat({z, y}, -1));
  const torch::Tensor l = encoded.mean + torch::exp(0.5 * encoded.log_var) * noise;  // [K, E, R, L]
  const torch::Tensor log_prior = -0.5 * ((l - prior.mean).square() * torch::exp(-prior.log_var) + prior.log_var);
  const torch::Tensor log_encoded = -0.5 * (noise.square() + encoded.log_var);
  // All draws in one pass of the decoder, as rows.
  const torch::Tensor inputs = torch::cat({z.expand({draws, -1, -1, -1}), l}, -1).transpose(0, 1).flatten(1, 2);
  const torch::Tensor nll = Nll(Said(decoder_, inputs), y.repeat({1, draws, 1}), varying_);
  const torch::Tensor log_p = -nll.view({z.size(0), draws, -1}).transpose(0, 1);
  return torch::logsumexp(log_p + beta * (log_prior - log_encoded).sum(-1), 0) - std::log(static_cast<double>(draws));
}

torch::Tensor ConditionalVae::Step(const torch::Tensor& z, const torch::Tensor& y, torch::Generator& generator) {
  const torch::Tensor noise =
      torch::empty({config_.samples, y.size(0), y.size(1), config_.latents}, y.options()).normal_(0, 1, generator);
  const torch::Tensor beta =
      config_.warm_up == 0 ? torch::ones_like(steps_) : (steps_ / static_cast<double>(config_.warm_up)).clamp_max(1);
  const torch::AutoGradMode with_gradients(true);
  torch::Tensor loss;
  if (config_.samples == 1) {
    const Terms terms = TermsOf(z, y, noise[0]);
    const torch::Tensor paid = terms.kl.mean(1).clamp_min(config_.free_bits).sum(-1);  // [E]
    loss = (terms.nll.mean(1) + beta * paid).sum();
  } else {
    loss = -Bound(z, y, noise, beta).mean(1).sum();
  }
  BackPropagate(loss, {&parameters_}, leaves_);
  const torch::NoGradGuard no_grad;
  adam_.Step();
  steps_.add_(1);
  return loss.detach();
}

int64_t ConditionalVae::WarmUp() const { return config_.warm_up - static_cast<int64_t>(steps_.item<float>()); }

torch::Tensor ConditionalVae::HoldoutError(const torch::Tensor& z, const torch::Tensor& y,
                                           torch::Generator& generator) const {
  const torch::NoGradGuard no_grad;
  const int64_t members = prior_.mlp().shape().members;
  const torch::Tensor noise =
      torch::empty({kJudgingDraws, 1, z.size(0), config_.latents}, z.options()).normal_(0, 1, generator);
  return -Bound(z.expand({members, -1, -1}), y.expand({members, -1, -1}), noise).mean(1) / varying_.sum().clamp_min(1);
}

std::optional<torch::Tensor> ConditionalVae::LogDensity(const torch::Tensor& z, const torch::Tensor& y) const {
  const torch::NoGradGuard no_grad;
  const int64_t members = prior_.mlp().shape().members;
  torch::Generator generator = MakeGenerator(Rng(kBoundSeed), z.device());
  const torch::Tensor noise =
      torch::empty({kBoundDraws, 1, z.size(0), config_.latents}, z.options()).normal_(0, 1, generator);
  return Bound(z.expand({members, -1, -1}), y.expand({members, -1, -1}), noise);
}

void ConditionalVae::AddMetrics(const torch::Tensor& z, const torch::Tensor& y, Metrics& metrics) const {
  const torch::NoGradGuard no_grad;
  const int64_t members = prior_.mlp().shape().members;
  const int64_t rows = std::min(z.size(0), kRowsForActive);
  const torch::Tensor each_z = z.narrow(0, 0, rows).expand({members, -1, -1});
  const torch::Tensor each_y = y.narrow(0, 0, rows).expand({members, -1, -1});
  const DiagonalGaussian prior = Said(prior_, each_z);
  const torch::Tensor encoded = Said(encoder_, torch::cat({each_z, each_y}, -1)).mean;
  const torch::Tensor told = prior.Standardized(encoded).var(1, /*unbiased=*/false);
  const torch::Tensor active = (told > kActiveVariance).sum(-1).to(torch::kFloat64).cpu();
  for (int64_t i = 0; i < members; ++i) {
    metrics.Set("active_" + std::to_string(i), active[i].item<double>());
  }
}

torch::Tensor ConditionalVae::Sample(const torch::Tensor& z, const torch::Tensor& noise) const {
  const DiagonalGaussian prior = VaeGaussian(Ask(prior_.mlp(), z));
  const torch::Tensor l = prior.mean + torch::exp(0.5 * prior.log_var) * noise.narrow(-1, 0, config_.latents);
  const DiagonalGaussian decoded = VaeGaussian(Ask(decoder_.mlp(), torch::cat({z, l}, -1)));
  const torch::Tensor y = decoded.FromStandard(noise.narrow(-1, config_.latents, varying_.size(0)));
  return y * varying_.to(z.scalar_type());
}

void ConditionalVae::VisitState(StateVisitor& state) {
  state("parameters", parameters_.values());
  state("adam", adam_);
  state("steps", steps_);
}

}  // namespace reverie
