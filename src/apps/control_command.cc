#include <cmath>
#include <iostream>
#include <stdexcept>

#include "commands.h"
#include "experiment.h"
#include "numbers.h"
#include "options.h"
#include "returns.h"
#include "reverie/config/writer.h"
#include "reverie/control/lqr.h"
#include "reverie/core/log.h"
#include "reverie/core/text.h"
#include "reverie/core/timer.h"
#include "reverie/env/mujoco/simulation.h"
#include "reverie/planning/ilqr_policy.h"
#include "reverie/planning/regulator.h"
#include "reverie/planning/simulator_dynamics.h"
#include "reverie/planning/simulator_problem.h"
#include "reverie/planning/state_feedback_policy.h"

namespace reverie {
namespace {

constexpr double kDrift = 1e-4;  // a state that moves further in a step is no rest

struct LqrArguments {
  std::string env_id;
  std::vector<ConfigAssignment> sets;
  RegulatorConfig regulator;
  int64_t episodes = 10;
  int64_t seed = 0;
  bool json = false;
};

EnvMaker OfState(const EnvConfig& env) {
  if (!env.observe.changes_nothing()) {
    throw std::invalid_argument("env.observe: is not read, as optimal control sees the simulator's state");
  }
  return env.maker;
}

std::vector<std::vector<double>> Rows(const torch::Tensor& matrix) {
  std::vector<std::vector<double>> rows;
  for (int64_t i = 0; i < matrix.size(0); ++i) {
    rows.push_back(Numbers(matrix[i]));
  }
  return rows;
}

std::vector<double> Moduli(const torch::Tensor& matrix) {
  return Numbers(std::get<0>(torch::linalg_eigvals(matrix).abs().sort(-1, true)));
}

std::string NumbersText(const std::vector<double>& numbers) {
  std::vector<std::string> texts;
  for (const double number : numbers) {
    texts.push_back(FixedText(number, 5));
  }
  return Joined(texts);
}

void ControlByLqr(const LqrArguments& arguments, const EnvRegistry& envs) {
  const EnvMaker maker = OfState(ReadEnv(arguments.env_id, arguments.sets, envs));
  const std::unique_ptr<Env> env = maker.make();
  std::vector<double> obs(env->spec().obs_low.size());
  RandomEngine rng = Rng(static_cast<uint64_t>(arguments.seed)).Split("lqr command").Engine();
  env->Reset(rng, obs);
  const auto dynamics = std::make_shared<SimulatorDynamics>(maker, 1);
  const Regulator about = RegulatorOf(*dynamics, *env, arguments.regulator, /*names_are_flags=*/true);
  const std::vector<double> state = env->GetState();
  const std::vector<std::string>& names = dynamics->tangent_names();
  const torch::Tensor drift = about.drift.abs().flatten();
  const auto most = drift.argmax().item<int64_t>();
  if (drift[most].item<double>() > kDrift) {
    LogWarning(Text("that state is no rest: in one step ", names[static_cast<size_t>(most)], " changes by ",
                    ShortestDouble(about.drift.flatten()[most].item<double>()),
                    "; the gains are those about it all the same"));
  }
  const StateFeedbackPolicy policy(dynamics, about.x, about.u, about.solution.k);
  const EvalResult result =
      Evaluate(policy, maker, Rng(static_cast<uint64_t>(arguments.seed)).Split("lqr episodes"), arguments.episodes);
  const std::vector<double> open = Moduli(about.a);
  const std::vector<double> closed = Numbers(about.solution.moduli);
  if (arguments.json) {
    nlohmann::ordered_json json{
        {"env", env->spec().id},           {"state", state},           {"action", Numbers(about.u)},
        {"drift", Numbers(about.drift)},   {"names", names},           {"gains", Rows(about.solution.k)},
        {"value", Rows(about.solution.p)}, {"open_loop_moduli", open}, {"closed_loop_moduli", closed}};
    AddReturns(result, json);
    std::cout << json.dump() << "\n";
    return;
  }
  std::cout << env->spec().id << ", actions in [-1, 1]: u = u* + K (x - x*)\n"
            << "x* of " << Joined(env->spec().state_names) << ":\n  " << NumbersText(state) << "\n"
            << "u*: " << NumbersText(Numbers(about.u)) << "\n"
            << "K by " << Joined(names) << ":\n";
  for (const std::vector<double>& row : Rows(about.solution.k)) {
    std::cout << "  " << NumbersText(row) << "\n";
  }
  std::cout << "moduli of the poles without control: " << NumbersText(open) << "\n"
            << "moduli of the poles with it:         " << NumbersText(closed) << "\n";
  std::cout << ReturnsText(result) << "\n";
}

struct IlqrArguments {
  std::string env_id;
  std::vector<ConfigAssignment> sets;  // of the environment, and of IlqrConfig
  std::vector<double> state;           // where the one episode begins; empty: where resets lead
  int64_t episodes = 10;
  int64_t seed = 0;
  bool json = false;
};

void ControlByIlqr(const IlqrArguments& arguments, const EnvRegistry& envs) {
  IlqrConfig config;
  int64_t replan_every = 1;
  Fields fields;
  fields.Section("ilqr", "the planner", [&](Fields& section) {
    config.Visit(section);
    section("replan_every", replan_every, "steps acted out by feedback before the plan is made anew", AtLeast(1));
    section.Check([&] { return replan_every <= config.horizon; }, "at most horizon");
  });
  const EnvMaker maker = OfState(ReadEnv(arguments.env_id, arguments.sets, envs, fields));

  const auto dynamics = std::make_shared<SimulatorDynamics>(maker, 1);
  const EnvSpec spec = maker.make()->spec();
  const ShootingProblem task = SimulatorProblem(dynamics, maker);
  const IlqrPolicy policy(config, {.replan_every = replan_every}, dynamics->controls(),
                          [&](const torch::Tensor&, const Env* env) { return FollowedFrom(task, *dynamics, env); });
  const Stopwatch watch;
  const Rng rng = Rng(static_cast<uint64_t>(arguments.seed)).Split("ilqr episodes");
  const EvalResult result = arguments.state.empty() ? Evaluate(policy, maker, rng, arguments.episodes)
                                                    : Evaluator(maker, 1).RunFrom(arguments.state, policy, rng);
  const double seconds = watch.Seconds() / static_cast<double>(result.episodes());
  if (arguments.json) {
    nlohmann::ordered_json json{{"env", spec.id}, {"seconds_per_episode", seconds}};
    AddReturns(result, json);
    std::cout << json.dump() << "\n";
    return;
  }
  std::cout << spec.id << ", " << ReturnsText(result) << ", " << FixedText(seconds, 2) << " s an episode\n";
}

// A flag whose value is numbers between commas.
void AddNumbers(CLI::App& command, const std::string& name, std::vector<double>& values, const std::string& doc) {
  command.add_option_function<std::string>(
      name,
      [&values, name](const std::string& text) {
        values = ReadOption<std::vector<double>>(name, "[" + text + "]", Range());
      },
      doc);
}

}  // namespace

void AddControlCommand(CLI::App& program, const EnvRegistry& envs) {
  CLI::App* command = program.add_subcommand("control", "Optimal control of an environment's own simulator");
  command->require_subcommand(1);
  CLI::App* lqr = command->add_subcommand(
      "lqr", "Gains, poles and return of the linear-quadratic regulator about a state: the least sum of x'Qx + u'Ru");
  auto arguments = std::make_shared<LqrArguments>();
  lqr->add_option("--env", arguments->env_id, "The environment")->required();
  AddSets(*lqr, arguments->sets, "env.options.NAME=VALUE or env.max_episode_steps=N; may be repeated");
  AddNumbers(*lqr, "--state", arguments->regulator.state,
             "Comma-separated, as `reverie envs ENV` names them; default: the model's rest, or zeros");
  AddNumbers(*lqr, "--action", arguments->regulator.action, "What holds it there, in [-1, 1]; default 0");
  AddNumbers(*lqr, "--state-weights", arguments->regulator.state_weights,
             "Diagonal of Q, or one number for all; default 1");
  AddNumbers(*lqr, "--action-weights", arguments->regulator.action_weights,
             "Diagonal of R, or one number for all; default 1");
  AddOption(*lqr, "--episodes", arguments->episodes, "Whole episodes that it acts in", AtLeast(1));
  AddOption(*lqr, "--seed", arguments->seed, "Seed of their start states", AtLeast(0));
  lqr->add_flag("--json", arguments->json, "One JSON object on stdout");
  lqr->callback([arguments, &envs] { ControlByLqr(*arguments, envs); });

  CLI::App* ilqr = command->add_subcommand(
      "ilqr", "Return of planning in the simulator by iLQR, anew at every step: what a learned model is measured by");
  auto planned = std::make_shared<IlqrArguments>();
  ilqr->add_option("--env", planned->env_id, "The environment")->required();
  AddSets(*ilqr, planned->sets,
          "ilqr.KEY=VALUE (horizon, starts, start_std, grow_by, first_iterations, iterations, replan_every), "
          "env.options.NAME=VALUE or env.max_episode_steps=N; may be repeated");
  AddNumbers(*ilqr, "--state", planned->state,
             "Where one episode begins, as `reverie envs ENV` names it; default: resets");
  AddOption(*ilqr, "--episodes", planned->episodes, "Whole episodes", AtLeast(1));
  AddOption(*ilqr, "--seed", planned->seed, "Seed of their start states", AtLeast(0));
  ilqr->add_flag("--json", planned->json, "One JSON object on stdout");
  ilqr->callback([planned, &envs] { ControlByIlqr(*planned, envs); });
}

}  // namespace reverie
