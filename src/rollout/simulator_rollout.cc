#include "reverie/rollout/simulator_rollout.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <stdexcept>
#include <string>

#include "reverie/env/action_bounds.h"

namespace reverie {
namespace {

// Rows rolled at once, which bounds the memory that their snapshots take.
constexpr int64_t kSimulatedRows = 8192;

}  // namespace

SimulatorRollout::SimulatorRollout(const RolloutConfig& config, int64_t rollouts_per_epoch, const EnvMaker& maker,
                                   int64_t threads, const Rng& rng, const torch::Device& device)
    : config_(config),
      rollouts_per_epoch_(rollouts_per_epoch),
      device_(device),
      generator_(MakeGenerator(rng, device)),
      threads_(threads) {
  for (int64_t i = 0; i < threads_.size(); ++i) {
    envs_.push_back(maker.make());
  }
}

Metrics SimulatorRollout::Run(int64_t epoch, const ReplayBuffer& real_buffer, const SnapshotBuffer& snapshots,
                              const Policy& policy, ReplayBuffer* model_buffer) {
  const torch::NoGradGuard no_grad;
  const int64_t length = config_.length.At(epoch);
  model_buffer->SetCapacity(config_.RowsKept(length, rollouts_per_epoch_));
  Counts counts;
  for (int64_t begin = 0; begin < config_.start_states; begin += kSimulatedRows) {
    const int64_t count = std::min(kSimulatedRows, config_.start_states - begin);
    const TransitionBatch starts = TransitionBatch::Empty(real_buffer.layout(), count, device_);
    const torch::Tensor places = torch::empty({count}, starts.rows.options().dtype(torch::kInt64));
    real_buffer.SampleInto(starts.rows, places, generator_);
    RunChunk(length, {starts.layout, starts.rows.cpu()}, snapshots.At(places.cpu()), policy, model_buffer, &counts);
  }
  if (counts.stored == 0) {
    throw std::runtime_error("rollouts in the simulator: the environment failed in every one of " +
                             std::to_string(counts.imagined) + " steps");
  }
  const auto imagined = static_cast<double>(counts.imagined);
  Metrics metrics;
  metrics.Set("length", static_cast<double>(length));
  metrics.Set("rows", static_cast<double>(counts.stored));
  metrics.Set("share_ended", static_cast<double>(counts.ended) / imagined);
  metrics.Set("dropped_rows", static_cast<double>(counts.imagined - counts.stored));
  metrics.Set("buffer_size", static_cast<double>(model_buffer->size()));
  return metrics;
}

void SimulatorRollout::RunChunk(int64_t length, TransitionBatch batch, torch::Tensor states, const Policy& policy,
                                ReplayBuffer* model_buffer, Counts* counts) {
  if (envs_[0]->spec().random_steps) {
    GiveNoise(states);
  }
  for (int64_t h = 0; h < length && batch.size() > 0; ++h) {
    batch.action().copy_(policy.Act({.obs = batch.obs().to(device_)}, nullptr, ActMode::kSample, generator_));
    const std::vector<Outcome> outcomes = Step(batch, states);
    std::vector<int64_t> stored, live;
    for (size_t i = 0; i < outcomes.size(); ++i) {
      if (outcomes[i] != Outcome::kFailed) {
        stored.push_back(static_cast<int64_t>(i));
      }
      if (outcomes[i] == Outcome::kLive) {
        live.push_back(static_cast<int64_t>(i));
      }
    }
    counts->imagined += batch.size();
    counts->stored += static_cast<int64_t>(stored.size());
    counts->ended += static_cast<int64_t>(stored.size() - live.size());
    model_buffer->Add({batch.layout, batch.rows.index_select(0, torch::tensor(stored, torch::kInt64)).to(device_)});
    const torch::Tensor going_on = torch::tensor(live, torch::kInt64);
    batch.rows = batch.rows.index_select(0, going_on);
    states = states.index_select(0, going_on);
    batch.obs().copy_(batch.next_obs());
  }
}

void SimulatorRollout::GiveNoise(torch::Tensor& states) {
  const torch::Tensor seeds =
      torch::zeros({states.size(0)}, torch::dtype(torch::kInt64).device(device_)).random_(generator_).cpu();
  Env& env = *envs_[0];
  for (int64_t i = 0; i < states.size(0); ++i) {
    const std::span<double> state(states[i].data_ptr<double>(), static_cast<size_t>(states.size(1)));
    env.Restore(state);
    env.Reseed(static_cast<uint64_t>(seeds.data_ptr<int64_t>()[i]));
    const std::vector<double> with_noise = env.Snapshot();
    std::copy(with_noise.begin(), with_noise.end(), state.begin());
  }
}

std::vector<SimulatorRollout::Outcome> SimulatorRollout::Step(TransitionBatch& batch, torch::Tensor& states) {
  std::vector<Outcome> outcomes(static_cast<size_t>(batch.size()));
  float* rows = batch.rows.data_ptr<float>();
  double* snapshots = states.data_ptr<double>();
  const auto numbers = static_cast<size_t>(states.size(1));
  threads_.Run(batch.size(), [&](int64_t i, int64_t worker) {
    outcomes[static_cast<size_t>(i)] =
        StepRow(*envs_[static_cast<size_t>(worker)], {snapshots + i * states.size(1), numbers},
                rows + i * batch.layout.width());
  });
  return outcomes;
}

SimulatorRollout::Outcome SimulatorRollout::StepRow(Env& env, std::span<double> state, float* row) {
  const EnvSpec& spec = env.spec();
  const float* action = row + spec.obs_dim();
  std::vector<double> env_action(spec.action_low.size());
  std::vector<double> next_obs(spec.obs_low.size());
  ToEnvAction(spec, {action, env_action.size()}, env_action);
  env.Restore(state);
  StepResult step;
  try {
    step = env.Step(env_action, next_obs);
  } catch (const std::runtime_error&) {  // it blew up, or gave a number that is none
    return Outcome::kFailed;
  }
  const std::vector<double> after = env.Snapshot();
  std::copy(after.begin(), after.end(), state.begin());
  float* to = std::copy(next_obs.begin(), next_obs.end(), row + spec.obs_dim() + spec.act_dim());
  *to++ = static_cast<float>(step.reward);
  *to++ = step.terminated ? 1.0F : 0.0F;
  *to++ = 0.0F;  // truncated
  *to = 0.0F;    // log_weight
  return step.terminated ? Outcome::kEnded : Outcome::kLive;
}

}  // namespace reverie
