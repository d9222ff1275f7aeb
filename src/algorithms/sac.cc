#include "reverie/algorithms/sac.h"

namespace reverie {

void Sac::Config::Visit(Fields& fields) {
  run.Visit(fields);
  fields("env", env, "the environment");
  fields("updates_per_step", updates_per_step, "gradient updates per env step after exploration", AtLeast(1));
  fields("replay_capacity", replay_capacity, "transitions kept", AtLeast(1));
  fields("sac", sac, "the learner");
}

Sac::Sac(const Config& config, const torch::Device& device)
    : config_(config),
      rng_(static_cast<uint64_t>(config.run.seed)),
      collector_(config.env.maker.make(), rng_.Split("collector"), device),
      random_policy_(collector_.spec().act_dim(), device),
      buffer_(collector_.layout(), config.replay_capacity, device, 0, "replay_capacity"),
      sampler_(buffer_),
      learner_(config.sac, collector_.layout(), rng_.Split("learner"), device) {}

void Sac::Train(RunContext& run) {
  while (collector_.env_steps() < config_.run.total_steps && !run.stopping()) {
    if (collector_.env_steps() < config_.run.exploration_steps) {
      run.NoteEpisode(collector_.Step(random_policy_, &buffer_));
    } else {
      run.NoteEpisode(run.Timed("env", [&] { return collector_.Step(learner_.actor(), &buffer_); }));
      run.Timed("updates", [&] { learner_.Update(sampler_, config_.updates_per_step); });
    }
    run.Tick(collector_.env_steps(), learner_.updates(), "sac", [&] { return learner_.DrainMetrics(); });
  }
}

bool Sac::Rehearse() {
  buffer_.Add({buffer_.layout(), torch::zeros({1, buffer_.layout().width()}, torch::device(buffer_.device()))});
  learner_.Update(sampler_, 1);
  return true;
}

std::vector<std::filesystem::path> Sac::Export(const std::filesystem::path& torchscript) {
  return ExportActor(learner_.actor(), collector_.spec(), config_.env, torchscript);
}

void Sac::VisitState(StateVisitor& state) {
  state("collector", collector_);
  state("buffer", buffer_);
  state("learner", learner_);
}

}  // namespace reverie
