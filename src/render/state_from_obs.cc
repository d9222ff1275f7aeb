#include "reverie/render/state_from_obs.h"

#include <ATen/ATen.h>
#include <mujoco/mujoco.h>

#include <optional>
#include <stdexcept>
#include <utility>

#include "reverie/env/mujoco/simulation.h"

namespace reverie {
namespace {

constexpr int64_t kIterations = 6;
constexpr double kDifference = 1e-6;
constexpr double kSmallStep = 1e-9;
// Directions that an observation says less about than this part of the clearest are left to the guess.
constexpr double kFaint = 1e-6;

}  // namespace

StateFromObs::StateFromObs(std::unique_ptr<Env> env) : env_(std::move(env)) {
  if (env_->mujoco() == nullptr) {
    throw std::invalid_argument(env_->spec().id + " is no task of MuJoCo's");
  }
}

std::vector<double> StateFromObs::Observed(std::span<const double> state) {
  std::vector<double> obs(static_cast<size_t>(env_->spec().obs_dim()));
  env_->SetState(state, obs);
  return obs;
}

std::vector<double> StateFromObs::Coasted(std::span<const double> state) const {
  const mjModel& model = env_->mujoco()->model();
  std::vector<double> coasted(state.begin(), state.end());
  mj_integratePos(&model, coasted.data(), coasted.data() + model.nq, env_->spec().dt);
  return coasted;
}

std::vector<double> StateFromObs::Find(std::span<const double> obs, std::span<const double> guess) {
  std::vector<double> state(guess.begin(), guess.end());
  const auto obs_dim = static_cast<int64_t>(obs.size());
  const auto state_dim = static_cast<int64_t>(state.size());
  for (int64_t iteration = 0; iteration < kIterations; ++iteration) {
    const std::vector<double> here = Observed(state);
    at::Tensor residual = at::empty({obs_dim, 1}, at::kDouble);
    for (size_t i = 0; i < obs.size(); ++i) {
      residual.data_ptr<double>()[i] = obs[i] - here[i];
    }
    at::Tensor jacobian = at::empty({state_dim, obs_dim}, at::kDouble);  // transposed
    for (size_t k = 0; k < state.size(); ++k) {
      const double kept = state[k];
      state[k] = kept + kDifference;
      const std::vector<double> there = Observed(state);
      state[k] = kept;
      double* row = jacobian.data_ptr<double>() + static_cast<int64_t>(k) * obs_dim;
      for (size_t i = 0; i < obs.size(); ++i) {
        row[i] = (there[i] - here[i]) / kDifference;
      }
    }
    const at::Tensor step =
        at::linalg_pinv(jacobian.t(), /*atol=*/std::nullopt, /*rtol=*/kFaint, /*hermitian=*/false).matmul(residual);
    for (size_t k = 0; k < state.size(); ++k) {
      state[k] += step.data_ptr<double>()[k];
    }
    if (step.abs().max().item<double>() < kSmallStep) {
      break;
    }
  }
  return state;
}

}  // namespace reverie
