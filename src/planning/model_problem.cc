#include "reverie/planning/model_problem.h"

#include <torch/autograd.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <vector>

namespace reverie {
namespace {

// What the problem's functions share. B states x [B, T D], of T trajectories each, are moved as rows [M, B, D]; T is M,
// or 1 where the hypotheses' mean is followed.
class ImaginedTask {
 public:
  ImaginedTask(const ModelEnv& model_env, const EnvSpec& spec, const TrajectoryConfig& config)
      : model_env_(model_env),
        config_(config),
        obs_dim_(spec.obs_dim()),
        act_dim_(spec.act_dim()),
        hypotheses_(model_env.model().hypotheses().size(0)),
        trajectories_(config.kind == Propagation::kTsInf ? hypotheses_ : 1) {}

  int64_t states() const { return trajectories_ * obs_dim_; }

  void Step(const torch::Tensor& x, const torch::Tensor& u, torch::Tensor& next) const {
    const torch::NoGradGuard no_grad;
    next.copy_(States(Moved(ObsRows(x), ActionRows(u)).next_obs));
  }

  // B steps: x, next [B, T D], u [B, A] -> [B] float64 on the CPU.
  torch::Tensor Cost(const torch::Tensor& x, const torch::Tensor& u, const torch::Tensor& next) const {
    const torch::NoGradGuard no_grad;
    torch::Tensor reward;
    if (model().learns_reward()) {
      reward = Moved(ObsRows(x), ActionRows(u)).reward.view({hypotheses_, -1});
    } else {
      reward = Reward(Trajectories(x).flatten(0, 1), ForTrajectories(u).flatten(0, 1), Trajectories(next).flatten(0, 1))
                   .view({trajectories_, -1});
    }
    torch::Tensor cost = -reward.mean(0).to(torch::kCPU, torch::kFloat64);
    if (Penalises()) {
      const torch::Tensor parts = next.view({next.size(0), trajectories_, obs_dim_});
      cost += (parts.var(1, /*unbiased=*/false) * PenaltyWeights()).sum(1);
    }
    return cost;
  }

  void Linearise(const torch::Tensor& x, const torch::Tensor& u, LinearDynamics* dynamics) const {
    const int64_t horizon = u.size(0);
    const torch::Tensor of_hypotheses = StepJacobian(model(), ObsRows(x.slice(0, 0, horizon)), ActionRows(u));
    const torch::Tensor jacobian =
        (trajectories_ == 1 ? of_hypotheses.mean(0, /*keepdim=*/true) : of_hypotheses).to(torch::kCPU, torch::kFloat64);
    const int64_t t = trajectories_;
    dynamics->a.zero_();
    dynamics->a.view({horizon, t, obs_dim_, t, obs_dim_})
        .diagonal(0, 1, 3)
        .copy_(jacobian.slice(3, 0, obs_dim_).permute({1, 2, 3, 0}));
    dynamics->b.view({horizon, t, obs_dim_, act_dim_}).copy_(jacobian.slice(3, obs_dim_).transpose(0, 1));
  }

  void Quadratise(const torch::Tensor& x, const torch::Tensor& u, const LinearDynamics& dynamics,
                  QuadraticCost* cost) const {
    const int64_t horizon = u.size(0);
    const int64_t t = trajectories_;
    const int64_t n = states();
    const torch::Tensor before = x.slice(0, 0, horizon);
    const torch::Tensor after = x.slice(0, 1);
    // Each trajectory's own, in its own numbers: rows [T horizon, ...].
    const torch::Tensor own_a =
        dynamics.a.view({horizon, t, obs_dim_, t, obs_dim_}).diagonal(0, 1, 3).permute({3, 0, 1, 2});
    const torch::Tensor own_b = dynamics.b.view({horizon, t, obs_dim_, act_dim_}).transpose(0, 1);
    const StageExpansion own =
        ExpandStageCost([this](const torch::Tensor& s, const torch::Tensor& a,
                               const torch::Tensor& next) { return -Reward(s, a, next); },
                        Trajectories(before).flatten(0, 1), ForTrajectories(u).flatten(0, 1),
                        Trajectories(after).flatten(0, 1), torch::cat({own_a, own_b}, 3).flatten(0, 1));
    const torch::Tensor gradient = own.gradient.view({t, horizon, -1}) / static_cast<double>(t);
    const torch::Tensor hessian = own.hessian.view({t, horizon, obs_dim_ + act_dim_, -1}) / static_cast<double>(t);
    torch::Tensor xx = cost->xx.slice(0, 0, horizon);
    torch::Tensor of_x = cost->x.slice(0, 0, horizon);
    xx.zero_();
    xx.view({horizon, t, obs_dim_, t, obs_dim_})
        .diagonal(0, 1, 3)
        .copy_(hessian.slice(2, 0, obs_dim_).slice(3, 0, obs_dim_).permute({1, 2, 3, 0}));
    cost->ux.view({horizon, act_dim_, t, obs_dim_})
        .copy_(hessian.slice(2, obs_dim_).slice(3, 0, obs_dim_).permute({1, 2, 0, 3}));
    cost->uu.copy_(hessian.slice(2, obs_dim_).slice(3, obs_dim_).sum(0));
    of_x.view({horizon, t, obs_dim_}).copy_(gradient.slice(2, 0, obs_dim_).transpose(0, 1));
    cost->u.copy_(gradient.slice(2, obs_dim_).sum(0));
    if (Penalises()) {
      // The variance over trajectories is x'^T P x': its Hessian 2 P goes through the whole Jacobian.
      const torch::Tensor centre = torch::eye(t, torch::kFloat64) - 1.0 / static_cast<double>(t);
      const torch::Tensor twice_p = 2.0 / static_cast<double>(t) * torch::kron(centre, torch::diag(PenaltyWeights()));
      const torch::Tensor jacobian = torch::cat({dynamics.a, dynamics.b}, 2);
      const torch::Tensor through = torch::matmul(jacobian.transpose(1, 2), twice_p);  // [horizon, n + m, n]
      const torch::Tensor of_z = torch::matmul(through, after.unsqueeze(2)).squeeze(2);
      const torch::Tensor of_zz = torch::matmul(through, jacobian);
      xx.add_(of_zz.slice(1, 0, n).slice(2, 0, n));
      cost->ux.add_(of_zz.slice(1, n).slice(2, 0, n));
      cost->uu.add_(of_zz.slice(1, n).slice(2, n));
      of_x.add_(of_z.slice(1, 0, n));
      cost->u.add_(of_z.slice(1, n));
    }
  }

 private:
  const DynamicsModel& model() const { return model_env_.model(); }
  torch::Device device() const { return model().hypotheses().device(); }
  bool Penalises() const { return config_.disagreement_penalty > 0 && trajectories_ > 1; }

  // kappa / (D sigma_d^2), [D]; 0 where nothing varied, as nothing disagrees there.
  torch::Tensor PenaltyWeights() const {
    const torch::Tensor variance = model().target_std().slice(0, 0, obs_dim_).to(torch::kCPU, torch::kFloat64).square();
    const torch::Tensor weights = config_.disagreement_penalty / static_cast<double>(obs_dim_) / variance;
    return torch::where(variance > 0, weights, torch::zeros_like(weights));
  }

  // [T, B, D] of x [B, T D].
  torch::Tensor Trajectories(const torch::Tensor& x) const {
    return x.reshape({x.size(0), trajectories_, obs_dim_}).transpose(0, 1);
  }
  torch::Tensor ForTrajectories(const torch::Tensor& u) const {
    return u.unsqueeze(0).expand({trajectories_, u.size(0), act_dim_});
  }

  // As the model takes them: [M, B, D] and [M, B, A] float32 on its device.
  torch::Tensor ObsRows(const torch::Tensor& x) const {
    return Trajectories(x).to(device(), torch::kFloat32).expand({hypotheses_, x.size(0), obs_dim_}).contiguous();
  }
  torch::Tensor ActionRows(const torch::Tensor& u) const {
    return u.to(device(), torch::kFloat32).unsqueeze(0).expand({hypotheses_, u.size(0), act_dim_}).contiguous();
  }
  // [B, T D] of next_obs [M B, D].
  torch::Tensor States(const torch::Tensor& next_obs) const {
    const torch::Tensor of_hypotheses = next_obs.to(torch::kCPU, torch::kFloat64).view({hypotheses_, -1, obs_dim_});
    return trajectories_ == 1 ? of_hypotheses.mean(0) : of_hypotheses.transpose(0, 1).flatten(1);
  }

  ModelSample Moved(const torch::Tensor& obs, const torch::Tensor& action) const {
    const int64_t rows = obs.size(0) * obs.size(1);
    ModelSample next{.next_obs = torch::empty({rows, obs_dim_}, obs.options()),
                     .reward = model().learns_reward() ? torch::empty({rows}, obs.options()) : torch::Tensor(),
                     .hypothesis = torch::empty({rows}, obs.options().dtype(torch::kInt64))};
    model().Step(obs.flatten(0, 1), action.flatten(0, 1), MeanDraws(model(), rows), next);
    return next;
  }

  // Of R rows, trajectory by trajectory, in float64 and for autograd: s, next [R, D], a [R, A] -> [R].
  torch::Tensor Reward(const torch::Tensor& s, const torch::Tensor& a, const torch::Tensor& next) const {
    if (!model().learns_reward()) {
      return model_env_.Judge(s.to(device()), a.to(device()), next.to(device())).reward.to(torch::kCPU);
    }
    const int64_t repeats = hypotheses_ / trajectories_;
    const torch::Tensor reward = model()
                                     .Next(s.to(device()).repeat({repeats, 1}), a.to(device()).repeat({repeats, 1}),
                                           MeanDraws(model(), repeats * s.size(0)))
                                     .reward;
    return reward.view({repeats, -1}).mean(0).to(torch::kCPU);
  }

  const ModelEnv& model_env_;
  TrajectoryConfig config_;
  int64_t obs_dim_, act_dim_, hypotheses_, trajectories_;
};

}  // namespace

void TrajectoryConfig::Visit(Fields& fields) {
  fields("kind", kind,
         "a trajectory for each network that predicts, all under the same controls (tsinf), or one by their mean (e)");
  fields.Check([this] { return kind == Propagation::kTsInf || kind == Propagation::kE; },
               "tsinf or e, as a trajectory to be differentiated draws nothing");
  fields.When({.key = "propagation.kind", .wanted = "tsinf", .holds = [this] { return kind == Propagation::kTsInf; }},
              [&] {
                fields("disagreement_penalty", disagreement_penalty,
                       "added to a step's cost for each variance of its next states over the trajectories, in units of "
                       "what the model was fitted to, averaged over the observation (kappa)",
                       AtLeast(0));
              });
}

torch::Tensor StepJacobian(const DynamicsModel& model, const torch::Tensor& obs, const torch::Tensor& action,
                           int64_t rows_at_once) {
  const torch::AutoGradMode with_gradients(true);
  const int64_t hypotheses = obs.size(0);
  const int64_t count = obs.size(1);
  const int64_t obs_dim = obs.size(2);
  const torch::Tensor z = torch::cat({obs, action}, 2);
  torch::Tensor jacobian = torch::empty({hypotheses, count, obs_dim, z.size(2)}, z.options());
  // Row (h, b, i) is a copy of z of (h, b), whose number i is differentiated.
  const int64_t part = std::max<int64_t>(1, rows_at_once / (hypotheses * obs_dim));
  for (int64_t begin = 0; begin < count; begin += part) {
    const int64_t size = std::min(part, count - begin);
    const torch::Tensor copies = z.narrow(1, begin, size)
                                     .unsqueeze(2)
                                     .expand({hypotheses, size, obs_dim, z.size(2)})
                                     .reshape({-1, z.size(2)})
                                     .requires_grad_();
    const torch::Tensor next =
        model.Next(copies.slice(1, 0, obs_dim), copies.slice(1, obs_dim), MeanDraws(model, copies.size(0))).next_obs;
    const torch::Tensor seeds = torch::eye(obs_dim, next.options()).repeat({hypotheses * size, 1});
    jacobian.narrow(1, begin, size)
        .copy_(torch::autograd::grad({next}, {copies}, {seeds})[0].view({hypotheses, size, obs_dim, -1}));
  }
  return jacobian;
}

ShootingProblem ModelProblem(const ModelEnv& model_env, const EnvSpec& spec, const TrajectoryConfig& config) {
  if (config.kind != Propagation::kTsInf && config.kind != Propagation::kE) {
    throw std::invalid_argument("a trajectory to be differentiated draws nothing: propagation tsinf or e");
  }
  const auto task = std::make_shared<const ImaginedTask>(model_env, spec, config);
  ShootingProblem problem;
  problem.state_size = problem.tangent_size = task->states();
  problem.controls = spec.act_dim();
  problem.high = torch::ones({problem.controls}, torch::kFloat64);
  problem.low = -problem.high;
  problem.step = [task](int64_t, const torch::Tensor& x, const torch::Tensor& u, torch::Tensor& next) {
    task->Step(x, u, next);
  };
  problem.cost = [task](const torch::Tensor& x, const torch::Tensor& u, const torch::Tensor& next,
                        torch::Tensor& cost) {
    cost.copy_(task->Cost(x.flatten(0, 1), u.flatten(0, 1), next.flatten(0, 1)).view_as(cost));
  };
  problem.linearise = [task](const torch::Tensor& x, const torch::Tensor& u, LinearDynamics* dynamics) {
    task->Linearise(x, u, dynamics);
  };
  problem.quadratise = [task](const torch::Tensor& x, const torch::Tensor& u, const LinearDynamics& dynamics,
                              const torch::Tensor&, QuadraticCost* cost) { task->Quadratise(x, u, dynamics, cost); };
  return problem;
}

ProblemFrom ModelProblemFrom(const ModelEnv& model_env, const EnvSpec& spec, const TrajectoryConfig& config) {
  return [problem = ModelProblem(model_env, spec, config)](const torch::Tensor& obs, const Env*) {
    ShootingProblem from_obs = problem;
    from_obs.start = ModelStart(problem, obs);
    return from_obs;
  };
}

torch::Tensor ModelStart(const ShootingProblem& problem, const torch::Tensor& obs) {
  const torch::Tensor start = obs.flatten().to(torch::kCPU, torch::kFloat64);
  return start.repeat({problem.state_size / start.numel()});
}

}  // namespace reverie
