#include "reverie/algorithms/svg.h"

#include "reverie/core/log.h"

namespace reverie {
namespace {

// Updates beside a minibatch of the model's, about as many as come to one in a run.
constexpr int64_t kRehearsedSvgUpdates = 2;

}  // namespace

void Svg::Config::Visit(Fields& fields) {
  run.Visit(fields);
  fields("env", env, "the environment");
  fields("updates_per_step", updates_per_step, "updates of critics and actor per env step after exploration (G)",
         AtLeast(1));
  fields("replay_capacity", replay_capacity, "real transitions kept", AtLeast(1));
  fields("learner", learner, "the learner");
  fields.When(learner.Imagines(), [&] {
    fields("model", model, "the dynamics model");
    fields.Check([this] { return RewardMisfit(model.reward, env.id, env.maker.task_functions()); });
    fields.Check([this] { return model.LacksOf(run.exploration_steps, replay_capacity); });
    fields.Check([this] {
      return model.card().is_coarse
                 ? "precision: expected float32, as what is learned goes through derivatives of the steps"
                 : model.LacksDerivatives();
    });
    fields.Check([this] {
      return learner.noise == NoiseSource::kInferred && !model.card().is_gaussian
                 ? "learner.noise: inferred is of Gaussian steps, which those of model.kind: " + model.choice.kind() +
                       " are not; expected sampled"
                 : "";
    });
    fields.Check([this] {
      const bool known_alone = !learner.HasCritics() && !LearnsReward(model.reward, env.maker.task_functions());
      return known_alone && !RewardHasDerivatives(env.maker)
                 ? "learner.terminal_value: none learns from derivatives of the reward, which the known one of " +
                       env.id + " does not have; reward: learned does"
                 : "";
    });
  });
}

Svg::Svg(const Config& config, const torch::Device& device)
    : config_(config),
      rng_(static_cast<uint64_t>(config.run.seed)),
      collector_(config.env.maker.make(), rng_.Split("collector"), device),
      random_policy_(collector_.spec().act_dim(), device),
      env_buffer_(collector_.layout(), config.replay_capacity, device, 0, "replay_capacity"),
      model_trainer_(config.model.retrain_every, rng_),
      sampler_(env_buffer_),
      learner_(config.learner, collector_.layout(), rng_.Split("learner"), device) {
  if (config.learner.horizon > 0) {
    const TaskFunctions task = config.env.maker.task_functions();
    model_ = config.model.Make(collector_.layout(), task, rng_, device);
    model_env_.emplace(*model_, task, collector_.spec(), device);
  }
}

void Svg::Train(RunContext& run) {
  if (model_) {
    LogInfo(config_.env.id + ": " + WhatIsLearned(model_->learns_reward(), config_.env.maker.task_functions()));
    model_->LogRemarks();
  }
  while (collector_.env_steps() < config_.run.total_steps && !run.stopping()) {
    const bool fits = model_ != nullptr && model_trainer_.DueAfter(StepsOfLearning());
    if (fits && !FitModel(run)) {
      break;  // this step is done again when the run goes on
    }
    if (fits || StepsOfLearning() == 0) {
      learner_.FitNormalizer(env_buffer_.All().obs());
    }
    if (StepsOfLearning() < 0) {
      run.NoteEpisode(collector_.Step(random_policy_, &env_buffer_));
    } else {
      run.NoteEpisode(run.Timed("env", [&] { return collector_.Step(learner_.actor(), &env_buffer_); }));
      run.Timed("updates", [&] { Update(config_.updates_per_step); });
    }
    run.Tick(collector_.env_steps(), learner_.updates(), "learner", [&] { return learner_.DrainMetrics(); });
  }
}

bool Svg::FitModel(RunContext& run) {
  const std::optional<Metrics> fit =
      run.Timed("model_fit", [&] { return model_trainer_.Fit(*model_, env_buffer_, run.StopOfFit()); });
  if (fit) {
    run.Log("model", *fit);
  }
  return fit.has_value();
}

void Svg::Update(int64_t updates) {
  const auto real_rows = [this](TransitionBatch& rows, torch::Generator& generator) {
    sampler_.SampleInto(rows, generator);
  };
  learner_.Update(real_rows, model_env_ ? &*model_env_ : nullptr, updates);
}

bool Svg::Rehearse() {
  env_buffer_.Add(
      {env_buffer_.layout(), torch::zeros({1, env_buffer_.layout().width()}, torch::device(env_buffer_.device()))});
  if (model_) {
    model_->Rehearse();
  }
  Update(kRehearsedSvgUpdates);
  return true;
}

std::vector<std::filesystem::path> Svg::Export(const std::filesystem::path& torchscript) {
  return ExportActor(learner_.actor(), collector_.spec(), config_.env, torchscript);
}

std::optional<Algorithm::LearnedModel> Svg::learned_model() const {
  return model_ ? std::optional(LearnedModel{*model_, model_trainer_.UnseenOf(env_buffer_)}) : std::nullopt;
}

void Svg::VisitState(StateVisitor& state) {
  state("collector", collector_);
  state("env_buffer", env_buffer_);
  if (model_) {
    state("model", *model_);
  }
  state("learner", learner_);
  model_trainer_.VisitState(state);
}

}  // namespace reverie
