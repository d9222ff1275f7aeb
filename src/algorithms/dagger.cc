#include "reverie/algorithms/dagger.h"

#include <cmath>
#include <random>

namespace reverie {

Dagger::Config::Config(const EnvRegistry& envs) : run({.explores = false}), env(envs) {}

void Dagger::Config::Visit(Fields& fields) {
  run.Visit(fields);
  fields("env", env, "the environment");
  fields("expert", expert, "whose actions are the labels");
  fields.Check([this] { return expert.Misfit(env.maker); });
  fields(
      "beta", beta,
      "the expert acts with the probability beta^(i - 1) in iteration i; 0: in the first alone, 1: in all (behaviour "
      "cloning)",
      Between(0, 1));
  fields("lessons", lessons, "the iterations");
  fields.Check([this] { return lessons.Misfit(env.maker, run.total_steps); });
  fields("learner", learner, "the network and its fits");
}

Dagger::Dagger(const Config& config, const torch::Device& device)
    : config_(config),
      rng_(static_cast<uint64_t>(config.run.seed)),
      collector_(config.lessons.Limited(config.env.maker.make()), rng_.Split("collector"), device),
      expert_(config.expert.choice.maker().make(config.env.maker)),
      learner_(config.learner, collector_.spec().obs_dim(), collector_.spec().act_dim(), rng_.Split("learner"), device),
      coin_(rng_.Split("coin").Engine()),
      lessons_(config.lessons) {}

void Dagger::Train(RunContext& run) {
  while (collector_.env_steps() < config_.run.total_steps && !run.stopping()) {
    collector_.BeginIfNone();
    const Advice label = run.Timed("expert", [&] { return expert_(collector_.env()); });
    learner_.Add(collector_.Observed(), label.Act());
    const double beta = std::pow(config_.beta, static_cast<double>(lessons_.iteration()));
    const bool expert_acts = std::uniform_real_distribution<double>(0, 1)(coin_) < beta;
    const std::optional<EpisodeStats> episode = run.Timed("env", [&] {
      return expert_acts ? collector_.StepWith(label.Act(), nullptr) : collector_.Step(learner_.actor(), nullptr);
    });
    run.NoteEpisode(episode);
    if (lessons_.EndedBy(episode, collector_.last())) {
      run.Log("learner", run.Timed("fit", [&] { return learner_.Fit(); }));
      run.Log("lessons", lessons_.Report());
    }
    run.Tick(collector_.env_steps(), lessons_.iteration(), "policy", [] { return Metrics(); });
  }
}

std::vector<std::filesystem::path> Dagger::Export(const std::filesystem::path& torchscript) {
  return ExportActor(learner_.actor(), collector_.spec(), config_.env, torchscript);
}

void Dagger::VisitState(StateVisitor& state) {
  state("collector", collector_);
  state("learner", learner_);
  state("coin", coin_);
  state("lessons", lessons_);
}

}  // namespace reverie
