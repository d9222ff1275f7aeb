#include <array>
#include <optional>
#include <stdexcept>

#include "commands.h"
#include "experiment.h"
#include "options.h"
#include "reverie/core/log.h"
#include "reverie/core/text.h"
#include "reverie/env/action_bounds.h"
#include "reverie/env/mujoco/simulation.h"
#include "reverie/models/model_env.h"
#include "reverie/render/mujoco_renderer.h"
#include "reverie/render/state_from_obs.h"
#include "reverie/render/video_file.h"
#include "start_options.h"

namespace reverie {
namespace {

struct RecordArguments {
  std::string run_dir;
  std::string out;
  int64_t episodes = 1;
  int64_t steps = 0;
  int64_t imagine = 0;
  int64_t seed = 0;
  StartOptions starts;
  RenderOptions render;
};

torch::Tensor Row(const std::vector<double>& numbers) {
  return torch::tensor(numbers, torch::kFloat64).to(torch::kFloat32).unsqueeze(0);
}

// What the model makes of the same actions: from what really is, `horizon` steps with its own predictions alone, and so
// on from what then is.
class Imagination {
 public:
  Imagination(const DynamicsModel& model, std::unique_ptr<Env> env, int64_t horizon)
      : model_(model), states_(std::move(env)), horizon_(horizon) {}

  void BeginFrom(const MujocoSimulation& simulation, const std::vector<double>& obs) {
    state_ = simulation.State();
    obs_ = Row(obs);
    steps_ = 0;
  }
  bool AtItsEnd() const { return steps_ == horizon_; }

  void Step(const torch::Tensor& action) {
    const torch::NoGradGuard no_grad;
    obs_ = MeanNextObs(model_, obs_, action);
    const torch::Tensor obs = obs_.squeeze(0).to(torch::kFloat64).contiguous();
    if (!torch::isfinite(obs).all().item<bool>()) {
      throw std::runtime_error("the model's prediction is not finite");
    }
    state_ = states_.Find({obs.data_ptr<double>(), static_cast<size_t>(obs.numel())}, states_.Coasted(state_));
    ++steps_;
  }

  std::span<const double> qpos(size_t nq) const { return std::span<const double>(state_).first(nq); }
  std::string steps() const { return std::to_string(steps_) + " of " + std::to_string(horizon_) + " steps"; }

 private:
  const DynamicsModel& model_;
  StateFromObs states_;
  int64_t horizon_;
  torch::Tensor obs_;          // [1, obs_dim]
  std::vector<double> state_;  // as MujocoSimulation has it
  int64_t steps_ = 0;
};

// The second picture to the right of the first, both [height, width, 3].
std::vector<uint8_t> SideBySide(std::span<const uint8_t> left, std::span<const uint8_t> right, int64_t width) {
  std::vector<uint8_t> both;
  const auto row = static_cast<size_t>(3 * width);
  for (size_t begin = 0; begin < left.size(); begin += row) {
    for (const auto& picture : {left, right}) {
      const auto line = picture.subspan(begin, row);
      both.insert(both.end(), line.begin(), line.end());
    }
  }
  return both;
}

// Episodes with the mean action, a picture a step.
void Record(const RecordArguments& arguments, const EnvRegistry& envs) {
  const TrainedRun run = LoadTrainedRun(arguments.run_dir, envs);
  const std::unique_ptr<Env> env = arguments.starts.Of(run.maker.env().maker).make();
  const EnvSpec& spec = env->spec();
  if (env->mujoco() == nullptr) {
    throw std::invalid_argument(spec.id + " has no picture: only MuJoCo's tasks do");
  }
  std::optional<Imagination> imagination;
  if (arguments.imagine > 0) {
    const std::optional<Algorithm::LearnedModel> learned = run.algorithm->learned_model();
    if (!learned) {
      throw std::invalid_argument("--imagine: " + arguments.run_dir + " learned no model to imagine with");
    }
    imagination.emplace(learned->model, run.maker.env().maker.make(), arguments.imagine);
  }
  MujocoRenderer renderer(env->mujoco()->model(), arguments.render);
  const int64_t width = arguments.render.width * (imagination ? 2 : 1);
  VideoFile video(arguments.out, width, arguments.render.height, 1 / spec.dt);

  const Rng rng = Rng(static_cast<uint64_t>(arguments.seed)).Split("record");
  torch::Generator unused = MakeGenerator(rng, torch::kCPU);
  const Policy& policy = run.algorithm->policy();
  const std::unique_ptr<PolicyMemory> memory = policy.NewMemory(1);
  const std::array<int64_t, 1> row{0};
  const std::array<const Env*, 1> in_env{env.get()};
  std::vector<double> obs(static_cast<size_t>(spec.obs_dim()));
  std::vector<double> env_action(static_cast<size_t>(spec.act_dim()));
  int64_t pictures = 0;
  for (int64_t episode = 0; episode < arguments.episodes; ++episode) {
    RandomEngine engine = rng.Split(static_cast<uint64_t>(episode)).Engine();
    env->ResetInTurn(static_cast<size_t>(episode), engine, obs);
    if (memory) {
      memory->Reset(row);
    }
    if (imagination) {
      imagination->BeginFrom(*env->mujoco(), obs);
    }
    StepResult step;
    double episode_return = 0;
    const auto draw = [&] {
      const std::string seconds = FixedText(spec.dt * static_cast<double>(env->elapsed_steps()), 2) + " s";
      std::span<const uint8_t> picture =
          renderer.Draw(env->mujoco()->qpos(), {{"episode", std::to_string(episode)},
                                                {"time", seconds},
                                                {"reward", FixedText(step.reward, 2)},
                                                {"return", FixedText(episode_return, 1)}});
      std::vector<uint8_t> both;
      if (imagination) {
        const std::vector<uint8_t> happened(picture.begin(), picture.end());
        const size_t nq = env->mujoco()->qpos().size();
        const auto imagined = renderer.Draw(imagination->qpos(nq), {{"imagined", imagination->steps()}});
        both = SideBySide(happened, imagined, arguments.render.width);
        picture = both;
      }
      video.Add(picture);
      ++pictures;
    };
    draw();
    while (!step.terminated && !step.truncated && (arguments.steps == 0 || env->elapsed_steps() < arguments.steps)) {
      if (imagination && imagination->AtItsEnd()) {
        imagination->BeginFrom(*env->mujoco(), obs);
      }
      const ActInput input{.obs = Row(obs), .rows = row, .envs = in_env};
      const torch::Tensor action = policy.Act(input, memory.get(), ActMode::kMean, unused).contiguous();
      if (imagination) {
        imagination->Step(action);
      }
      ToEnvAction(spec, {action.data_ptr<float>(), env_action.size()}, env_action);
      step = env->Step(env_action, obs);
      episode_return += step.reward;
      draw();
    }
    LogInfo("episode " + std::to_string(episode) + ": " + std::to_string(env->elapsed_steps()) + " steps, return " +
            FixedText(episode_return, 1));
  }
  video.Finish();
  LogInfo("wrote " + arguments.out + ", " + std::to_string(pictures) + " pictures drawn through " + renderer.library());
}

}  // namespace

void AddRecordCommand(CLI::App& program, const EnvRegistry& envs) {
  CLI::App* command = program.add_subcommand("record", "Film the newest policy of a run, without a display");
  auto arguments = std::make_shared<RecordArguments>();
  command->add_option("run_dir", arguments->run_dir, "Folder of the run")->required();
  command->add_option("--out", arguments->out, "policy.mp4, policy.gif, or a folder for PNG files")->required();
  AddOption(*command, "--episodes", arguments->episodes, "Episodes", AtLeast(1));
  AddOption(*command, "--steps", arguments->steps, "Most steps of an episode; 0: to its end", AtLeast(0));
  AddOption(*command, "--imagine", arguments->imagine,
            "Beside it what the model imagines of the same actions, this many steps from every start; 0: nothing",
            AtLeast(0));
  AddOption(*command, "--seed", arguments->seed, "Seed of the resets", AtLeast(0));
  arguments->starts.AddTo(*command);
  AddOption(*command, "--width", arguments->render.width, "Pixels", AtLeast(1));
  AddOption(*command, "--height", arguments->render.height, "Pixels", AtLeast(1));
  command->add_option("--camera", arguments->render.camera, "Camera of the model; default its tracking one");
  command->callback([arguments, &envs] { Record(*arguments, envs); });
}

}  // namespace reverie
