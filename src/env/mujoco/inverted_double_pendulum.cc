#include "reverie/env/mujoco/inverted_double_pendulum.h"

#include <mujoco/mujoco.h>

#include <cmath>
#include <stdexcept>
#include <utility>

#include "task_util.h"

namespace reverie {
namespace {

constexpr std::array<double, 2> kObservedRange{-10.0, 10.0};
constexpr double kMinTipHeight = 1.0;  // m

}  // namespace

void InvertedDoublePendulum::Options::Visit(Fields& fields) {
  fields("xml_file", xml_file, kXmlFileDoc);
  fields("frame_skip", frame_skip, kFrameSkipDoc, AtLeast(1));
  fields("healthy_reward", healthy_reward, "reward of a step that ends upright");
  fields("reset_noise_scale", reset_noise_scale, kResetNoiseDoc, AtLeast(0));
}

InvertedDoublePendulum::InvertedDoublePendulum(Options options, MujocoSimulation& simulation)
    : options_(std::move(options)), obs_dim_(9) {
  if (simulation.model().nq != 3 || simulation.model().nv != 3 || simulation.model().nsite < 1) {
    throw std::invalid_argument(simulation.name() + ": expected a cart, two hinges and a site at the tip");
  }
}

void InvertedDoublePendulum::Perturb(RandomEngine& rng, std::span<double> qpos, std::span<double> qvel) const {
  AddUniformNoise(options_.reset_noise_scale, rng, qpos);
  AddNormalNoise(options_.reset_noise_scale, rng, qvel);
}

StepResult InvertedDoublePendulum::Step(MujocoSimulation& simulation, std::span<const double> action) const {
  simulation.Advance(action);
  const double x = simulation.data().site_xpos[0];
  const double y = simulation.data().site_xpos[2];
  const double v1 = simulation.qvel()[1];
  const double v2 = simulation.qvel()[2];
  const bool terminated = y <= kMinTipHeight;
  const double distance_penalty = 0.01 * x * x + (y - 2) * (y - 2);
  const double velocity_penalty = 1e-3 * v1 * v1 + 5e-3 * v2 * v2;
  return {.reward = (terminated ? 0.0 : options_.healthy_reward) - distance_penalty - velocity_penalty,
          .terminated = terminated};
}

void InvertedDoublePendulum::Observe(const MujocoSimulation& simulation, std::span<double> obs) const {
  const std::span<const double> qpos = simulation.qpos();
  ObsWriter(obs)
      .Add(qpos[0])
      .Add(std::sin(qpos[1]))
      .Add(std::sin(qpos[2]))
      .Add(std::cos(qpos[1]))
      .Add(std::cos(qpos[2]))
      .AddClipped(simulation.qvel(), kObservedRange)
      .AddClipped({simulation.data().qfrc_constraint, 1}, kObservedRange);
}

TaskFunctions InvertedDoublePendulum::MakeTaskFunctions(const Options& options) {
  const std::shared_ptr<const mjModel_> model = LoadMujocoModel(options.xml_file);
  const int upper = model->site_bodyid[0];
  const int lower = model->body_parentid[upper];
  const int cart = model->body_parentid[lower];
  const double base = model->body_pos[3 * cart + 2] + model->body_pos[3 * lower + 2];
  const double lower_length = model->body_pos[3 * upper + 2];
  const double upper_length = model->site_pos[2];
  return {.terminated = [=](const torch::Tensor&, const torch::Tensor&, const torch::Tensor& next_obs) {
    const torch::Tensor sin1 = next_obs.select(1, 1);
    const torch::Tensor sin2 = next_obs.select(1, 2);
    const torch::Tensor cos1 = next_obs.select(1, 3);
    const torch::Tensor cos2 = next_obs.select(1, 4);
    const torch::Tensor tip = base + lower_length * cos1 + upper_length * (cos1 * cos2 - sin1 * sin2);
    return AndFinite(tip <= kMinTipHeight, next_obs);
  }};
}

}  // namespace reverie
