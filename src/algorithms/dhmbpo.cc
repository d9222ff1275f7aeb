#include "reverie/algorithms/dhmbpo.h"

#include <algorithm>

#include "reverie/core/log.h"

namespace reverie {
namespace {

// Between two looks at whether the run is to stop.
constexpr int64_t kUpdatesAtOnce = 20;
// Updates that are rehearsed beside a minibatch of the model's. In a run about as many come to one.
constexpr int64_t kUpdatesAMinibatch = 2;

}  // namespace

void Dhmbpo::Config::Visit(Fields& fields) {
  run.Visit(fields);
  fields("env", env, "the environment");
  fields("updates_per_step", updates_per_step, "updates of critics and actor per env step after exploration (G)",
         AtLeast(1));
  fields("critic_updates", critic_updates,
         "updates of the critics alone after each fit (C); auto: a fourth of model.retrain_every", AtLeast(0));
  fields("first_iteration", first_iteration, "updates after the first fit as a multiple of those after the others",
         AtLeast(1));
  fields("replay_capacity", replay_capacity, "real transitions kept", AtLeast(1));
  fields("model", model, "the dynamics model");
  fields.Check([this] { return RewardMisfit(model.reward, env.id, env.maker.task_functions()); });
  fields.Check([this] { return model.LacksOf(run.exploration_steps, replay_capacity); });
  fields.Check([this] { return model.LacksDerivatives(); });
  fields("rollout", rollout, "imagined rollouts that states to start from come from");
  fields("learner", learner, "the learner");
}

Dhmbpo::Dhmbpo(const Config& config, const torch::Device& device)
    : config_(config),
      rng_(static_cast<uint64_t>(config.run.seed)),
      collector_(config.env.maker.make(), rng_.Split("collector"), device),
      random_policy_(collector_.spec().act_dim(), device),
      env_buffer_(collector_.layout(), config.replay_capacity, device, 0, "replay_capacity"),
      model_(config.model.Make(collector_.layout(), config.env.maker.task_functions(), rng_, device)),
      model_env_(*model_, config.env.maker.task_functions(), collector_.spec(), device),
      model_trainer_(config.model.retrain_every, rng_),
      rollout_(config.rollout, collector_.layout().obs_dim, rng_.Split("rollout"), device),
      learner_(config.learner, collector_.layout(), rng_.Split("learner"), device),
      imagined_states_([this](TransitionBatch& rows, torch::Generator& generator) {
        torch::Tensor obs = rows.obs();
        rollout_.SampleInto(obs, generator);
      }) {}

void Dhmbpo::Train(RunContext& run) {
  LogInfo(config_.env.id + ": " + WhatIsLearned(model_->learns_reward(), config_.env.maker.task_functions()));
  model_->LogRemarks();
  while (!run.stopping() && (collector_.env_steps() < config_.run.total_steps || !iteration_.IsOver())) {
    if (iteration_.IsOver()) {
      const bool exploring = StepsOfLearning() < 0;
      run.NoteEpisode(run.Timed("env", [&] {
        return exploring ? collector_.Step(random_policy_, &env_buffer_)
                         : collector_.Step(learner_.actor(), &env_buffer_);
      }));
      if (model_trainer_.DueAfter(StepsOfLearning())) {
        BeginIteration();
      }
    }
    if (!FinishIteration(run)) {
      run.NoteUnfinishedStep();
      break;
    }
    run.Tick(collector_.env_steps(), learner_.updates(), "learner", [&] { return learner_.DrainMetrics(); });
  }
}

void Dhmbpo::BeginIteration() {
  const int64_t times = model_trainer_.fits() == 0 ? config_.first_iteration : 1;
  iteration_ = {.fit = true,
                .critic_updates = config_.CriticUpdates(),
                .updates = times * config_.updates_per_step * config_.model.retrain_every};
}

bool Dhmbpo::FinishIteration(RunContext& run) {
  if (iteration_.fit) {
    const std::optional<Metrics> fit =
        run.Timed("model_fit", [&] { return model_trainer_.Fit(*model_, env_buffer_, run.StopOfFit()); });
    if (!fit) {
      return false;
    }
    run.Log("model", *fit);
    learner_.FitNormalizer(env_buffer_.All().obs());
    learner_.ResetOptimizers();
    if (iteration_.critic_updates > 0) {
      run.Timed("rollout", [&] { RollStates(config_.rollout.StatesFor(iteration_.critic_updates)); });
    }
    iteration_.fit = false;
  }
  while (iteration_.critic_updates > 0 &&
         !run.StopsAmid("updating the critics", iteration_.critic_updates, "updates left")) {
    const int64_t updates = std::min(kUpdatesAtOnce, iteration_.critic_updates);
    run.Timed("critic_updates", [&] { learner_.UpdateCritics(imagined_states_, &model_env_, updates); });
    iteration_.critic_updates -= updates;
  }
  while (iteration_.updates > 0 && !run.StopsAmid("updating critics and actor", iteration_.updates, "updates left")) {
    if (iteration_.until_rollout == 0) {
      run.Timed("rollout", [&] { RollStates(config_.rollout.StatesOfOne()); });
      iteration_.until_rollout = config_.rollout.every_updates;
    }
    const int64_t updates = std::min({kUpdatesAtOnce, iteration_.until_rollout, iteration_.updates});
    run.Timed("updates", [&] { learner_.Update(imagined_states_, &model_env_, updates); });
    iteration_.updates -= updates;
    iteration_.until_rollout -= updates;
  }
  if (!iteration_.IsOver()) {
    return false;
  }
  run.Log("rollout", rollout_.DrainMetrics());
  return true;
}

void Dhmbpo::RollStates(int64_t wanted) { rollout_.Run(wanted, env_buffer_, model_env_, learner_.actor()); }

bool Dhmbpo::Rehearse() {
  env_buffer_.Add(
      {env_buffer_.layout(), torch::zeros({1, env_buffer_.layout().width()}, torch::device(env_buffer_.device()))});
  model_->Rehearse();
  RollStates(1);
  learner_.Update(imagined_states_, &model_env_, kUpdatesAMinibatch);
  return true;
}

std::vector<std::filesystem::path> Dhmbpo::Export(const std::filesystem::path& torchscript) {
  return ExportActor(learner_.actor(), collector_.spec(), config_.env, torchscript);
}

void Dhmbpo::Iteration::VisitState(StateVisitor& state) {
  state("fit", fit);
  state("critic_updates", critic_updates);
  state("updates", updates);
  state("until_rollout", until_rollout);
}

std::optional<Algorithm::LearnedModel> Dhmbpo::learned_model() const {
  return LearnedModel{*model_, model_trainer_.UnseenOf(env_buffer_)};
}

void Dhmbpo::VisitState(StateVisitor& state) {
  state("collector", collector_);
  state("env_buffer", env_buffer_);
  state("model", *model_);
  state("rollout", rollout_);
  state("learner", learner_);
  state("iteration", iteration_);
  model_trainer_.VisitState(state);
}

}  // namespace reverie
