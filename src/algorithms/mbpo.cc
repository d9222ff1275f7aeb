#include "reverie/algorithms/mbpo.h"

#include <algorithm>

#include "reverie/core/log.h"

namespace reverie {
namespace {

// Updates beside a minibatch of the model's, which take about as long as that: so do updates and fits in a run.
constexpr int64_t kRehearsedUpdates = 3;

}  // namespace

void Mbpo::Config::Visit(Fields& fields) {
  run.Visit(fields);
  fields("env", env, "the environment");
  fields("updates_per_step", updates_per_step, "gradient updates per env step after exploration (G)", AtLeast(1));
  fields("real_ratio", real_ratio, "share of real rows in each batch", Between(0, 1));
  fields("epoch_length", epoch_length, "env steps that the rollout schedule calls an epoch", AtLeast(1));
  fields("replay_capacity", replay_capacity, "real transitions kept", AtLeast(1));
  fields("model", model, "the dynamics model");
  fields.Check([this] { return RewardMisfit(model.reward, env.id, env.maker.task_functions()); });
  fields.Check([this] { return model.LacksOf(run.exploration_steps, replay_capacity); });
  fields("rollout", rollout, "imagined rollouts");
  fields.Check([this] {
    constexpr double kCountable = 1e15;
    const double rows = static_cast<double>(rollout.length.Max()) * static_cast<double>(rollout.start_states) *
                        static_cast<double>(rollout.retain_epochs) *
                        std::max(1.0, static_cast<double>(epoch_length) / static_cast<double>(model.retrain_every));
    return rows > kCountable ? "imagines more rows than there are places for" : std::string();
  });
  fields("uncertainty", uncertainty, "what is done with the model's uncertainty");
  fields.Check([this] { return uncertainty.LacksOf(model.card()); });
  fields("sac", sac, "the learner");
}

Mbpo::Mbpo(const Config& config, const torch::Device& device)
    : config_(config),
      rng_(static_cast<uint64_t>(config.run.seed)),
      collector_(config.env.maker.make(), rng_.Split("collector"), device),
      random_policy_(collector_.spec().act_dim(), device),
      env_buffer_(collector_.layout(), config.replay_capacity, device, 0, "replay_capacity"),
      model_(config.model.choice.maker().make(
          {.layout = collector_.layout(),
           .learn_reward = LearnsReward(config.model.reward, config.env.maker.task_functions()),
           .features = config.env.maker.task_functions().features},
          rng_.Split("model"), device)),
      model_env_(*model_, config.env.maker.task_functions(), collector_.spec(), device),
      model_trainer_(config.model.retrain_every, rng_),
      rollout_(config.rollout, config.uncertainty,
               std::max<int64_t>(1, config.epoch_length / config.model.retrain_every), rng_.Split("rollout"), device),
      model_buffer_(collector_.layout(), rollout_.RowsKept(0), device, rollout_.MostRowsKept(),
                    "rollout.start_states, rollout.length or rollout.retain_epochs, or raise model.retrain_every"),
      sampler_(env_buffer_, model_buffer_, config.real_ratio),
      learner_(config.sac, collector_.layout(), rng_.Split("learner"), device) {}

void Mbpo::Train(RunContext& run) {
  LogInfo(config_.env.id + ": " + WhatIsLearned(model_->learns_reward(), config_.env.maker.task_functions()));
  model_->LogRemarks();
  while (collector_.env_steps() < config_.run.total_steps && !run.stopping()) {
    if (model_trainer_.DueAfter(StepsOfLearning())) {
      const std::optional<Metrics> fit = run.Timed(
          "model_fit", [&] { return model_trainer_.Fit(*model_, env_buffer_, [&run] { return run.stopping(); }); });
      if (!fit) {
        break;  // this step is done again when the run goes on
      }
      run.Log("model", *fit);
      run.Log("rollout", run.Timed("rollout", [&] {
        return rollout_.Run(Epoch(), env_buffer_, model_env_, learner_.actor(), &model_buffer_);
      }));
    }
    if (StepsOfLearning() < 0) {
      run.NoteEpisode(collector_.Step(random_policy_, &env_buffer_));
    } else {
      run.NoteEpisode(run.Timed("env", [&] { return collector_.Step(learner_.actor(), &env_buffer_); }));
      run.Timed("updates", [&] { learner_.Update(sampler_, config_.updates_per_step); });
    }
    run.Tick(collector_.env_steps(), learner_.updates(), "sac", [&] { return learner_.DrainMetrics(); });
  }
}

bool Mbpo::Rehearse() {
  const TransitionLayout layout = env_buffer_.layout();
  const TransitionBatch row{layout, torch::zeros({1, layout.width()}, torch::device(env_buffer_.device()))};
  env_buffer_.Add(row);
  model_buffer_.Add(row);
  model_->Rehearse();
  learner_.Update(sampler_, kRehearsedUpdates);
  return true;
}

std::vector<std::filesystem::path> Mbpo::Export(const std::filesystem::path& torchscript) {
  return ExportActor(learner_.actor(), collector_.spec(), config_.env, torchscript);
}

void Mbpo::VisitState(StateVisitor& state) {
  state("collector", collector_);
  state("env_buffer", env_buffer_);
  state("model", *model_);
  state("rollout", rollout_);
  state("model_buffer", model_buffer_);
  state("learner", learner_);
  model_trainer_.VisitState(state);
}

}  // namespace reverie
