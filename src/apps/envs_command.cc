#include <algorithm>
#include <iostream>
#include <sstream>

#include "commands.h"
#include "reverie/config/writer.h"
#include "reverie/core/text.h"

namespace reverie {
namespace {

// "4 numbers in [-1, 1]", or every bound where they differ.
std::string BoundsText(const std::vector<double>& low, const std::vector<double>& high) {
  std::ostringstream text;
  text << low.size() << (low.size() == 1 ? " number" : " numbers") << " in ";
  const auto all_equal = [](const std::vector<double>& v) { return std::equal(v.begin() + 1, v.end(), v.begin()); };
  const size_t shown = all_equal(low) && all_equal(high) ? 1 : low.size();
  for (size_t i = 0; i < shown; ++i) {
    text << (i > 0 ? ", " : "") << "[" << ShortestDouble(low[i]) << ", " << ShortestDouble(high[i]) << "]";
  }
  return text.str();
}

void ListEnvs(const EnvRegistry& envs) {
  size_t width = 0;
  for (const EnvEntry& entry : envs.entries()) {
    width = std::max(width, entry.id.size());
  }
  for (const EnvEntry& entry : envs.entries()) {
    std::cout << entry.id << std::string(width + 2 - entry.id.size(), ' ') << entry.summary << "\n";
  }
}

void ShowEnv(const EnvEntry& entry) {
  const EnvMaker maker = entry.maker();
  const std::unique_ptr<Env> env = maker.make();
  const EnvSpec& spec = env->spec();
  const TaskFunctions functions = maker.task_functions();
  std::cout << entry.id << ": " << entry.summary << "\n\n"
            << "observation  " << BoundsText(spec.obs_low, spec.obs_high) << "\n"
            << "action       " << BoundsText(spec.action_low, spec.action_high) << "\n"
            << "time step    " << ShortestDouble(spec.dt) << " s\n"
            << "time limit   " << (spec.time_limit > 0 ? std::to_string(spec.time_limit) + " steps" : "none")
            << " (env.max_episode_steps: another)\n"
            << "state        " << spec.state_names.size() << " numbers: " << Joined(spec.state_names) << "\n"
            << "reward       "
            << (functions.reward ? "known to imagined rollouts" : "learned: the observation does not determine it")
            << "\n"
            << "termination  " << (functions.terminated ? "known to imagined rollouts" : "unknown: never ends") << "\n"
            << "state cost   "
            << (functions.state_cost ? "known: controllers can plan in the simulator"
                                     : "none to plan in the simulator by")
            << "\n"
            << "\noptions (env.options.NAME)\n"
            << ToReference(maker.options());
}

}  // namespace

void AddEnvsCommand(CLI::App& program, const EnvRegistry& envs) {
  CLI::App* command = program.add_subcommand("envs", "List the environments, or show one.");
  const auto id = std::make_shared<std::string>();
  command->add_option("ENV_ID", *id, "show this one: spaces, time, state, options");
  command->callback([id, &envs] {
    if (id->empty()) {
      ListEnvs(envs);
    } else {
      ShowEnv(envs.Find(*id));
    }
  });
}

}  // namespace reverie
