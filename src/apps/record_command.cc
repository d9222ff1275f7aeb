#include <cmath>
#include <cstdio>
#include <stdexcept>

#include "commands.h"
#include "experiment.h"
#include "reverie/core/log.h"
#include "reverie/env/action_bounds.h"
#include "reverie/env/mujoco/simulation.h"
#include "reverie/render/mujoco_renderer.h"
#include "reverie/render/video_file.h"

namespace reverie {
namespace {

struct RecordArguments {
  std::string run_dir;
  std::string out;
  int64_t episodes = 1;
  int64_t steps = 0;
  uint64_t seed = 0;
  RenderOptions render;
};

std::string Fixed(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

// Episodes with the mean action, a picture a step.
void Record(const RecordArguments& arguments, const EnvRegistry& envs) {
  const TrainedRun run = LoadTrainedRun(arguments.run_dir, envs);
  const std::unique_ptr<Env> env = run.maker.env().maker.make();
  const EnvSpec& spec = env->spec();
  if (env->mujoco() == nullptr) {
    throw std::invalid_argument(spec.id + " has no picture: only MuJoCo's tasks do");
  }
  MujocoRenderer renderer(env->mujoco()->model(), arguments.render);
  VideoFile video(arguments.out, arguments.render.width, arguments.render.height, 1 / spec.dt);

  const Rng rng = Rng(arguments.seed).Split("record");
  torch::Generator unused = MakeGenerator(rng, torch::kCPU);
  Policy& policy = run.algorithm->policy();
  std::vector<double> obs(static_cast<size_t>(spec.obs_dim()));
  std::vector<double> action(static_cast<size_t>(spec.act_dim()));
  int64_t frames = 0;
  for (int64_t episode = 0; episode < arguments.episodes; ++episode) {
    RandomEngine engine = rng.Split(static_cast<uint64_t>(episode)).Engine();
    env->Reset(engine, obs);
    policy.Reset();
    StepResult step;
    double episode_return = 0;
    const auto draw = [&] {
      video.Add(renderer.Draw(
          env->mujoco()->qpos(),
          {{.name = "episode", .value = std::to_string(episode)},
           {.name = "time", .value = Fixed(spec.dt * static_cast<double>(env->elapsed_steps()), 2) + " s"},
           {.name = "reward", .value = Fixed(step.reward, 2)},
           {.name = "return", .value = Fixed(episode_return, 1)}}));
      ++frames;
    };
    draw();
    while (!step.terminated && !step.truncated && (arguments.steps == 0 || env->elapsed_steps() < arguments.steps)) {
      const torch::Tensor row = torch::tensor(obs, torch::kFloat64).to(torch::kFloat32).unsqueeze(0);
      const torch::Tensor acted = policy.Act(row, ActMode::kMean, unused).contiguous();
      ToEnvAction(spec, {acted.data_ptr<float>(), action.size()}, action);
      step = env->Step(action, obs);
      episode_return += step.reward;
      draw();
    }
    LogInfo("episode " + std::to_string(episode) + ": " + std::to_string(env->elapsed_steps()) + " steps, return " +
            Fixed(episode_return, 1));
  }
  video.Finish();
  LogInfo("wrote " + arguments.out + ", " + std::to_string(frames) + " pictures drawn through " + renderer.library());
}

}  // namespace

void AddRecordCommand(CLI::App& program, const EnvRegistry& envs) {
  CLI::App* command = program.add_subcommand("record", "Film the newest policy of a run, without a display");
  auto arguments = std::make_shared<RecordArguments>();
  command->add_option("run_dir", arguments->run_dir, "Folder of the run")->required();
  command->add_option("--out", arguments->out, "policy.mp4, policy.gif, or a folder for PNG files")->required();
  command->add_option("--episodes", arguments->episodes, "Episodes")->capture_default_str()->check(CLI::PositiveNumber);
  command->add_option("--steps", arguments->steps, "Most steps of an episode; 0: to its end")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  command->add_option("--seed", arguments->seed, "Seed of the start states")->capture_default_str();
  command->add_option("--width", arguments->render.width, "Pixels")->capture_default_str();
  command->add_option("--height", arguments->render.height, "Pixels")->capture_default_str();
  command->add_option("--camera", arguments->render.camera, "Camera of the model; default its tracking one");
  command->callback([arguments, &envs] { Record(*arguments, envs); });
}

}  // namespace reverie
