#include "reverie/rollout/collector.h"

#include <algorithm>
#include <array>
#include <utility>

#include "reverie/env/action_bounds.h"

namespace reverie {
namespace {

constexpr std::array<int64_t, 1> kRow{0};  // of the memory

}  // namespace

Collector::Collector(std::unique_ptr<Env> env, const Rng& rng, const torch::Device& device)
    : env_(std::move(env)),
      reset_engine_(rng.Split("reset").Engine()),
      action_generator_(MakeGenerator(rng.Split("action"), device)),
      device_(device),
      obs_(env_->spec().obs_low.size()),
      next_obs_(obs_.size()),
      env_action_(env_->spec().action_low.size()),
      obs_row_(torch::zeros({1, spec().obs_dim()})),
      row_(TransitionBatch::Empty({spec().obs_dim(), spec().act_dim()}, 1, torch::kCPU)) {}

void Collector::Begin() {
  env_->Reset(reset_engine_, obs_);
  if (memory_) {
    memory_->Reset(kRow);
  }
  episode_ = {};
  in_episode_ = true;
}

void Collector::BeginFrom(std::span<const double> state) {
  Begin();
  env_->SetState(state, obs_);
}

void Collector::BeginIfNone() {
  if (!in_episode_) {
    Begin();
  }
}

const torch::Tensor& Collector::Observed() {
  std::copy(obs_.begin(), obs_.end(), obs_row_.data_ptr<float>());
  return obs_row_;
}

std::optional<EpisodeStats> Collector::Step(const Policy& policy, ReplayBuffer* buffer, SnapshotBuffer* snapshots) {
  BeginIfNone();
  const std::array<const Env*, 1> env{env_.get()};
  const torch::Tensor action = policy
                                   .Act({.obs = Observed().to(device_), .rows = kRow, .envs = env}, memory_.get(),
                                        ActMode::kSample, action_generator_)
                                   .to(torch::kCPU)
                                   .contiguous();
  return StepWith(action, buffer, snapshots);
}

std::optional<EpisodeStats> Collector::StepWith(const torch::Tensor& action, ReplayBuffer* buffer,
                                                SnapshotBuffer* snapshots) {
  BeginIfNone();
  const std::span<const float> action_values(action.data_ptr<float>(), env_action_.size());
  ToEnvAction(spec(), action_values, env_action_);
  const std::vector<double> before = snapshots != nullptr ? env_->Snapshot() : std::vector<double>();
  const StepResult result = env_->Step(env_action_, next_obs_);

  float* row = row_.rows.data_ptr<float>();
  row = std::copy(obs_.begin(), obs_.end(), row);
  row = std::copy(action_values.begin(), action_values.end(), row);
  row = std::copy(next_obs_.begin(), next_obs_.end(), row);
  *row++ = static_cast<float>(result.reward);
  *row++ = result.terminated ? 1.0F : 0.0F;
  *row++ = result.truncated ? 1.0F : 0.0F;
  *row = 0.0F;
  if (buffer != nullptr) {
    buffer->Add(row_);
  }
  if (snapshots != nullptr) {
    snapshots->Add(before);
  }

  ++env_steps_;
  episode_.episode_return += result.reward;
  ++episode_.length;
  std::swap(obs_, next_obs_);
  if (result.terminated || result.truncated) {
    in_episode_ = false;
    return episode_;
  }
  return std::nullopt;
}

void Collector::VisitState(StateVisitor& state) {
  std::vector<double> snapshot;
  if (!state.loading() && in_episode_) {
    snapshot = env_->Snapshot();
  }
  state("in_episode", in_episode_);
  state("env", snapshot);
  state("obs", obs_);
  state("reset_engine", reset_engine_);
  state("action_generator", action_generator_);
  state("env_steps", env_steps_);
  state("episode_return", episode_.episode_return);
  state("episode_length", episode_.length);
  if (memory_) {
    state("memory", *memory_);
  }
  // Acting begins episodes of its own, maybe in an environment that has changed since.
  if (state.loading() && !state.to_act() && in_episode_) {
    env_->Restore(snapshot);
  }
}

}  // namespace reverie
