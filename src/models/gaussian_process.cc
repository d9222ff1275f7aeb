#include "reverie/models/gaussian_process.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

namespace reverie {
namespace {

constexpr double kFirstNoise = 0.1;
// The bound of a sparse process is maximised over, and its points are chosen among, at most so many times exact_rows.
constexpr int64_t kBoundRows = 5;
// Numbers of one kernel matrix at a time.
constexpr int64_t kNumbersAtOnce = int64_t{1} << 21;
constexpr int64_t kRehearsedRows = 300;

// Random rows, at most so many.
torch::Tensor SomeRows(int64_t count, int64_t most, torch::Generator& generator, const torch::TensorOptions& options) {
  return torch::randperm(count, generator, options.dtype(torch::kInt64)).narrow(0, 0, std::min(count, most));
}

std::vector<int64_t> Numbers(const torch::Tensor& indices) {
  return {indices.data_ptr<int64_t>(), indices.data_ptr<int64_t>() + indices.numel()};
}

}  // namespace

void GaussianProcessConfig::Visit(Fields& fields) {
  fields("draws", draws, "functions drawn at each fit, which predict", AtLeast(1));
  fields("exact_rows", exact_rows, "most rows of an exact process; with more of them some stand for all", AtLeast(1));
  fields("inducing", inducing, "rows that then stand for all", AtLeast(1));
  fields("features", features, "random Fourier features of a drawn function", AtLeast(1));
  fields("iterations", iterations, "most iterations of L-BFGS from each start", AtLeast(1));
  fields("restarts", restarts, "starts of a fit beside the last one's end", AtLeast(0));
  fields("target", target, "what is predicted: the change of the observation, or the next one");
}

std::string GaussianProcessConfig::LacksOf(int64_t rows) const {
  return rows < 1 ? "a first fit needs a transition and gets none: raise exploration_steps" : "";
}

ModelCard GaussianProcessConfig::Card() const {
  return {.hypotheses = draws,
          .hypotheses_key = "model.draws",
          .networks = draws,
          .has_variance = true,
          .variance_is_constant = true,
          .has_holdout = false};
}

GaussianProcess::GaussianProcess(const GaussianProcessConfig& config, const ModelSpec& spec, const Rng& rng,
                                 const torch::Device& device)
    : config_(config), codec_(spec, config.target, device) {
  torch::Generator generator = MakeGenerator(rng.Split("init"), device);
  const auto options = torch::dtype(torch::kFloat64).device(device);
  const int64_t targets = codec_.target_dim();
  const int64_t inputs = codec_.input_dim();
  const int64_t capacity = std::max(config.exact_rows, config.inducing);
  centres_ = torch::zeros({capacity, inputs}, options);
  theta_ = torch::zeros({targets, inputs + 2}, options);
  theta_.select(1, inputs + 1).fill_(std::log(kFirstNoise));
  features_ = {.frequencies = torch::randn({config.features, inputs}, generator, options),
               .phases = torch::rand({config.features}, generator, options).mul_(2 * std::numbers::pi)};
  prior_weights_ = torch::randn({targets, config.features, config.draws}, generator, options);
  row_weights_ = torch::zeros({targets, capacity, config.draws}, options);
  hypotheses_ = torch::arange(config.draws, torch::dtype(torch::kInt64).device(device));
  no_rows_ = TransitionBatch::Empty(spec.layout, 0, device);
}

torch::Tensor GaussianProcess::Functions(const torch::Tensor& z) const {
  const bool own_rows = z.dim() == 3;
  const int64_t rows = z.size(-2);
  const int64_t used = z.is_cuda() ? centres_.size(0) : centres_used_;
  // In one piece for autograd, which keeps the matrices anyway.
  const int64_t at_once =
      torch::GradMode::is_enabled()
          ? rows
          : std::max<int64_t>(1, kNumbersAtOnce / ((own_rows ? z.size(0) : 1) * (used + config_.features)));
  std::vector<torch::Tensor> parts;
  for (int64_t begin = 0; begin < rows; begin += at_once) {
    const torch::Tensor some = z.narrow(-2, begin, std::min(at_once, rows - begin));
    const torch::Tensor exact = some.to(torch::kFloat64);
    std::vector<torch::Tensor> targets;
    for (int64_t d = 0; d < codec_.target_dim(); ++d) {
      // [F, M], or for rows of its own [M, F, 1].
      const auto weights = [&](const torch::Tensor& all) { return own_rows ? all.t().unsqueeze(-1) : all; };
      const torch::Tensor features = features_.Of(some, theta_[d]);
      const torch::Tensor prior = torch::matmul(features, weights(prior_weights_[d]).to(features.scalar_type()));
      const torch::Tensor kernel = RbfKernel(exact, centres_.narrow(0, 0, used), theta_[d]);
      const torch::Tensor correction = torch::matmul(kernel, weights(row_weights_[d].narrow(0, 0, used)));
      const torch::Tensor f = prior + correction;  // [R, M] or [M, R, 1]
      targets.push_back(own_rows ? f : f.t().unsqueeze(-1));
    }
    parts.push_back(torch::cat(targets, -1).to(z.scalar_type()));
  }
  return parts.size() == 1 ? parts[0] : torch::cat(parts, 1);
}

ModelStep GaussianProcess::Next(const torch::Tensor& obs, const torch::Tensor& action, const StepDraws& draws) const {
  const int64_t hypotheses = config_.draws;
  const torch::Tensor f = Functions(DealRows(codec_.Inputs(obs, action), draws.deal, hypotheses));
  const torch::Tensor y = f + NoiseStd().to(f.scalar_type()) * draws.noise.view(f.sizes());
  return codec_.Decode(codec_.standardizer().Target(CollectRows(y, draws.deal)), obs);
}

void GaussianProcess::Step(const torch::Tensor& obs, const torch::Tensor& action, const StepDraws& draws,
                           ModelSample& next) const {
  const torch::NoGradGuard no_grad;
  Next(obs, action, draws).CopyTo(next);
  next.hypothesis.copy_(HypothesisOfRows(draws.deal, config_.draws));
}

GaussianPrediction GaussianProcess::Predict(const torch::Tensor& obs, const torch::Tensor& action, Members) const {
  const Standardizer& units = codec_.standardizer();
  const torch::Tensor mean = units.Target(Functions(codec_.Inputs(obs, action)));
  const torch::Tensor std = NoiseStd().to(mean.scalar_type()) * units.target_scale();
  return {.mean = mean, .var = std.square().expand_as(mean)};
}

std::optional<GpFit> GaussianProcess::FitTarget(const torch::Tensor& z, const torch::Tensor& y, int64_t d,
                                                torch::Generator& generator, const std::function<bool()>& stop) const {
  const bool exact = z.size(0) <= config_.exact_rows;
  torch::Tensor some_z = z, some_y = y;
  if (!exact) {
    const torch::Tensor which = SomeRows(z.size(0), kBoundRows * config_.exact_rows, generator, z.options());
    some_z = z.index_select(0, which);
    some_y = y.index_select(0, which);
  }
  torch::Tensor inducing;
  const auto likelihood = [&](const torch::Tensor& theta) {
    return exact ? GpNegativeLogLikelihood(some_z, some_y, theta)
                 : SparseGpNegativeBound(some_z, some_y, inducing, theta);
  };
  torch::Tensor fresh = torch::zeros_like(theta_[d]);
  fresh[-1] = std::log(kFirstNoise);
  std::optional<GpFit> best;
  for (int64_t start = 0; start <= config_.restarts; ++start) {
    torch::Tensor theta = theta_[d];
    if (start > 0) {
      theta = fresh.clone();
      theta.slice(0, 0, -2).uniform_(-1, 1, generator);
    }
    if (!exact) {
      inducing = some_z.index_select(0, GreedyInducingRows(some_z, config_.inducing, theta));
    }
    const std::optional<GpFit> found = FitGp(likelihood, theta, config_.iterations, stop);
    if (!found) {
      return std::nullopt;
    }
    if (!best || found->value < best->value) {
      best = found;
    }
  }
  best->value /= static_cast<double>(some_y.size(0));
  return best;
}

std::optional<Metrics> GaussianProcess::Fit(const ReplayBuffer& data, const Rng& rng,
                                            const std::function<bool()>& stop) {
  const torch::NoGradGuard no_grad;
  StateTree before = SaveState(*this);
  const torch::Device device = theta_.device();
  torch::Generator start_generator = MakeGenerator(rng.Split("starts"), device);
  torch::Generator draw_generator = MakeGenerator(rng.Split("draws"), device);
  const TransitionBatch rows = data.All();
  codec_.FitTo(rows, PlainDeviations{});
  const torch::Tensor z = codec_.Inputs(rows.obs(), rows.action()).to(torch::kFloat64);
  const torch::Tensor y = codec_.standardizer().Scaled(codec_.Targets(rows)).to(torch::kFloat64);
  const bool exact = rows.size() <= config_.exact_rows;
  features_.frequencies.normal_(0, 1, draw_generator);
  features_.phases.uniform_(0, 2 * std::numbers::pi, draw_generator);
  prior_weights_.normal_(0, 1, draw_generator);
  row_weights_.zero_();
  centres_.zero_();
  const torch::Tensor fitted = (codec_.standardizer().target_scale().cpu() != 0).nonzero().flatten();
  double loss = 0;
  for (const int64_t d : Numbers(fitted)) {
    const std::optional<GpFit> fit = FitTarget(z, y.select(1, d), d, start_generator, stop);
    if (!fit) {
      LoadState(before, *this);
      return std::nullopt;
    }
    theta_[d].copy_(fit->theta);
    loss += fit->value;
  }
  const torch::Tensor of_fitted = theta_.cpu().index_select(0, fitted);
  torch::Tensor points = z;
  if (!exact) {
    const torch::Tensor theta = fitted.numel() > 0 ? of_fitted.mean(0).to(device) : theta_[0];
    const torch::Tensor some =
        z.index_select(0, SomeRows(z.size(0), kBoundRows * config_.exact_rows, start_generator, z.options()));
    points = some.index_select(0, GreedyInducingRows(some, config_.inducing, theta));
  }
  centres_used_ = points.size(0);
  centres_.narrow(0, 0, centres_used_).copy_(points);
  for (const int64_t d : Numbers(fitted)) {
    const torch::Tensor noise = torch::empty({centres_used_, config_.draws}, z.options()).normal_(0, 1, draw_generator);
    const torch::Tensor own = y.select(1, d);
    row_weights_[d]
        .narrow(0, 0, centres_used_)
        .copy_(exact ? ConditionDraws(z, own, theta_[d], features_, prior_weights_[d], noise)
                     : ConditionSparseDraws(z, own, points, theta_[d], features_, prior_weights_[d], noise));
  }
  Metrics metrics;
  metrics.Set("train_rows", static_cast<double>(rows.size()));
  metrics.Set("loss", fitted.numel() > 0 ? loss / static_cast<double>(fitted.numel()) : 0);
  if (fitted.numel() > 0) {
    metrics.Set("signal_std", of_fitted.select(1, -2).exp().mean().item<double>());
    metrics.Set("noise_std", of_fitted.select(1, -1).exp().mean().item<double>());
    for (int64_t i = 0; i < codec_.input_dim(); ++i) {
      metrics.Set("length_" + std::to_string(i), of_fitted.select(1, i).mean().exp().item<double>());
    }
  }
  return metrics;
}

void GaussianProcess::Rehearse() {
  const torch::Tensor z = torch::zeros({kRehearsedRows, codec_.input_dim()}, theta_.options());
  GpNegativeLogLikelihood(z, z.select(1, 0), theta_[0]);
}

void GaussianProcess::VisitState(StateVisitor& state) {
  state("centres_used", centres_used_);
  state("centres", centres_);
  state("theta", theta_);
  state("frequencies", features_.frequencies);
  state("phases", features_.phases);
  state("prior_weights", prior_weights_);
  state("row_weights", row_weights_);
  codec_.VisitState(state, /*scales_all=*/true);
}

}  // namespace reverie
