// A planner with the model it plans with, as a file that other programs act with: a TorchScript module.
//
// The module (PyTorch's torch.jit.load, LibTorch's torch::jit::load; no operators of its own, but torch.Generator,
// which TorchScript has since 2.2) has, with H the horizon, E the elites and D the model's targets,
//   forward(obs: [B, obs_dim] float32, seed: int = 0) -> [B, act_dim] float32
//       the first action of a plan for each row, from nothing, in the environment's own bounds
//   plan(obs: [obs_dim], start: [H, act_dim], seed: int = 0) -> [H, act_dim]
//       a plan that is searched from `start`, both in [-1, 1]: for callers who begin with what is left of the last one
//   returns(obs: [obs_dim], actions: [P, any, act_dim], seed: int = 0) -> [P]
//       what sequences of actions in [-1, 1] are imagined to earn (planning/imagined_return.h)
//   predict(obs: [B, obs_dim], action: [B, act_dim]) -> (mean, var), both [E, B, D]
//       the elites' Gaussians (DynamicsModel::Predict)
//   needs: str                "LibTorch 2.2 or newer", also read without loading it: unzip -p policy.pt '*/data.pkl'
//   env_id: str, planner: str, obs_dim: int, act_dim: int, horizon: int, format_version: int
// Observations of another float type are rounded to float32. It runs on the device it is moved to. Nothing it computes
// has gradients. Where no candidate's return is finite the plan stays as it began; an observation that is not finite
// itself has a plan of NaN.
//
// Randomness: every call, and in forward every row, draws from a generator of its own with that seed. PyTorch's default
// generators are left alone, and a row's action depends on its observation and the seed alone: equal seeds give equal
// actions with one version of PyTorch, on every device up to its rounding, since all is drawn on the CPU. A caller who
// acts again and again gives other seeds from step to step. On the CPU a row is planned as MpcPolicy with one thread
// plans it with a generator of that seed, up to rounding; under propagation ds with other noise.
//
// The task's functions are traced (torch::jit::tracer): they must be tensor operations whose sizes come from their
// arguments, which is held against the functions themselves. A planner gives its search as a method of that module,
//   def _search(self, obs: Tensor, plan: Tensor, generator: Generator) -> Tensor
// from `plan` [H, act_dim] to the plan, by self._score(obs, candidates [P, H, act_dim], generator) -> [P].
//
// Exported are planners that have one (random shooting, CEM, MPPI) with a model whose predictions are those of
// GaussianNetworks (model.kind: ensemble, dropout, bnn) and every propagation. Not exported: iCEM, gradient shooting
// and iLQS, models of other kinds and the simulator, uncertainty.use other than none, and executing a plan open loop.
// There is no JSON file: a reader without TorchScript would have to be a planner.
#ifndef REVERIE_PLANNING_EXPORT_H_
#define REVERIE_PLANNING_EXPORT_H_

#include <filesystem>

#include "reverie/env/registry.h"
#include "reverie/models/gaussian_networks.h"
#include "reverie/planning/imagined_return.h"
#include "reverie/planning/registry.h"

namespace reverie {

// All that planning takes.
struct PlannerParts {
  const EnvMaker& env;
  const GaussianNetworks& model;
  PropagationConfig propagation;
  UncertaintyConfig uncertainty;
  const PlannerConfig& planner;
};

// Writes the module, reads it back, and holds it on 1,000 steps of the environment under random actions against what is
// in use: `live`'s predictions as ExportPolicy holds actions, in units of each dimension's size and deviation, the
// task's functions within 1e-5. Replaces the file at `path` whole or not at all. Throws std::invalid_argument naming
// the key or the task's function where such a planner cannot be exported, std::runtime_error saying what differs by how
// much, or that a number is not finite or the file cannot be written.
void ExportPlanner(const PlannerParts& parts, const GaussianNetworks& live, const std::filesystem::path& path);

}  // namespace reverie

#endif  // REVERIE_PLANNING_EXPORT_H_
