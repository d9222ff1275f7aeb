#include "reverie/models/diffusion_ensemble.h"

#include <ATen/ATen.h>
#include <torch/autograd.h>

#include <cmath>
#include <numbers>

#include "diagonal_gaussian.h"
#include "generator_networks.h"

namespace reverie {
namespace {

// The networks that predict follow by this share of the way in a gradient step, and by more in the first ones.
constexpr double kMeanRate = 5e-3;
constexpr double kFirstSteps = 10;
// Of hidden layers' first weights. With smaller ones a network begins so nearly linear that two modes look like one
// Gaussian to it for hundreds of gradient steps.
constexpr double kHiddenGain = 2;
// Sines and cosines of pi t, 2 pi t, ...
constexpr int64_t kFrequencies = 4;
// edm's levels, and what it trains at.
constexpr double kMostLevel = 5;
constexpr double kLeastLevel = 0.002;
constexpr double kLevelPower = 7;
constexpr double kMeanLogLevel = -1.2;
constexpr double kStdLogLevel = 1.2;
constexpr int64_t kDensitySteps = 20;  // in each of which the field is asked four times
constexpr int64_t kJudgedLevels = 16;  // of a row

MlpShape DiffusionShape(const DiffusionConfig& config, int64_t members, int64_t inputs, int64_t targets) {
  return {.members = members,
          .widths = Widths(targets + 2 * kFrequencies + ConditionDim(inputs, targets), config.hidden, targets),
          .activation = Activation::kSilu};
}

int64_t DiffusionCount(const DiffusionConfig& config, int64_t members, int64_t inputs, int64_t targets) {
  return DiffusionShape(config, members, inputs, targets).ParameterCount() +
         BaseShape(members, inputs, config.hidden, targets).ParameterCount();
}

std::vector<double> Levels(int64_t steps) {
  std::vector<double> levels;
  const double most = std::pow(kMostLevel, 1 / kLevelPower);
  const double least = std::pow(kLeastLevel, 1 / kLevelPower);
  for (int64_t i = 0; i < steps; ++i) {
    const double share = steps == 1 ? 0 : static_cast<double>(i) / static_cast<double>(steps - 1);
    levels.push_back(std::pow(most + share * (least - most), kLevelPower));
  }
  return levels;
}

// t of flow matching after a share of the steps, which shrink towards the target: there it moves fastest.
double TimeAfter(double share) { return 1 - (1 - share) * (1 - share); }

// Of flow matching at t where u is standard normal: the deviation of u_t, and v / u_t.
double NormalStd(double t) { return std::sqrt(t * t + (1 - t) * (1 - t)); }
torch::Tensor NormalSlope(const torch::Tensor& t) { return (2 * t - 1) / (t.square() + (1 - t).square()); }

// What the network is told of a level.
torch::Tensor TimeOf(const torch::Tensor& level) { return torch::log(level) / 4; }

struct Preconditioning {
  torch::Tensor skip, out, in;
};
Preconditioning PreconditioningOf(const torch::Tensor& level) {
  const torch::Tensor sum = level.square() + 1;
  return {.skip = 1 / sum, .out = level * sum.rsqrt(), .in = sum.rsqrt()};
}

}  // namespace

std::vector<std::pair<std::string, DiffusionProcess>> EnumNames(DiffusionProcess) {
  return {{"flow_matching", DiffusionProcess::kFlowMatching}, {"edm", DiffusionProcess::kEdm}};
}

void DiffusionConfig::Visit(Fields& fields) {
  fields("process", process, "from noise to a target: flow_matching or edm");
  fields("steps", steps, "of the equation's solution, in each of which a network is asked twice", AtLeast(1));
  fields("hidden", hidden, "widths of the hidden layers", AtLeast(1));
  fields.Check([this] { return !hidden.empty(); }, "at least one hidden layer");
}

ConditionalDiffusion::ConditionalDiffusion(const DiffusionConfig& config, double learning_rate, int64_t members,
                                           int64_t input_dim, int64_t target_dim, const Rng& rng,
                                           const torch::Device& device)
    : config_(config),
      parameters_(DiffusionCount(config, members, input_dim, target_dim), device),
      mean_parameters_(parameters_.values().size(0), device),
      network_(DiffusionShape(config, members, input_dim, target_dim), parameters_),
      base_(BaseShape(members, input_dim, config.hidden, target_dim), parameters_),
      mean_network_(DiffusionShape(config, members, input_dim, target_dim), mean_parameters_),
      mean_base_(BaseShape(members, input_dim, config.hidden, target_dim), mean_parameters_),
      leaves_(network_.leaves()),
      adam_(parameters_, learning_rate),
      gradient_steps_(torch::zeros({}, torch::device(device))),
      varying_(torch::ones({target_dim}, torch::device(device))) {
  const std::vector<torch::Tensor> base = base_.leaves();
  leaves_.insert(leaves_.end(), base.begin(), base.end());
  torch::Generator generator = MakeGenerator(rng.Split("init"), device);
  network_.mlp().InitXavierUniform(generator);
  std::vector<torch::Tensor> weights = network_.mlp().weights();
  for (torch::Tensor& weight : weights) {
    weight.mul_(&weight == &weights.back() ? 0 : kHiddenGain);
  }
  base_.mlp().InitTruncatedNormal(generator);
  mean_parameters_.values().copy_(parameters_.values());
}

std::vector<torch::Tensor> ConditionalDiffusion::parameters() const {
  std::vector<torch::Tensor> all;
  for (const EnsembleMlp* network : {&network_.mlp(), &base_.mlp(), &mean_network_, &mean_base_}) {
    const std::vector<torch::Tensor> own = network->parameters();
    all.insert(all.end(), own.begin(), own.end());
  }
  return all;
}

torch::Tensor ConditionalDiffusion::NetworkInputs(const torch::Tensor& u, const torch::Tensor& time,
                                                  const torch::Tensor& condition) {
  const torch::Tensor angles =
      time * (std::numbers::pi * torch::arange(1, kFrequencies + 1, u.options()));  // [..., 1] -> [..., frequencies]
  return torch::cat({u, torch::sin(angles), torch::cos(angles), condition}, -1);
}

torch::Tensor ConditionalDiffusion::ConditionAt(const torch::Tensor& z) const {
  return ConditionOf(z, BaseOf(Ask(mean_base_, z)));
}

torch::Tensor ConditionalDiffusion::FormAt(const torch::Tensor& at, const torch::Tensor& time,
                                           const torch::Tensor& condition) const {
  return Ask(mean_network_, NetworkInputs(at, is_edm() ? TimeOf(time) : time, condition)) *
         varying_.to(at.scalar_type());
}

torch::Tensor ConditionalDiffusion::DenoisedAt(const torch::Tensor& noisy, const torch::Tensor& level,
                                               const torch::Tensor& condition) const {
  if (is_edm()) {
    const Preconditioning c = PreconditioningOf(level);
    return c.skip * noisy + c.out * FormAt(c.in * noisy, level, condition);
  }
  const torch::Tensor time = 1 / (1 + level);
  const torch::Tensor at = time * noisy;
  return at + (1 - time) * (NormalSlope(time) * at + FormAt(at, time, condition));
}

torch::Tensor ConditionalDiffusion::Loss(const torch::Tensor& condition, const torch::Tensor& u,
                                         const torch::Tensor& eps, const torch::Tensor& times) const {
  torch::Tensor output, wanted;
  if (is_edm()) {
    const torch::Tensor level = torch::exp(kMeanLogLevel + kStdLogLevel * times).clamp(kLeastLevel, kMostLevel);
    const Preconditioning c = PreconditioningOf(level);
    const torch::Tensor noisy = u + level * eps;
    output = network_.Forward(NetworkInputs(c.in * noisy, TimeOf(level), condition));
    wanted = (u - c.skip * noisy) / c.out;
  } else {
    const torch::Tensor at = (1 - times) * eps + times * u;
    output = NormalSlope(times) * at + network_.Forward(NetworkInputs(at, times, condition));
    wanted = u - eps;
  }
  return ((output - wanted).square() * varying_).sum(-1).mean(1) / varying_.sum().clamp_min(1);
}

torch::Tensor ConditionalDiffusion::Step(const torch::Tensor& z, const torch::Tensor& y, torch::Generator& generator) {
  const torch::Tensor eps = torch::empty_like(y).normal_(0, 1, generator) * varying_;
  torch::Tensor times = torch::empty({y.size(0), y.size(1), 1}, y.options());
  is_edm() ? times.normal_(0, 1, generator) : times.uniform_(0, 1, generator);
  const torch::AutoGradMode with_gradients(true);
  const DiagonalGaussian base = BaseOf(base_.Forward(z));
  const torch::Tensor u = base.Standardized(y).detach() * varying_;
  const torch::Tensor nll = (base.Nll(y) * varying_).sum(-1).mean(1) / varying_.sum().clamp_min(1);
  const torch::Tensor loss = (nll + Loss(ConditionOf(z, base).detach(), u, eps, times)).sum();
  BackPropagate(loss, {&parameters_}, leaves_);
  const torch::NoGradGuard no_grad;
  adam_.Step();
  const torch::Tensor share = (kFirstSteps / (kFirstSteps + gradient_steps_)).clamp_min(kMeanRate);
  mean_parameters_.values().add_(share * (parameters_.values() - mean_parameters_.values()));
  gradient_steps_.add_(1);
  return loss.detach();
}

torch::Tensor ConditionalDiffusion::Sample(const torch::Tensor& z, const torch::Tensor& noise) const {
  const DiagonalGaussian base = BaseOf(Ask(mean_base_, z));
  return base.FromStandard(SampleBy(FormGiven(ConditionOf(z, base)), noise)) * varying_.to(z.scalar_type());
}

ConditionalDiffusion::Form ConditionalDiffusion::FormGiven(const torch::Tensor& condition) const {
  return [this, condition](const torch::Tensor& at, double time) {
    return FormAt(at, torch::full({at.size(0), at.size(1), 1}, time, at.options()), condition);
  };
}

torch::Tensor ConditionalDiffusion::SlopeOf(const Form& form, const torch::Tensor& w, double place) const {
  return is_edm() ? -form(w, std::tan(place)) : form(NormalStd(place) * w, place) / NormalStd(place);
}

torch::Tensor ConditionalDiffusion::SampleBy(const Form& form, const torch::Tensor& noise) const {
  std::vector<double> places;  // theta or t
  if (is_edm()) {
    for (const double level : Levels(config_.steps)) {
      places.push_back(std::atan(level));
    }
    places.push_back(0);
  } else {
    for (int64_t i = 0; i <= config_.steps; ++i) {
      places.push_back(TimeAfter(static_cast<double>(i) / static_cast<double>(config_.steps)));
    }
  }
  torch::Tensor w = noise * varying_.to(noise.scalar_type());
  for (size_t i = 0; i + 1 < places.size(); ++i) {
    const double step = places[i + 1] - places[i];
    const torch::Tensor slope = SlopeOf(form, w, places[i]);
    const torch::Tensor ahead = w + step * slope;
    const bool to_zero = is_edm() && places[i + 1] == 0;
    w = to_zero ? ahead : w + step / 2 * (slope + SlopeOf(form, ahead, places[i + 1]));
  }
  return w;
}

torch::Tensor ConditionalDiffusion::LogDensityBy(const Form& form, const torch::Tensor& u) const {
  const int64_t targets = varying_.size(0);
  const torch::Tensor varying = varying_.to(u.scalar_type());
  struct Slope {
    torch::Tensor w, divergence;
  };
  // By x: log l of edm, in which it moves evenly, or what TimeAfter takes.
  const double from = is_edm() ? std::log(kLeastLevel) : 0;
  const double to = is_edm() ? std::log(kMostLevel) : 1;
  const auto slope_at = [&](const torch::Tensor& w, double x) -> Slope {
    const torch::AutoGradMode with_gradients(true);
    const torch::Tensor leaf = w.detach().requires_grad_();
    const double level = std::exp(x);
    const double place = is_edm() ? std::atan(level) : TimeAfter(1 - x);
    const double by_x = is_edm() ? level / (1 + level * level) : -2 * x;
    const torch::Tensor slope = by_x * SlopeOf(form, leaf, place);
    torch::Tensor divergence = torch::zeros({w.size(0), w.size(1)}, w.options());
    for (int64_t d = 0; d < targets; ++d) {
      const torch::Tensor row =
          torch::autograd::grad({slope.select(-1, d).sum()}, {leaf}, {}, /*retain_graph=*/true)[0];
      divergence = divergence + row.select(-1, d) * varying[d];
    }
    return {.w = slope.detach(), .divergence = divergence.detach()};
  };
  const torch::NoGradGuard no_grad;
  const double shrunk = is_edm() ? 0.5 * std::log(1 + kLeastLevel * kLeastLevel) : 0;
  torch::Tensor w = u * varying * std::exp(-shrunk);
  torch::Tensor gathered = -shrunk * varying.sum() + torch::zeros({u.size(0), u.size(1)}, u.options());
  const double step = (to - from) / static_cast<double>(kDensitySteps);
  for (int64_t i = 0; i < kDensitySteps; ++i) {
    const double x = from + static_cast<double>(i) * step;
    const Slope a = slope_at(w, x);
    const Slope b = slope_at(w + step / 2 * a.w, x + step / 2);
    const Slope c = slope_at(w + step / 2 * b.w, x + step / 2);
    const Slope e = slope_at(w + step * c.w, x + step);
    w = w + step / 6 * (a.w + 2 * b.w + 2 * c.w + e.w);
    gathered = gathered + step / 6 * (a.divergence + 2 * b.divergence + 2 * c.divergence + e.divergence);
  }
  return gathered - 0.5 * ((w.square() + std::log(2 * std::numbers::pi)) * varying).sum(-1);
}

std::optional<torch::Tensor> ConditionalDiffusion::LogDensity(const torch::Tensor& z, const torch::Tensor& y) const {
  const torch::Tensor each_z = z.expand({mean_network_.shape().members, -1, -1});
  const DiagonalGaussian base = BaseOf(Ask(mean_base_, each_z));
  const torch::Tensor condition = ConditionOf(each_z, base);
  const torch::Tensor log_std = (0.5 * base.log_var * varying_.to(y.scalar_type())).sum(-1);
  return LogDensityBy(FormGiven(condition), base.Standardized(y)) - log_std;
}

torch::Tensor ConditionalDiffusion::BoundBy(const Denoiser& denoiser, const torch::Tensor& u,
                                            torch::Generator& generator) const {
  const torch::Tensor varying = varying_.to(u.scalar_type());
  const torch::Tensor clean = u * varying;  // as in training, whatever a target does that rested there
  const double width = std::log(kMostLevel / kLeastLevel);
  torch::Tensor integral = torch::zeros({u.size(0)}, u.options());
  for (int64_t k = 0; k < kJudgedLevels; ++k) {  // one in each of as many equal parts of log l
    const torch::Tensor share = torch::empty({1, u.size(1), 1}, u.options()).uniform_(0, 1, generator);
    const torch::Tensor eps = torch::empty({1, u.size(1), u.size(2)}, u.options()).normal_(0, 1, generator) * varying;
    const torch::Tensor level =
        (kLeastLevel * torch::exp((k + share) * (width / kJudgedLevels))).expand({u.size(0), -1, -1});
    const torch::Tensor off = (clean - denoiser(clean + level * eps, level)) / level;
    integral = integral + off.square().sum(-1).mean(1) * (width / kJudgedLevels);
  }
  const double most = kMostLevel * kMostLevel;
  const torch::Tensor kl =
      0.5 * ((most + clean.square()) / (most + 1) - 1 + std::log((most + 1) / most)) * varying;  // of each target
  const double least = 0.5 * std::log(2 * std::numbers::pi * std::numbers::e * kLeastLevel * kLeastLevel);
  return integral + kl.sum(-1).mean(1) + least * varying.sum();
}

torch::Tensor ConditionalDiffusion::HoldoutError(const torch::Tensor& z, const torch::Tensor& y,
                                                 torch::Generator& generator) const {
  const torch::NoGradGuard no_grad;
  const torch::Tensor each_z = z.expand({mean_network_.shape().members, -1, -1});
  const DiagonalGaussian base = BaseOf(Ask(mean_base_, each_z));
  const torch::Tensor condition = ConditionOf(each_z, base);
  const torch::Tensor log_std = (0.5 * base.log_var * varying_).sum(-1).mean(1);
  const auto denoiser = [&](const torch::Tensor& noisy, const torch::Tensor& level) {
    return DenoisedAt(noisy, level, condition);
  };
  return (BoundBy(denoiser, base.Standardized(y), generator) + log_std) / varying_.sum().clamp_min(1);
}

void ConditionalDiffusion::VisitState(StateVisitor& state) {
  state("parameters", parameters_.values());
  state("mean_parameters", mean_parameters_.values());
  state("adam", adam_);
  state("gradient_steps", gradient_steps_);
}

}  // namespace reverie
