#include "reverie/rollout/branched_rollout.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <bit>
#include <string>
#include <utility>

namespace reverie {
namespace {

// Rows rolled at once on the CPU: their activations stay in cache. On a GPU all go at once.
constexpr int64_t kCpuChunk = 8192;
constexpr double kLongest = 1e6;
// Rows that the logged quantiles are taken over.
constexpr int64_t kReportRows = 1024;

}  // namespace

void RolloutConfig::Visit(Fields& fields) {
  fields("start_states", start_states, "start states drawn from the real buffer per call", AtLeast(1));
  fields("length", length, "rollout length k: x until epoch a, linear to y at epoch b", Between(1, kLongest));
  fields("retain_epochs", retain_epochs, "epochs of imagined data kept", AtLeast(1));
}

BranchedRollout::BranchedRollout(const RolloutConfig& config, const UncertaintyConfig& uncertainty,
                                 int64_t rollouts_per_epoch, const Rng& rng, const torch::Device& device)
    : config_(config),
      uncertainty_(uncertainty),
      rollouts_per_epoch_(rollouts_per_epoch),
      generator_(MakeGenerator(rng, device)),
      report_generator_(MakeGenerator(rng.Split("report"), device)),
      full_step_("the imagined step", device, {generator_}) {}

Metrics BranchedRollout::Run(int64_t epoch, const ReplayBuffer& real_buffer, const ModelEnv& model_env,
                             const Policy& policy, ReplayBuffer* model_buffer) {
  const torch::NoGradGuard no_grad;
  const int64_t length = config_.length.At(epoch);
  uncertainty_.UpdateThreshold(model_env.model(), generator_);
  model_buffer->SetCapacity(config_.RowsKept(length, rollouts_per_epoch_));
  const int64_t chunk =
      std::min(config_.start_states, real_buffer.device().is_cpu() ? kCpuChunk : config_.start_states);
  if (!rows_.defined()) {
    rows_ = TransitionBatch::Empty(real_buffer.layout(), chunk, real_buffer.device()).rows;
    ordered_rows_ = torch::empty_like(rows_);
    places_ = torch::empty({chunk}, rows_.options().dtype(torch::kInt64));
    full_outcome_ = {.finite = torch::empty({chunk}, rows_.options().dtype(torch::kBool)),
                     .live = torch::empty({chunk}, rows_.options().dtype(torch::kBool)),
                     .tally = torch::empty({3}, rows_.options().dtype(torch::kInt64)),
                     .u = torch::zeros({chunk}, rows_.options())};
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
  metrics.Set("dropped_rows", static_cast<double>(counts.imagined - counts.finite));
  metrics.Set("buffer_size", static_cast<double>(model_buffer->size()));
  if (uncertainty_.config().UsesThreshold()) {
    metrics.Set("uncertainty_threshold", uncertainty_.threshold());
    metrics.Set("share_over_threshold", static_cast<double>(counts.exceeded) / imagined);
  }
  metrics.Merge("uncertainty", uncertainty);
  return metrics;
}

void BranchedRollout::RunChunk(int64_t length, TransitionBatch batch, const ModelEnv& model_env, const Policy& policy,
                               ReplayBuffer* model_buffer, Counts* counts) {
  for (int64_t h = 0; h < length && batch.size() > 0; ++h) {
    const int64_t rows = batch.size();
    Outcome outcome;
    if (rows == rows_.size(0)) {
      outcome = full_outcome_;
      full_step_.Run(
          {std::bit_cast<int64_t>(uncertainty_.threshold())},
          [&] {
            const Outcome of_step = Step(batch, model_env, policy);
            outcome.finite.copy_(of_step.finite);
            outcome.live.copy_(of_step.live);
            outcome.tally.copy_(of_step.tally);
            if (of_step.u.defined()) {
              outcome.u.copy_(of_step.u);
            }
          },
          [&]() -> RepeatedWork::NamedTensors {
            return {{"action", batch.action()},       {"next_obs", batch.next_obs()},
                    {"reward", batch.reward()},       {"terminated", batch.terminated()},
                    {"truncated", batch.truncated()}, {"log_weight", batch.log_weight()},
                    {"finite", outcome.finite},       {"live", outcome.live},
                    {"tally", outcome.tally},         {"u", outcome.u}};
          });
    } else {
      outcome = Step(batch, model_env, policy);
    }
    const torch::Tensor tally = outcome.tally.cpu();
    const auto* numbers = tally.data_ptr<int64_t>();
    const int64_t finite = numbers[0];
    const int64_t going_on = numbers[1];
    const Stored stored = Select(outcome, finite, h, length);
    counts->imagined += rows;
    counts->finite += finite;
    counts->stored += stored.count;
    counts->ended += finite - going_on;
    counts->exceeded += numbers[2];
    if (going_on < rows || stored.count < rows) {
      // Those that go on first, of which the last are stored, as are those that ended after them; then the others.
      // Their counts are known, nothing else is fetched.
      const torch::Tensor rank =
          torch::where(outcome.live, torch::where(stored.rows, 1, 0), torch::where(stored.rows, 2, 3));
      const torch::Tensor order = std::get<1>(rank.sort(/*stable=*/true, 0, /*descending=*/false));
      torch::Tensor ordered = ordered_rows_.narrow(0, 0, rows);
      at::index_select_out(ordered, batch.rows, 0, order);
      batch.rows.copy_(ordered);
    }
    model_buffer->Add({batch.layout, batch.rows.narrow(0, stored.passed_over, stored.count)});
    batch.rows = batch.rows.narrow(0, 0, going_on);
    batch.obs().copy_(batch.next_obs());
  }
}

BranchedRollout::Stored BranchedRollout::Select(const Outcome& outcome, int64_t finite, int64_t step,
                                                int64_t length) const {
  if (uncertainty_.config().use != UncertaintyUse::kMask) {
    return {.rows = outcome.finite, .count = finite};
  }
  const int64_t kept = uncertainty_.Kept(outcome.finite.size(0), step, length);
  const torch::Tensor rank = std::get<1>(outcome.u.sort(/*stable=*/true, 0, /*descending=*/false)).argsort();
  const torch::Tensor rows = outcome.finite.logical_and(rank < kept);
  const torch::Tensor counts = torch::stack({rows.sum(), outcome.live.logical_and(rows.logical_not()).sum()}).cpu();
  const auto* numbers = counts.data_ptr<int64_t>();
  return {.rows = rows, .count = numbers[0], .passed_over = numbers[1]};
}

BranchedRollout::Outcome BranchedRollout::Step(TransitionBatch batch, const ModelEnv& model_env, const Policy& policy) {
  const DynamicsModel& model = model_env.model();
  const UncertaintyConfig& config = uncertainty_.config();
  batch.action().copy_(policy.Act({.obs = batch.obs()}, nullptr, ActMode::kSample, generator_));
  batch.truncated().zero_();
  batch.log_weight().zero_();
  ImaginedStep step;
  torch::Tensor exceeded, masked_by;
  if (config.use == UncertaintyUse::kNone) {
    step = model_env.Step(batch, generator_);
    exceeded = torch::zeros_like(step.terminated);
  } else {
    const GaussianPrediction measured = model.Predict(batch.obs(), batch.action(), config.over);
    step = model_env.StepFrom(OfHypotheses(model, measured, config.over), batch, generator_);
    const torch::Tensor u = ScaledUncertainty(config.measure, config, model, measured, step.hypothesis);
    step.finite = step.finite.logical_and(torch::isfinite(u));
    const UncertaintyRule::Judgement judged = uncertainty_.Judge(batch.reward(), u);
    batch.reward().copy_(judged.reward);
    exceeded = judged.exceeded;
    if (config.use == UncertaintyUse::kTerminate) {
      step.terminated = step.terminated.logical_or(exceeded);
    } else if (config.use == UncertaintyUse::kTruncate) {
      batch.truncated().copy_(exceeded);
    } else if (config.use == UncertaintyUse::kWeight) {
      batch.log_weight().copy_(-u / config.temperature);
    } else if (config.use == UncertaintyUse::kMask) {
      masked_by = u;
    }
  }
  batch.terminated().copy_(step.terminated);

  const torch::Tensor ended = step.terminated.logical_or(exceeded);
  const torch::Tensor live = step.finite.logical_and(ended.logical_not());
  return {.finite = step.finite,
          .live = live,
          .tally = torch::stack({step.finite.sum(), live.sum(), exceeded.logical_and(step.finite).sum()}),
          .u = masked_by};
}

Metrics BranchedRollout::MeasureAll(const torch::Tensor& obs, const ModelEnv& model_env, const Policy& policy) {
  const DynamicsModel& model = model_env.model();
  const torch::Tensor action = policy.Act({.obs = obs}, nullptr, ActMode::kSample, report_generator_);
  const GaussianPrediction prediction = model.Predict(obs, action, uncertainty_.config().over);
  if (prediction.mean.size(0) < 2) {
    return {};
  }
  const torch::Tensor hypothesis =
      torch::randint(model.hypotheses().size(0), {obs.size(0)}, report_generator_, obs.options().dtype(torch::kInt64));
  const torch::Tensor levels = torch::tensor({0.5, 0.9, 0.99}, obs.options());
  const std::vector<std::string> suffixes{"_q50", "_q90", "_q99"};
  Metrics metrics;
  for (const auto& [name, measure] : EnumNames(UncertaintyMeasure{})) {
    if (NeedsVariance(measure) && model.noise_dim() == 0) {
      continue;  // a model without noise has none
    }
    const torch::Tensor u = ScaledUncertainty(measure, uncertainty_.config(), model, prediction, hypothesis);
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
  uncertainty_.VisitState(state);
}

}  // namespace reverie
