#include "reverie/algorithms/pets.h"

#include <ATen/Parallel.h>

#include <stdexcept>

#include "reverie/core/log.h"
#include "reverie/planning/export.h"
#include "reverie/planning/model_problem.h"
#include "reverie/planning/simulator_problem.h"

namespace reverie {
namespace {

// The trajectories whose mean reward is J of these particles, but for noise and draws of hypotheses.
TrajectoryConfig AsTrajectory(const PropagationConfig& particles) {
  return {.kind = particles.kind == Propagation::kE ? Propagation::kE : Propagation::kTsInf};
}

std::string ExpectedToExport() {
  return "expected one of " + LearnedModelsWith([](const ModelCard& card) { return card.is_exported; });
}

}  // namespace

Pets::Config::Config(const EnvRegistry& envs) : env(envs), model(PlanningModelDefaults()) {}

void Pets::Config::Visit(Fields& fields) {
  run.Visit(fields);
  fields("env", env, "the environment");
  fields("ladder", ladder,
         "v0.5: random data, open-loop plans; v1.0: data of the plans, open loop; v1.5: a plan anew at every step");
  fields("model", model, "what plans are imagined with");
  fields.Check([this] { return RewardMisfit(model.reward, env.id, env.maker.task_functions()); });
  fields.Check([this] { return SeenMisfit(model, env); });
  fields.When(model.IsLearned(), [&] {
    fields("replay_capacity", replay_capacity, "real transitions kept", AtLeast(1));
    fields.Check([this] { return model.LacksOf(run.exploration_steps, replay_capacity); });
    fields("propagation", propagation, "how the model's particles move on");
    fields.Check([this] { return propagation.MisfitOf(model.card()); });
    fields("uncertainty", uncertainty, "what is done with the model's uncertainty");
    fields.Check([this]() -> std::string {
      if (uncertainty.use == UncertaintyUse::kWeight || uncertainty.use == UncertaintyUse::kMask) {
        return std::string("use: ") + (uncertainty.use == UncertaintyUse::kMask ? "mask" : "weight") +
               " is for a critic's rows, of which a plan has none; expected none, penalty, terminate or truncate";
      }
      return uncertainty.LacksOf(model.card());
    });
  });
  fields("planner", planner, "the search for a plan");
  fields.Check([this]() -> std::string {
    const PlannerMaker::Needs wanted = planner.choice.maker().needs;
    if (wanted.trajectory) {
      const std::string kind = "kind: " + planner.choice.kind();
      if (model.learned() && model.card().is_coarse) {
        return kind + " needs model.precision: float32, as plans follow derivatives of the steps";
      }
      const std::string misfit = TrajectoryMisfit(model, env);
      return misfit.empty() ? "" : kind + " follows derivatives: " + misfit;
    }
    if (!wanted.gradients) {
      return "";
    }
    const std::string needs = "kind: " + planner.choice.kind() + " needs derivatives by the actions, which ";
    if (!model.learned()) {
      return needs + "model.kind: simulator does not give";
    }
    if (const std::string misfit = model.LacksDerivatives(); !misfit.empty()) {
      return "kind: " + planner.choice.kind() + " follows derivatives: " + misfit;
    }
    const bool constant = !LearnsReward(model.reward, env.maker.task_functions()) && !RewardHasDerivatives(env.maker);
    return constant && uncertainty.use != UncertaintyUse::kPenalty
               ? needs + "the known reward of " + env.id + " does not have; model.reward: learned does"
               : "";
  });
}

Pets::Pets(const Config& config, const torch::Device& device)
    : config_(config),
      rng_(static_cast<uint64_t>(config.run.seed)),
      device_(config.model.learned() ? device : torch::Device(torch::kCPU)),
      collector_(config.env.maker.make(), rng_.Split("collector"), device_),
      random_policy_(collector_.spec().act_dim(), device_),
      learned_(config.model.learned()
                   ? std::make_unique<PlanningModel>(config.model, config.env.maker, collector_.spec(),
                                                     config.replay_capacity, rng_, device_)
                   : nullptr),
      simulator_return_(config.model.learned()
                            ? nullptr
                            : std::make_unique<SimulatorReturn>(config.env.maker, at::get_num_threads())),
      imagined_return_(learned_ ? std::optional<ImaginedReturn>(std::in_place, learned_->model_env, config.propagation,
                                                                config.uncertainty)
                                : std::nullopt),
      trajectory_from_(!config.planner.choice.maker().needs.trajectory ? ProblemFrom()
                       : learned_
                           ? ModelProblemFrom(learned_->model_env, collector_.spec(), AsTrajectory(config.propagation))
                           : SimulatorProblemFrom(config.env.maker, at::get_num_threads())),
      threshold_generator_(MakeGenerator(rng_.Split("threshold"), device_)),
      planner_(MakePlanner(config.planner.horizon)) {
  collector_.Remember(planner_.NewMemory(1));
}

MpcPolicy Pets::MakePlanner(int64_t horizon) {
  PlannerConfig planner = config_.planner;
  planner.horizon = horizon;
  const int64_t replan_every = config_.ladder == Ladder::kV15 ? 1 : horizon;
  MpcPolicy::Task task;
  task.return_of = [this](const torch::Tensor& obs, const Env* env, const torch::Tensor& actions,
                          torch::Generator& generator) {
    if (learned_) {
      return imagined_return_->Score(obs, actions, generator);
    }
    if (env == nullptr) {
      throw std::invalid_argument(
          "model.kind: simulator plans from an environment's state: an observation is not enough");
    }
    return simulator_return_->Score(env->Snapshot(), actions, generator);
  };
  task.diagnosis = [this](const torch::Tensor& obs, const torch::Tensor& plan, torch::Generator& generator) {
    return learned_ ? imagined_return_->WhatIsNotFinite(obs, plan, generator) : "the simulated return";
  };
  task.trajectory = trajectory_from_;
  return {planner, collector_.spec().act_dim(), replan_every, std::move(task), device_};
}

void Pets::Train(RunContext& run) {
  if (learned_) {
    LogInfo(config_.env.id + ": " +
            WhatIsLearned(learned_->model->learns_reward(), config_.env.maker.task_functions()));
    learned_->model->LogRemarks();
  }
  while (collector_.env_steps() < config_.run.total_steps && !run.stopping()) {
    if (learned_ && learned_->trainer.DueAfter(collector_.env_steps() - config_.run.exploration_steps)) {
      const std::optional<Metrics> fit = run.Timed(
          "model_fit", [&] { return learned_->trainer.Fit(*learned_->model, learned_->buffer, run.StopOfFit()); });
      if (!fit) {
        break;  // this step is done again when the run goes on
      }
      run.Log("model", *fit);
      imagined_return_->UpdateThreshold(threshold_generator_);
    }
    const Policy& acting = Explores() ? static_cast<const Policy&>(random_policy_) : planner_;
    run.NoteEpisode(run.Timed(Explores() ? "env" : "plan",
                              [&] { return collector_.Step(acting, learned_ ? &learned_->buffer : nullptr); }));
    run.Tick(collector_.env_steps(), learned_ ? learned_->trainer.fits() : 0, "planner",
             [this] { return collector_.DrainMetrics(); });
  }
}

bool Pets::Rehearse() {
  if (!learned_) {
    return false;  // simulations are dealt to the threads one by one
  }
  // A search costs as many rows for each step that it looks ahead.
  torch::Generator generator = MakeGenerator(rng_, device_);
  const torch::Tensor obs = torch::zeros({1, collector_.spec().obs_dim()}, torch::device(device_));
  MakePlanner(1).Act({.obs = obs}, nullptr, ActMode::kMean, generator);
  learned_->model->Rehearse();
  return true;
}

std::vector<std::filesystem::path> Pets::Export(const std::filesystem::path& torchscript) {
  if (!learned_) {
    throw std::invalid_argument("model.kind: a planner in the simulator cannot be exported; " + ExpectedToExport());
  }
  const GaussianNetworks* networks = learned_->model->gaussian_networks();
  if (networks == nullptr) {
    throw std::invalid_argument("model.kind: " + config_.model.choice.kind() +
                                " cannot be exported within a planner; " + ExpectedToExport());
  }
  ExportPlanner({.env = config_.env.maker,
                 .model = *networks,
                 .propagation = config_.propagation,
                 .uncertainty = config_.uncertainty,
                 .planner = config_.planner},
                *networks, torchscript);
  return {torchscript};
}

std::optional<Algorithm::LearnedModel> Pets::learned_model() const {
  return learned_ ? std::optional(LearnedModel{*learned_->model, learned_->trainer.UnseenOf(learned_->buffer)})
                  : std::nullopt;
}

void Pets::VisitState(StateVisitor& state) {
  state.Moved("planner", "collector/memory");
  state("collector", collector_);
  if (learned_) {
    learned_->VisitState(state);
    state("uncertainty", *imagined_return_);
    state("threshold_generator", threshold_generator_);
  }
}

}  // namespace reverie
