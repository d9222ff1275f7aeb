#include "reverie/env/mujoco/inverted_pendulum.h"

#include <cmath>
#include <utility>

#include "task_util.h"

namespace reverie {
namespace {

constexpr double kMaxAngle = 0.2;  // rad

}  // namespace

void InvertedPendulum::Options::Visit(Fields& fields) {
  fields("xml_file", xml_file, kXmlFileDoc);
  fields("frame_skip", frame_skip, kFrameSkipDoc, AtLeast(1));
  fields("reset_noise_scale", reset_noise_scale, kResetNoiseDoc, AtLeast(0));
}

InvertedPendulum::InvertedPendulum(Options options, MujocoSimulation& simulation) : options_(std::move(options)) {
  simulation.RequireSize(2, 1);
  obs_dim_ = StateSize(simulation, 0);
}

void InvertedPendulum::Perturb(RandomEngine& rng, std::span<double> qpos, std::span<double> qvel) const {
  AddUniformNoise(options_.reset_noise_scale, rng, qpos);
  AddUniformNoise(options_.reset_noise_scale, rng, qvel);
}

StepResult InvertedPendulum::Step(MujocoSimulation& simulation, std::span<const double> action) const {
  simulation.Advance(action);
  const bool terminated = std::abs(simulation.qpos()[1]) > kMaxAngle;
  return {.reward = terminated ? 0.0 : 1.0, .terminated = terminated};
}

void InvertedPendulum::Observe(const MujocoSimulation& simulation, std::span<double> obs) const {
  ObsWriter(obs).Add(simulation.qpos()).Add(simulation.qvel());
}

TaskFunctions InvertedPendulum::MakeTaskFunctions(const Options&) {
  const auto terminated = [](const torch::Tensor&, const torch::Tensor&, const torch::Tensor& next_obs) {
    return AndFinite(next_obs.select(1, 1).abs() > kMaxAngle, next_obs);
  };
  return {.reward =
              [terminated](const torch::Tensor& obs, const torch::Tensor& action, const torch::Tensor& next_obs) {
                return terminated(obs, action, next_obs).logical_not().to(next_obs.scalar_type());
              },
          .terminated = terminated};
}

}  // namespace reverie
