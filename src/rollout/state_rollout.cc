#include "reverie/rollout/state_rollout.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <stdexcept>

namespace reverie {

void StateRolloutConfig::Visit(Fields& fields) {
  fields("start_states", start_states, "real states that a rollout begins from", AtLeast(1));
  fields("length", length, "imagined steps of a rollout (k)", AtLeast(1));
  fields("every_updates", every_updates, "updates from one rollout to the next", AtLeast(1));
  fields("retain", retain, "times every_updates x start_states states that are kept", AtLeast(1));
  fields.Check([this] {
    constexpr double kCountable = 1e12;
    const double states = static_cast<double>(start_states) * static_cast<double>(every_updates) *
                          static_cast<double>(retain) * static_cast<double>(length);
    return states > kCountable ? "imagines more states than there are places for" : std::string();
  });
}

StateRollout::StateRollout(const StateRolloutConfig& config, int64_t obs_dim, const Rng& rng,
                           const torch::Device& device)
    : config_(config),
      generator_(MakeGenerator(rng, device)),
      states_(torch::zeros({config.Capacity(), obs_dim}, torch::device(device))),
      size_on_device_(torch::zeros({}, torch::device(device).dtype(torch::kFloat64))) {}

void StateRollout::Run(int64_t wanted, const ReplayBuffer& real_buffer, const ModelEnv& model_env,
                       const Policy& policy) {
  const torch::NoGradGuard no_grad;
  TransitionBatch batch = TransitionBatch::Empty(real_buffer.layout(), config_.start_states, real_buffer.device());
  const torch::Tensor places = torch::empty({config_.start_states}, batch.rows.options().dtype(torch::kInt64));
  for (int64_t kept = 0; kept < wanted;) {
    real_buffer.SampleInto(batch.rows, places, generator_);
    torch::Tensor alive = torch::ones_like(places, torch::kBool);
    std::vector<torch::Tensor> states{batch.obs().clone()};
    std::vector<torch::Tensor> keep{alive};
    for (int64_t t = 0; t < config_.length; ++t) {
      batch.action().copy_(policy.Act({.obs = batch.obs()}, nullptr, ActMode::kSample, generator_));
      const ImaginedStep step = model_env.Step(batch, generator_);
      alive = alive.logical_and(step.terminated.logical_not()).logical_and_(step.finite);
      // Rows that ended are imagined on from where they were.
      batch.obs().copy_(torch::where(alive.unsqueeze(1), batch.next_obs(), batch.obs()));
      states.push_back(batch.obs().clone());
      keep.push_back(alive);
    }
    const torch::Tensor chosen = torch::cat(states).index({torch::cat(keep)});
    Add(chosen);
    kept += chosen.size(0);
    kept_ += chosen.size(0);
    imagined_ += config_.start_states * config_.length;
    dead_ += config_.start_states * (config_.length + 1) - chosen.size(0);
  }
}

void StateRollout::Add(const torch::Tensor& obs) {
  const int64_t count = std::min(obs.size(0), capacity());
  const torch::Tensor newest = obs.narrow(0, obs.size(0) - count, count);
  const int64_t until_end = std::min(count, capacity() - next_);
  states_.narrow(0, next_, until_end).copy_(newest.narrow(0, 0, until_end));
  states_.narrow(0, 0, count - until_end).copy_(newest.narrow(0, until_end, count - until_end));
  next_ = (next_ + count) % capacity();
  size_ = std::min(size_ + count, capacity());
  size_on_device_.fill_(static_cast<double>(size_));
}

void StateRollout::SampleInto(torch::Tensor& obs, torch::Generator& generator) const {
  if (size_ == 0) {
    throw std::logic_error("StateRollout: no state to draw from");
  }
  const torch::Tensor uniform = torch::rand({obs.size(0)}, generator, size_on_device_.options());
  const torch::Tensor index = (uniform * size_on_device_).to(torch::kInt64);
  at::index_select_out(obs, states_, 0, index);
}

Metrics StateRollout::DrainMetrics() {
  Metrics metrics;
  if (imagined_ > 0) {
    metrics.Set("states", static_cast<double>(kept_));
    metrics.Set("share_dead", static_cast<double>(dead_) / static_cast<double>(imagined_));
    metrics.Set("buffer_size", static_cast<double>(size_));
  }
  kept_ = imagined_ = dead_ = 0;
  return metrics;
}

void StateRollout::VisitState(StateVisitor& state) {
  state("generator", generator_);
  state("states", states_);
  state("size", size_);
  state("next", next_);
  state("kept", kept_);
  state("imagined", imagined_);
  state("dead", dead_);
  if (state.loading()) {
    size_on_device_.fill_(static_cast<double>(size_));
  }
}

}  // namespace reverie
