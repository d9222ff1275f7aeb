#include "reverie/rollout/branched_rollout.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <string>
#include <utility>

namespace reverie {
namespace {

// Rows rolled at once on the CPU: their activations stay in cache. On a GPU all go at once.
constexpr int64_t kCpuChunk = 8192;
// Rows that the logged quantiles are taken over.
constexpr int64_t kReportRows = 1024;

}  // namespace

void RolloutConfig::Visit(Fields& fields) {
  fields("start_states", start_states, "start states drawn from the real buffer per call", AtLeast(1));
  fields("length", length, "rollout length k: x until epoch a, linear to y at epoch b");
  fields("retain_epochs", retain_epochs, "epochs of imagined data kept", AtLeast(1));
}

BranchedRollout::BranchedRollout(const RolloutConfig& config, const UncertaintyConfig& uncertainty, const Rng& rng,
                                 const torch::Device& device)
    : config_(config),
      uncertainty_(uncertainty),
      generator_(MakeGenerator(rng, device)),
      report_generator_(MakeGenerator(rng.Split("report"), device)),
      threshold_(uncertainty.ThresholdQuantile() ? std::numeric_limits<double>::infinity()
                                                 : std::stod(uncertainty.threshold)),
      full_step_("the imagined step", device, {generator_}) {}

void BranchedRollout::UpdateThreshold(const DynamicsModel& model) {
  const std::optional<double> quantile = uncertainty_.ThresholdQuantile();
  const bool used = uncertainty_.use == UncertaintyUse::kTerminate || uncertainty_.use == UncertaintyUse::kTruncate;
  if (!used || !quantile) {
    return;
  }
  const torch::NoGradGuard no_grad;
  const TransitionBatch& rows = model.holdout();
  const GaussianPrediction prediction = model.Predict(rows.obs(), rows.action(), uncertainty_.over);
  const torch::Tensor elite =
      torch::randint(model.elites().size(0), {rows.size()}, generator_, rows.rows.options().dtype(torch::kInt64));
  const torch::Tensor u = ScaledUncertainty(uncertainty_.measure, uncertainty_, model, prediction, elite);
  threshold_ = torch::quantile(u, *quantile).item<double>();
}

Metrics BranchedRollout::Run(int64_t length, const ReplayBuffer& real_buffer, const ModelEnv& model_env, Policy& policy,
                             ReplayBuffer* model_buffer) {
  const torch::NoGradGuard no_grad;
  const int64_t chunk =
      std::min(config_.start_states, real_buffer.device().is_cpu() ? kCpuChunk : config_.start_states);
  if (!rows_.defined()) {
    rows_ = TransitionBatch::Empty(real_buffer.layout(), chunk, real_buffer.device()).rows;
    ordered_rows_ = torch::empty_like(rows_);
    places_ = torch::empty({chunk}, rows_.options().dtype(torch::kInt64));
  }
  Counts counts;
  Metrics uncertainty;
  for (int64_t begin = 0; begin < config_.start_states; begin += chunk) {
    const int64_t count = std::min(chunk, config_.start_states - begin);
    const TransitionBatch batch{real_buffer.layout(), rows_.narrow(0, 0, count)};
    real_buffer.SampleInto(batch.rows, places_.narrow(0, 0, count), generator_);
    if (begin == 0) {
      uncertainty = MeasureAll(batch.obs().narrow(0, 0, std::min(kReportRows, count)), model_env, policy);
    }
    RunChunk(length, batch, model_env, policy, model_buffer, &counts);
  }
  const auto imagined = static_cast<double>(counts.imagined);
  Metrics metrics;
  metrics.Set("length", static_cast<double>(length));
  metrics.Set("rows", static_cast<double>(counts.stored));
  metrics.Set("share_ended", static_cast<double>(counts.ended) / imagined);
  metrics.Set("dropped_rows", static_cast<double>(counts.imagined - counts.stored));
  metrics.Set("buffer_size", static_cast<double>(model_buffer->size()));
  if (uncertainty_.use == UncertaintyUse::kTerminate || uncertainty_.use == UncertaintyUse::kTruncate) {
    metrics.Set("uncertainty_threshold", threshold_);
    metrics.Set("share_over_threshold", static_cast<double>(counts.exceeded) / imagined);
  }
  metrics.Merge("uncertainty", uncertainty);
  return metrics;
}

void BranchedRollout::RunChunk(int64_t length, TransitionBatch batch, const ModelEnv& model_env, Policy& policy,
                               ReplayBuffer* model_buffer, Counts* counts) {
  for (int64_t h = 0; h < length && batch.size() > 0; ++h) {
    const int64_t rows = batch.size();
    Outcome outcome;
    if (rows == rows_.size(0)) {
      full_step_.Run({std::bit_cast<int64_t>(threshold_)}, [&] { full_outcome_ = Step(batch, model_env, policy); });
      outcome = full_outcome_;
    } else {
      outcome = Step(batch, model_env, policy);
    }
    const torch::Tensor tally = outcome.tally.cpu();
    const auto* numbers = tally.data_ptr<int64_t>();
    const int64_t stored = numbers[0];
    const int64_t going_on = numbers[1];
    counts->imagined += rows;
    counts->stored += stored;
    counts->ended += stored - going_on;
    counts->exceeded += numbers[2];
    if (going_on < rows) {
      // Live rows first, then those that ended, then the dropped ones; their counts are known, nothing else is fetched.
      const torch::Tensor rank = torch::where(outcome.live, 0, torch::where(outcome.finite, 1, 2));
      const torch::Tensor order = std::get<1>(rank.sort(/*stable=*/true, 0, /*descending=*/false));
      torch::Tensor ordered = ordered_rows_.narrow(0, 0, rows);
      at::index_select_out(ordered, batch.rows, 0, order);
      batch.rows.copy_(ordered);
    }
    model_buffer->Add({batch.layout, batch.rows.narrow(0, 0, stored)});
    batch.rows = batch.rows.narrow(0, 0, going_on);
    batch.obs().copy_(batch.next_obs());
  }
}

BranchedRollout::Outcome BranchedRollout::Step(TransitionBatch batch, const ModelEnv& model_env, Policy& policy) {
  const DynamicsModel& model = model_env.model();
  batch.action().copy_(policy.Act(batch.obs(), ActMode::kSample, generator_));
  ImaginedStep step;
  torch::Tensor u;
  if (uncertainty_.use == UncertaintyUse::kNone) {
    step = model_env.Step(batch, generator_);
  } else {
    const GaussianPrediction measured = model.Predict(batch.obs(), batch.action(), uncertainty_.over);
    const GaussianPrediction elites = uncertainty_.over == Members::kElites
                                          ? measured
                                          : GaussianPrediction{.mean = measured.mean.index_select(0, model.elites()),
                                                               .var = measured.var.index_select(0, model.elites())};
    step = model_env.StepFrom(elites, batch, generator_);
    u = ScaledUncertainty(uncertainty_.measure, uncertainty_, model, measured, step.member);
    step.finite = step.finite.logical_and(torch::isfinite(u));
  }

  batch.truncated().zero_();
  batch.log_weight().zero_();
  torch::Tensor ended = step.terminated;
  torch::Tensor exceeded = torch::zeros_like(ended);
  switch (uncertainty_.use) {
    case UncertaintyUse::kNone:
      break;
    case UncertaintyUse::kPenalty:
      batch.reward().sub_(uncertainty_.coefficient * u);
      break;
    case UncertaintyUse::kTerminate:
      exceeded = u > threshold_;
      batch.reward().masked_fill_(exceeded, -uncertainty_.terminal_penalty);
      step.terminated = step.terminated.logical_or(exceeded);
      ended = step.terminated;
      break;
    case UncertaintyUse::kTruncate:
      exceeded = u > threshold_;
      batch.truncated().copy_(exceeded);
      ended = ended.logical_or(exceeded);
      break;
    case UncertaintyUse::kWeight:
      batch.log_weight().copy_(-u / uncertainty_.temperature);
      break;
  }
  batch.terminated().copy_(step.terminated);

  const torch::Tensor live = step.finite.logical_and(ended.logical_not());
  return {.finite = step.finite,
          .live = live,
          .tally = torch::stack({step.finite.sum(), live.sum(), exceeded.logical_and(step.finite).sum()})};
}

Metrics BranchedRollout::MeasureAll(const torch::Tensor& obs, const ModelEnv& model_env, Policy& policy) {
  const DynamicsModel& model = model_env.model();
  const torch::Tensor action = policy.Act(obs, ActMode::kSample, report_generator_);
  const GaussianPrediction prediction = model.Predict(obs, action, uncertainty_.over);
  const torch::Tensor elite =
      torch::randint(model.elites().size(0), {obs.size(0)}, report_generator_, obs.options().dtype(torch::kInt64));
  const torch::Tensor levels = torch::tensor({0.5, 0.9, 0.99}, obs.options());
  const std::vector<std::string> suffixes{"_q50", "_q90", "_q99"};
  Metrics metrics;
  for (const auto& [name, measure] : EnumNames(UncertaintyMeasure{})) {
    const torch::Tensor u = ScaledUncertainty(measure, uncertainty_, model, prediction, elite);
    const torch::Tensor quantiles = torch::quantile(u, levels).cpu();
    for (size_t i = 0; i < suffixes.size(); ++i) {
      metrics.Set(name + suffixes[i], quantiles[static_cast<int64_t>(i)].item<double>());
    }
  }
  return metrics;
}

void BranchedRollout::VisitState(StateVisitor& state) {
  state("generator", generator_);
  state("report_generator", report_generator_);
  state("threshold", threshold_);
}

}  // namespace reverie
