#include "reverie/models/generative_ensemble.h"

#include <ATen/ATen.h>

#include <cmath>
#include <utility>

#include "minibatch_fit.h"

namespace reverie {
namespace {

constexpr uint64_t kMixtureSeed = 1;

}  // namespace

void GenerativeEnsembleConfig::Visit(Fields& fields) {
  fields("members", members, "generators in the ensemble", AtLeast(1));
  fields("learning_rate", learning_rate, "Adam's step size", Above(0));
  fields("batch_size", batch_size, "rows per member in a minibatch", AtLeast(1));
  fields("moment_samples", moment_samples, "draws that means and variances are taken of", AtLeast(2));
  fields.Check([this] { return moment_samples % 2 == 0; }, "an even number, as they come in pairs");
  holdout.Visit(fields);
  fields("target", target, "what is predicted: the change of the observation, or the next one");
}

ModelCard GenerativeEnsembleConfig::Card() const {
  return {.hypotheses = members,
          .hypotheses_key = "model.members",
          .networks = members,
          .has_variance = true,
          .has_holdout = holdout.ratio > 0,
          .is_gaussian = false};
}

GenerativeEnsemble::GenerativeEnsemble(const GenerativeEnsembleConfig& config, const ModelSpec& spec, const Rng& rng,
                                       const torch::Device& device, std::unique_ptr<ConditionalGenerator> generator)
    : config_(config),
      codec_(spec, config.target, device),
      generator_(std::move(generator)),
      random_(MakeGenerator(rng.Split("steps"), device)),
      fit_(std::make_unique<MinibatchFit>("the generators' minibatch", config.members, config.batch_size,
                                          codec_.input_dim(), codec_.target_dim(), device,
                                          std::vector<torch::Generator>{random_})) {
  torch::Generator moments = MakeGenerator(rng.Split("moments"), device);
  torch::Tensor half =
      torch::randn({config.moment_samples / 2, generator_->noise_dim()}, moments, torch::device(device));
  half.div_(half.square().mean(0).sqrt());  // so that the moments of a Gaussian are its own
  moment_noise_ = torch::cat({half, -half});
  hypotheses_ = torch::arange(config.members, torch::dtype(torch::kInt64).device(device));
  holdout_ = TransitionBatch::Empty(spec.layout, 0, device);
}

GenerativeEnsemble::~GenerativeEnsemble() = default;

ModelStep GenerativeEnsemble::Next(const torch::Tensor& obs, const torch::Tensor& action,
                                   const StepDraws& draws) const {
  const torch::Tensor z = DealRows(codec_.Inputs(obs, action), draws.deal, config_.members);
  const torch::Tensor noise = draws.noise.view({config_.members, z.size(1), noise_dim()}).to(z.scalar_type());
  const torch::Tensor y = CollectRows(generator_->Sample(z, noise), draws.deal);
  return codec_.Decode(codec_.standardizer().Target(y), obs);
}

void GenerativeEnsemble::Step(const torch::Tensor& obs, const torch::Tensor& action, const StepDraws& draws,
                              ModelSample& next) const {
  const torch::NoGradGuard no_grad;
  Next(obs, action, draws).CopyTo(next);
  next.hypothesis.copy_(HypothesisOfRows(draws.deal, config_.members));
}

GaussianPrediction GenerativeEnsemble::Predict(const torch::Tensor& obs, const torch::Tensor& action, Members) const {
  const torch::Tensor inputs = codec_.Inputs(obs, action);
  const torch::Tensor z = inputs.expand({config_.members, -1, -1});
  // Draw by draw, so that without gradients no more is held than one of them (Welford 1962).
  torch::Tensor mean, squares;
  for (int64_t k = 0; k < config_.moment_samples; ++k) {
    const torch::Tensor noise = moment_noise_[k].to(z.scalar_type()).expand({config_.members, z.size(1), -1});
    const torch::Tensor y = codec_.standardizer().Target(generator_->Sample(z, noise));
    if (k == 0) {
      mean = y;
      squares = torch::zeros_like(y);
      continue;
    }
    const torch::Tensor off = y - mean;
    mean = mean + off / static_cast<double>(k + 1);
    squares = squares + off * (y - mean);
  }
  return {.mean = mean, .var = squares / static_cast<double>(config_.moment_samples)};
}

MixturePrediction GenerativeEnsemble::PredictMixture(const torch::Tensor& obs, const torch::Tensor& action) const {
  const int64_t draws = config_.moment_samples;
  const torch::Tensor inputs = codec_.Inputs(obs, action);
  const torch::Tensor z = inputs.expand({config_.members, -1, -1});
  // Noise of each row's and member's own: what some draws miss of a distribution is then not the same at all of them.
  torch::Generator generator = MakeGenerator(Rng(kMixtureSeed), z.device());
  std::vector<torch::Tensor> drawn;
  for (int64_t k = 0; k < draws; ++k) {
    const torch::Tensor noise =
        torch::empty({config_.members, z.size(1), noise_dim()}, z.options()).normal_(0, 1, generator);
    drawn.push_back(codec_.standardizer().Target(generator_->Sample(z, noise)));
  }
  const torch::Tensor mean = torch::stack(drawn, 1);
  return {.mean = mean,
          .var = torch::zeros_like(mean),
          .log_weight =
              torch::full({config_.members, draws, z.size(1)}, -std::log(static_cast<double>(draws)), mean.options())};
}

std::optional<torch::Tensor> GenerativeEnsemble::LogDensity(const TransitionBatch& rows) const {
  const Standardizer& units = codec_.standardizer();
  std::optional<torch::Tensor> density = generator_->LogDensity(
      codec_.Inputs(rows.obs(), rows.action()), units.Scaled(codec_.Targets(rows)) * generator_->varying());
  if (density) {
    const torch::Tensor& scale = units.target_scale();
    *density = *density - torch::log(torch::where(scale == 0, torch::ones_like(scale), scale)).sum();
  }
  return density;
}

MinibatchWork GenerativeEnsemble::WorkOn(const FitRows& rows, const Rng& rng) {
  return {.step = [this](const torch::Tensor& inputs,
                         const torch::Tensor& targets) { return generator_->Step(inputs, targets, random_); },
          .holdout_error =
              [this, &rows, rng] {
                torch::Generator same = MakeGenerator(rng.Split("holdout"), moment_noise_.device());
                return generator_->HoldoutError(rows.holdout_inputs, rows.holdout_targets, same);
              },
          .scale = generator_->error_is_logarithm() ? StoppingScale::kDifference : StoppingScale::kRatio,
          .patient = generator_->WarmUp(),
          .changed = [this] { return StateTensors(*this); }};
}

void GenerativeEnsemble::Rehearse() {
  const torch::NoGradGuard no_grad;
  fit_->Rehearse(WorkOn({}, Rng(0)));
}

std::optional<Metrics> GenerativeEnsemble::Fit(const ReplayBuffer& data, const Rng& rng,
                                               const std::function<bool()>& stop) {
  const torch::NoGradGuard no_grad;
  StateTree before = SaveState(*this);
  const torch::Device device = moment_noise_.device();
  torch::Generator split_generator = MakeGenerator(rng.Split("split"), device);
  random_.set_state(MakeGenerator(rng.Split("steps"), device).get_state());
  const SplitRows split = SplitForFit(data.All(), config_.holdout, split_generator);
  holdout_ = split.holdout;
  codec_.FitTo(split.train, PlainDeviations{});
  generator_->varying().copy_(codec_.standardizer().target_scale() != 0);
  generator_->BeginFit();
  FitRows rows = InUnits(codec_, split);
  for (torch::Tensor* targets : {&rows.train_targets, &rows.holdout_targets}) {
    *targets = *targets * generator_->varying();  // those that rest may move in hold-out rows
  }
  const MinibatchWork work = WorkOn(rows, rng);
  std::optional<Metrics> metrics = fit_->Run(generator_->parameters(), rows, config_.holdout, work, rng, stop);
  if (!metrics) {
    LoadState(before, *this);
    return std::nullopt;
  }
  metrics->Set("grad_norm", generator_->grad_norm());
  generator_->AddMetrics(rows.train_inputs, rows.train_targets, *metrics);
  if (rows.holds_out()) {
    const torch::Tensor errors = work.holdout_error().cpu();
    for (int64_t i = 0; i < config_.members; ++i) {
      metrics->Set("holdout_error_" + std::to_string(i), errors[i].item<double>());
    }
  }
  return metrics;
}

void GenerativeEnsemble::VisitState(StateVisitor& state) {
  state("generator", *generator_);
  state("varying", generator_->varying());
  state("moment_noise", moment_noise_);
  codec_.VisitState(state, /*scales_all=*/true);
  state.Resizable("holdout", holdout_.rows);
  if (state.loading()) {
    holdout_.rows = holdout_.rows.to(moment_noise_.device());
  }
}

}  // namespace reverie
