#include "reverie/algorithms/ilqr.h"

#include <ATen/Parallel.h>

#include <stdexcept>

#include "reverie/core/log.h"
#include "reverie/planning/simulator_problem.h"

namespace reverie {
namespace {

const IlqrConfig kIlqrPlanner{.horizon = 25, .starts = 4, .first_iterations = 30, .iterations = 3};

}  // namespace

IlqrControl::Config::Config(const EnvRegistry& envs) : env(envs), model(PlanningModelDefaults()), ilqr(kIlqrPlanner) {}

void IlqrControl::Config::Visit(Fields& fields) {
  run.Visit(fields);
  fields("env", env, "the environment");
  fields("ladder", ladder,
         "v0.5: random data, whole plans; v1.0: data of the plans, whole plans; v1.5: a plan anew at every step");
  fields.When({.key = "ladder", .wanted = "v0.5 or v1.0", .holds = [this] { return ladder != Ladder::kV15; }},
              [&] { fields("feedback", feedback, "whole plans are acted out by u_t + K_t (x - x_t), not open loop"); });
  fields.When({.key = "ladder", .wanted = "v1.0 or v1.5", .holds = [this] { return ladder != Ladder::kV05; }}, [&] {
    fields("noise_std", noise_std, "standard deviation of the noise of actions that data are collected with",
           AtLeast(0));
  });
  fields("model", model, "what is planned with");
  fields.Check([this] { return RewardMisfit(model.reward, env.id, env.maker.task_functions()); });
  fields.Check([this] { return SeenMisfit(model, env); });
  fields.Check([this] {
    return model.learned() && model.card().is_coarse
               ? "precision: expected float32, as plans follow derivatives of the steps"
               : TrajectoryMisfit(model, env);
  });
  fields.When(model.IsLearned(), [&] {
    fields("replay_capacity", replay_capacity, "real transitions kept", AtLeast(1));
    fields.Check([this] { return model.LacksOf(run.exploration_steps, replay_capacity); });
    fields("propagation", propagation, "the trajectories that a plan is judged by");
    fields.Check([this]() -> std::string {
      return propagation.disagreement_penalty > 0 && model.card().hypotheses == 1
                 ? "disagreement_penalty: one network has nothing to disagree with"
                 : "";
    });
  });
  fields("ilqr", ilqr, "the planner");
}

IlqrControl::IlqrControl(const Config& config, const torch::Device& device)
    : config_(config),
      rng_(static_cast<uint64_t>(config.run.seed)),
      device_(config.model.learned() ? device : torch::Device(torch::kCPU)),
      collector_(config.env.maker.make(), rng_.Split("collector"), device_),
      random_policy_(collector_.spec().act_dim(), device_),
      learned_(config.model.learned()
                   ? std::make_unique<PlanningModel>(config.model, config.env.maker, collector_.spec(),
                                                     config.replay_capacity, rng_, device_)
                   : nullptr),
      problem_from_(learned_ ? ModelProblemFrom(learned_->model_env, collector_.spec(), config.propagation)
                             : SimulatorProblemFrom(config.env.maker, at::get_num_threads())),
      planner_(MakePlanner(config.ilqr)) {
  collector_.Remember(planner_.NewMemory(1));
}

IlqrPolicy IlqrControl::MakePlanner(const IlqrConfig& config) {
  const bool at_every_step = config_.ladder == Ladder::kV15;
  return {config,
          {.replan_every = at_every_step ? 1 : config.horizon,
           .feedback = config_.feedback,
           .noise_std = config_.noise_std},
          collector_.spec().act_dim(),
          problem_from_,
          device_};
}

void IlqrControl::Train(RunContext& run) {
  if (learned_) {
    LogInfo(config_.env.id + ": " +
            WhatIsLearned(learned_->model->learns_reward(), config_.env.maker.task_functions()));
    learned_->model->LogRemarks();
  }
  if (MayTerminate(config_.env.maker.task_functions())) {
    LogInfo("plans of iLQR do not see the end of an episode");
  }
  while (collector_.env_steps() < config_.run.total_steps && !run.stopping()) {
    if (learned_ && learned_->trainer.DueAfter(collector_.env_steps() - config_.run.exploration_steps)) {
      const std::optional<Metrics> fit = run.Timed(
          "model_fit", [&] { return learned_->trainer.Fit(*learned_->model, learned_->buffer, run.StopOfFit()); });
      if (!fit) {
        break;  // this step is done again when the run goes on
      }
      run.Log("model", *fit);
    }
    const Policy& acting = Explores() ? static_cast<const Policy&>(random_policy_) : planner_;
    run.NoteEpisode(run.Timed(Explores() ? "env" : "plan",
                              [&] { return collector_.Step(acting, learned_ ? &learned_->buffer : nullptr); }));
    run.Tick(collector_.env_steps(), learned_ ? learned_->trainer.fits() : 0, "planner",
             [this] { return collector_.DrainMetrics(); });
  }
}

bool IlqrControl::Rehearse() {
  if (!learned_) {
    return false;  // simulations are dealt to the threads one by one
  }
  IlqrConfig one = config_.ilqr;
  one.starts = one.grow_by = 0;
  one.first_iterations = 1;
  torch::Generator generator = MakeGenerator(rng_, device_);
  const torch::Tensor obs = torch::zeros({1, collector_.spec().obs_dim()}, torch::device(device_));
  MakePlanner(one).Act({.obs = obs}, nullptr, ActMode::kMean, generator);
  learned_->model->Rehearse();
  return true;
}

std::vector<std::filesystem::path> IlqrControl::Export(const std::filesystem::path&) {
  throw std::invalid_argument(
      learned_ ? "a plan of iLQR follows derivatives of the model, which an exported file does not have"
               : "model.kind: a planner in the simulator cannot be exported");
}

std::optional<Algorithm::LearnedModel> IlqrControl::learned_model() const {
  return learned_ ? std::optional(LearnedModel{*learned_->model, learned_->trainer.UnseenOf(learned_->buffer)})
                  : std::nullopt;
}

void IlqrControl::VisitState(StateVisitor& state) {
  state("collector", collector_);
  if (learned_) {
    learned_->VisitState(state);
  }
}

}  // namespace reverie
