#include "reverie/algorithms/gps.h"

#include <algorithm>
#include <memory>

#include "reverie/core/text.h"
#include "reverie/env/state_cost.h"
#include "reverie/planning/simulator_problem.h"
#include "reverie/run/evaluator.h"

namespace reverie {

std::vector<std::pair<std::string, GpsSamples>> EnumNames(GpsSamples) {
  return {{"controllers", GpsSamples::kControllers}, {"network", GpsSamples::kNetwork}};
}

std::vector<std::pair<std::string, GpsCoupling>> EnumNames(GpsCoupling) {
  return {{"mirror_descent", GpsCoupling::kMirrorDescent}, {"badmm", GpsCoupling::kBadmm}};
}

Gps::Config::Config(const EnvRegistry& envs) : run({.explores = false}), env(envs) {
  env.start_draws = 6;
  local.fits_more = true;
}

void Gps::Config::Visit(Fields& fields) {
  run.Visit(fields);
  fields("env", env, "the environment");
  fields.Check([this] { return StateCostMisfit(env.maker); });
  fields.Check([this] { return StartTrajectoriesMisfit(env.maker); });
  fields("rollouts", rollouts, "episodes from each start state that an iteration learns from (N)", AtLeast(2));
  fields.Check([this] { return StartRolloutsMisfit(env.maker, rollouts, run.total_steps); });
  fields("samples", samples, "who acts in them");
  fields("coupling", coupling, "what keeps controllers and network together");
  fields.When({.key = "coupling", .wanted = "badmm", .holds = [this] { return coupling == GpsCoupling::kBadmm; }},
              [&] { fields("badmm", badmm, "Bregman ADMM"); });
  fields("local", local, "the controllers, and what is fitted around their trajectories");
  fields.Check([this] { return local.dynamics == LocalDynamics::kFitted ? "" : DerivativesMisfit(env.maker); });
  fields.Check([this] { return samples == GpsSamples::kControllers || local.noise_smoothing == 0; },
               "noise_smoothing 0 with samples: network, whose noise is each step's own");
  fields("learner", learner, "the network and its fits");
}

Gps::Gps(const Config& config, const torch::Device& device)
    : config_(config),
      rng_(static_cast<uint64_t>(config.run.seed)),
      collector_(config.env.maker.make(), rng_.Split("collector"), torch::kCPU),
      trajectories_(collector_.env(), config.rollouts),
      controllers_(
          collector_.env().start_states(),
          [this](size_t start) -> const LinearGaussianController& { return locals_[start].controller(); },
          config.local.noise_smoothing),
      learner_(config.learner, collector_.spec().obs_dim(), collector_.spec().act_dim(), rng_.Split("learner"), device),
      covariance_(torch::eye(collector_.spec().act_dim(), torch::kFloat64)),
      noise_(MakeGenerator(rng_.Split("noise"), torch::kCPU)) {
  const EnvSpec& spec = collector_.spec();
  for (size_t i = 0; i < trajectories_.starts(); ++i) {
    locals_.emplace_back(config.local, collector_.env().time_limit(), static_cast<int64_t>(spec.state_names.size()),
                         spec.act_dim(), StateCostOf(config.env.maker), rng_.Split("local").Split(i),
                         config.local.dynamics == LocalDynamics::kDerivatives
                             ? DynamicsFrom(config.env.maker, collector_.env().start_states()[i])
                             : nullptr);
    linearised_.emplace_back(config.local, rng_.Split("linearised").Split(i));
    if (config.coupling == GpsCoupling::kBadmm) {
      couplings_.emplace_back(config.badmm, collector_.env().time_limit(), spec.act_dim());
    }
  }
  collector_.Remember(controllers_.NewMemory(1));
}

void Gps::Train(RunContext& run) {
  while (collector_.env_steps() < config_.run.total_steps && !run.stopping()) {
    trajectories_.BeginIfNone(collector_);
    const std::optional<EpisodeStats> episode = run.Timed("env", [&] { return Step(); });
    trajectories_.Note(collector_, episode);
    run.NoteEpisode(episode);
    if (trajectories_.full()) {
      for (size_t i = 0; i < linearised_.size(); ++i) {
        linearised_[i].Remember(trajectories_.states(i), trajectories_.obs(i));
      }
      if (iterations_ == 0) {
        TeachNetwork(run);
      }
      config_.coupling == GpsCoupling::kBadmm ? AlternateDirections(run) : DescendMirror(run);
      run.Log("controllers", run.Timed("evaluate_controllers", [&] { return ReturnsOfControllers(); }));
      ++iterations_;
    }
    run.Tick(collector_.env_steps(), iterations_, "policy", [] { return Metrics(); });
  }
}

std::optional<EpisodeStats> Gps::Step() {
  if (config_.samples == GpsSamples::kControllers || iterations_ == 0) {
    return collector_.Step(controllers_, nullptr);
  }
  const torch::Tensor mean = MeanOf(collector_.Observed());
  const torch::Tensor eps = torch::randn(mean.sizes(), noise_, torch::kFloat64);
  const torch::Tensor action = mean.to(torch::kFloat64) + eps.mm(torch::linalg_cholesky(covariance_).t());
  return collector_.StepWith(action.clamp(-1, 1).to(torch::kFloat32), nullptr);
}

void Gps::DescendMirror(RunContext& run) {
  run.Timed("controllers", [&] {
    double promised = 0;
    double actual = 0;
    for (size_t i = 0; i < locals_.size(); ++i) {
      const LinearGaussianController network = Linearised(i);
      locals_[i].Learn(trajectories_.states(i), trajectories_.controls(i), &network);
      const std::optional<LocalModel::Gain> gain = locals_[i].LastGain();
      promised += gain ? gain->promised : 0;
      actual += gain ? gain->actual : 0;
    }
    if (std::any_of(locals_.begin(), locals_.end(), [](const LocalModel& local) { return local.LastGain(); })) {
      const double growth = StepGrowth(promised, actual);
      std::for_each(locals_.begin(), locals_.end(), [growth](LocalModel& local) { local.ScaleStep(growth); });
    }
    for (size_t i = 0; i < locals_.size(); ++i) {
      run.Log(Text("local_", i), locals_[i].Improve());
    }
  });
  TeachNetwork(run);
}

void Gps::AlternateDirections(RunContext& run) {
  run.Timed("controllers", [&] {
    for (size_t i = 0; i < locals_.size(); ++i) {
      const Pull pull = couplings_[i].PullTowards(Linearised(i));
      locals_[i].Learn(trajectories_.states(i), trajectories_.controls(i), nullptr, &pull);
      if (const std::optional<LocalModel::Gain> gain = locals_[i].LastGain()) {
        locals_[i].ScaleStep(StepGrowth(gain->promised, gain->actual));
      }
    }
  });
  for (int64_t inner = 0; inner < config_.badmm.inner_iterations; ++inner) {
    run.Timed("controllers", [&] {
      for (size_t i = 0; i < locals_.size(); ++i) {
        const Pull pull = couplings_[i].PullTowards(Linearised(i));
        run.Log(Text("local_", i), locals_[i].Improve(&pull));
      }
    });
    TeachNetwork(run);
    for (size_t i = 0; i < locals_.size(); ++i) {
      couplings_[i].StepDuals(ControllerMeans(i), NetworkMeans(i), locals_[i].controller().precision);
    }
  }
  run.Timed("controllers", [&] {
    for (size_t i = 0; i < locals_.size(); ++i) {
      couplings_[i].AdaptWeights(locals_[i].DivergenceFrom(Linearised(i)));
    }
  });
}

LinearGaussianController Gps::Linearised(size_t start) {
  return linearised_[start].Linearise([this](const torch::Tensor& obs) { return MeanOf(obs); }, covariance_);
}

void Gps::TeachNetwork(RunContext& run) {
  learner_.ForgetRows();
  torch::Tensor precisions = torch::zeros_like(covariance_);
  torch::Tensor weights = torch::zeros({}, torch::kFloat64);
  for (size_t i = 0; i < locals_.size(); ++i) {
    const torch::Tensor& precision = locals_[i].controller().precision;
    torch::Tensor targets = ControllerMeans(i);
    torch::Tensor weight = torch::ones({precision.size(0)}, torch::kFloat64);
    if (!couplings_.empty()) {
      targets = couplings_[i].Targets(targets, precision);
      weight = couplings_[i].TargetWeights();
    }
    const torch::Tensor weighted = weight.view({-1, 1, 1}) * precision;
    learner_.Add(trajectories_.obs(i).flatten(0, 1), targets.clamp(-1, 1).flatten(0, 1),
                 weighted.repeat({config_.rollouts, 1, 1}));
    precisions = precisions + weighted.sum(0);
    weights = weights + weight.sum();
  }
  run.Log("learner", run.Timed("network", [&] { return learner_.Fit(); }));
  covariance_ = torch::linalg_inv(precisions / weights);
}

torch::Tensor Gps::ControllerMeans(size_t start) const {
  const LinearGaussianController& p = locals_[start].controller();
  const torch::Tensor x = trajectories_.states(start).slice(1, 0, p.horizon());
  return torch::matmul(p.gains.feedback, x.unsqueeze(3)).squeeze(3) + p.gains.feedforward;
}

torch::Tensor Gps::NetworkMeans(size_t start) const {
  const torch::Tensor obs = trajectories_.obs(start);
  return MeanOf(obs.flatten(0, 1)).to(torch::kFloat64).view({obs.size(0), obs.size(1), -1});
}

torch::Tensor Gps::MeanOf(const torch::Tensor& obs) const {
  torch::Generator unused = MakeGenerator(Rng(0), learner_.actor().device());
  return learner_.actor()
      .Act({.obs = obs.to(learner_.actor().device())}, nullptr, ActMode::kMean, unused)
      .to(torch::kCPU);
}

Metrics Gps::ReturnsOfControllers() const {
  const auto starts = static_cast<int64_t>(locals_.size());
  const EvalResult result = Evaluate(controllers_, config_.env.maker, Rng(0), starts);
  Metrics metrics;
  metrics.Set("return", result.return_mean());
  metrics.Set("return_min", result.return_min());
  return metrics;
}

std::vector<std::filesystem::path> Gps::Export(const std::filesystem::path& torchscript) {
  return ExportActor(learner_.actor(), collector_.spec(), config_.env, torchscript);
}

void Gps::VisitState(StateVisitor& state) {
  trajectories_.VisitState(state);
  state("collector", collector_);
  for (size_t i = 0; i < locals_.size(); ++i) {
    state(Text("local_", i), locals_[i]);
    state(Text("linearised_", i), linearised_[i]);
    if (!couplings_.empty()) {
      state(Text("coupling_", i), couplings_[i]);
    }
  }
  state("learner", learner_);
  state("covariance", covariance_);
  state("noise", noise_);
  state("iterations", iterations_);
}

}  // namespace reverie
