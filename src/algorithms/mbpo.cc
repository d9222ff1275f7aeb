#include "reverie/algorithms/mbpo.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <optional>

#include "reverie/core/log.h"

namespace reverie {
namespace {

// Updates beside a minibatch of the model's, which take about as long as that: so do updates and fits in a run.
constexpr int64_t kRehearsedUpdates = 3;

std::unique_ptr<ReplayBuffer> NewModelBuffer(const Mbpo::Config& config, const TransitionLayout& layout,
                                             const torch::Device& device) {
  const auto rows_of = [&](int64_t length) { return config.rollout.RowsKept(length, config.RolloutsPerEpoch()); };
  return std::make_unique<ReplayBuffer>(
      layout, rows_of(config.rollout.length.At(0)), device, rows_of(config.rollout.length.Max()),
      "rollout.start_states, rollout.length or rollout.retain_epochs, or raise model.retrain_every");
}

}  // namespace

int64_t Mbpo::Config::RolloutsPerEpoch() const { return std::max<int64_t>(1, epoch_length / model.retrain_every); }

void Mbpo::Config::Visit(Fields& fields) {
  const Condition rolls_out{.key = "real_ratio", .wanted = "below 1", .holds = [this] { return RollsOut(); }};
  run.Visit(fields);
  fields("env", env, "the environment");
  fields("updates_per_step", updates_per_step, "gradient updates per env step after exploration (G)", AtLeast(1));
  fields("real_ratio", real_ratio, "share of real rows in each batch; 1: no rollouts are made", Between(0, 1));
  fields.When(rolls_out, [&] {
    fields("epoch_length", epoch_length, "env steps that the rollout schedule calls an epoch", AtLeast(1));
  });
  fields("replay_capacity", replay_capacity, "real transitions kept", AtLeast(1));
  fields("model", model, "the dynamics model");
  fields.Check([this] { return RewardMisfit(model.reward, env.id, env.maker.task_functions()); });
  fields.Check([this] { return model.LacksOf(run.exploration_steps, replay_capacity); });
  fields.Check([this]() -> std::string {
    return !model.learned() && !RollsOut() ? "kind: simulator serves rollouts, of which real_ratio: 1 makes none; "
                                             "expected real_ratio below 1"
                                           : "";
  });
  fields.When(rolls_out, [&] {
    fields("rollout", rollout, "imagined rollouts");
    fields.Check([this] {
      constexpr double kCountable = 1e15;
      const double rows = static_cast<double>(rollout.length.Max()) * static_cast<double>(rollout.start_states) *
                          static_cast<double>(rollout.retain_epochs) *
                          std::max(1.0, static_cast<double>(epoch_length) / static_cast<double>(model.retrain_every));
      return rows > kCountable ? "imagines more rows than there are places for" : std::string();
    });
    fields.When(model.IsLearned(), [&] {
      fields("uncertainty", uncertainty, "what is done with the model's uncertainty");
      fields.Check([this] { return uncertainty.LacksOf(model.card()); });
    });
  });
  fields.Section("sac", "the learner", [this](Fields& learner) {
    sac.Visit(learner);
    learner.When(model.IsLearned(), [&] {
      learner("expansion", expansion, "imagined steps in the critics' targets");
      learner.Check([this]() -> std::string {
        return RollsOut() || expansion.horizon > 0 ? ""
                                                   : "horizon: 0 with real_ratio: 1 leaves nothing that the "
                                                     "model is fitted for; expected one above 0, or algorithm: sac";
      });
    });
  });
}

Mbpo::Learned::Learned(const Config& config, const EnvSpec& spec, const Rng& rng, const torch::Device& device)
    : model(config.model.Make({spec.obs_dim(), spec.act_dim()}, config.env.maker.task_functions(), rng, device)),
      model_env(*model, config.env.maker.task_functions(), spec, device),
      rollout(config.rollout, config.uncertainty, config.RolloutsPerEpoch(), rng.Split("rollout"), device) {}

Mbpo::Simulator::Simulator(const Config& config, const Rng& rng, const torch::Device& device)
    : snapshots(config.replay_capacity),
      rollout(config.rollout, config.RolloutsPerEpoch(), config.env.maker, at::get_num_threads(), rng.Split("rollout"),
              device) {}

Mbpo::Mbpo(const Config& config, const torch::Device& device)
    : config_(config),
      rng_(static_cast<uint64_t>(config.run.seed)),
      collector_(config.env.maker.make(), rng_.Split("collector"), device),
      random_policy_(collector_.spec().act_dim(), device),
      env_buffer_(collector_.layout(), config.replay_capacity, device, 0, "replay_capacity"),
      learned_(config.model.learned() ? std::make_unique<Learned>(config, collector_.spec(), rng_, device) : nullptr),
      simulator_(config.model.learned() ? nullptr : std::make_unique<Simulator>(config, rng_, device)),
      model_trainer_(config.model.retrain_every, rng_),
      model_buffer_(config.RollsOut() ? NewModelBuffer(config, collector_.layout(), device) : nullptr),
      sampler_(model_buffer_ ? MixedSampler(env_buffer_, *model_buffer_, config.real_ratio)
                             : MixedSampler(env_buffer_)),
      learner_(config.sac, collector_.layout(), rng_.Split("learner"), device,
               config.expansion.horizon > 0
                   ? std::optional(ValueExpansion(config.expansion, learned_->model_env, config.sac.discount, device))
                   : std::nullopt) {}

void Mbpo::Train(RunContext& run) {
  if (learned_) {
    LogInfo(config_.env.id + ": " +
            WhatIsLearned(learned_->model->learns_reward(), config_.env.maker.task_functions()));
    learned_->model->LogRemarks();
  }
  SnapshotBuffer* snapshots = simulator_ ? &simulator_->snapshots : nullptr;
  while (collector_.env_steps() < config_.run.total_steps && !run.stopping()) {
    if (model_trainer_.DueAfter(StepsOfLearning())) {
      if (learned_ && !FitModel(run)) {
        break;  // this step is done again when the run goes on
      }
      if (model_buffer_) {
        run.Log("rollout", run.Timed("rollout", [&] { return RollOut(); }));
      }
    }
    if (StepsOfLearning() < 0) {
      run.NoteEpisode(collector_.Step(random_policy_, &env_buffer_, snapshots));
    } else {
      run.NoteEpisode(run.Timed("env", [&] { return collector_.Step(learner_.actor(), &env_buffer_, snapshots); }));
      run.Timed("updates", [&] { learner_.Update(sampler_, config_.updates_per_step); });
    }
    run.Tick(collector_.env_steps(), learner_.updates(), "sac", [&] { return learner_.DrainMetrics(); });
  }
}

bool Mbpo::FitModel(RunContext& run) {
  const std::optional<Metrics> fit =
      run.Timed("model_fit", [&] { return model_trainer_.Fit(*learned_->model, env_buffer_, run.StopOfFit()); });
  if (fit) {
    run.Log("model", *fit);
  }
  return fit.has_value();
}

Metrics Mbpo::RollOut() {
  return learned_
             ? learned_->rollout.Run(Epoch(), env_buffer_, learned_->model_env, learner_.actor(), model_buffer_.get())
             : simulator_->rollout.Run(Epoch(), env_buffer_, simulator_->snapshots, learner_.actor(),
                                       model_buffer_.get());
}

bool Mbpo::Rehearse() {
  const TransitionLayout layout = env_buffer_.layout();
  const TransitionBatch row{layout, torch::zeros({1, layout.width()}, torch::device(env_buffer_.device()))};
  env_buffer_.Add(row);
  if (model_buffer_) {
    model_buffer_->Add(row);
  }
  if (learned_) {
    learned_->model->Rehearse();
  }
  learner_.Update(sampler_, kRehearsedUpdates);
  return true;
}

std::vector<std::filesystem::path> Mbpo::Export(const std::filesystem::path& torchscript) {
  return ExportActor(learner_.actor(), collector_.spec(), config_.env, torchscript);
}

std::optional<Algorithm::LearnedModel> Mbpo::learned_model() const {
  return learned_ ? std::optional(LearnedModel{*learned_->model, model_trainer_.UnseenOf(env_buffer_)}) : std::nullopt;
}

void Mbpo::VisitState(StateVisitor& state) {
  state("collector", collector_);
  state("env_buffer", env_buffer_);
  if (learned_) {
    state("model", *learned_->model);
    state("rollout", learned_->rollout);
  } else {
    state("snapshots", simulator_->snapshots);
    state("rollout", simulator_->rollout);
  }
  if (model_buffer_ && !state.to_act()) {
    state("model_buffer", *model_buffer_);
  }
  state("learner", learner_);
  model_trainer_.VisitState(state);
}

}  // namespace reverie
