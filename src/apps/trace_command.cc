#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "commands.h"
#include "experiment.h"
#include "options.h"
#include "reverie/core/text.h"
#include "reverie/run/csv_table.h"

namespace reverie {
namespace {

struct TraceArguments {
  std::string env_id;
  std::string state_file;
  std::string actions_file;
  std::string out_file;
  std::vector<ConfigAssignment> sets;
};

// Rows of `columns` numbers, without a header. Throws std::invalid_argument "FILE:LINE: ...".
std::vector<std::vector<double>> ReadRows(const std::string& path, size_t columns) {
  const CsvTable table(path, {.header = false});
  if (table.rows() > 0 && table.columns().size() != columns) {
    table.Fail(0, Text("expected ", columns, " numbers, got ", table.columns().size()));
  }
  std::vector<std::vector<double>> rows(table.rows(), std::vector<double>(columns));
  for (size_t row = 0; row < rows.size(); ++row) {
    for (size_t column = 0; column < columns; ++column) {
      rows[row][column] = table.FiniteNumber(row, column);
    }
  }
  return rows;
}

void AppendRow(int64_t step, const std::vector<double>& obs, const StepResult& result, std::string& csv) {
  const auto append = [&csv](double value) {
    std::array<char, 32> buffer{};
    const int size = std::snprintf(buffer.data(), buffer.size(), ",%.17g", value);
    csv.append(buffer.data(), static_cast<size_t>(size));
  };
  csv += std::to_string(step);
  for (const double value : obs) {
    append(value);
  }
  append(result.reward);
  csv += result.terminated ? ",1" : ",0";
  csv += result.truncated ? ",1\n" : ",0\n";
}

void Trace(const TraceArguments& arguments, const EnvRegistry& envs) {
  const std::unique_ptr<Env> env = ReadEnv(arguments.env_id, arguments.sets, envs).maker.make();
  const EnvSpec& spec = env->spec();
  const std::vector<std::vector<double>> state = ReadRows(arguments.state_file, spec.state_names.size());
  if (state.size() != 1) {
    throw std::invalid_argument(arguments.state_file + ": expected one row, got " + std::to_string(state.size()));
  }
  const std::vector<std::vector<double>> actions = ReadRows(arguments.actions_file, spec.action_low.size());
  const std::filesystem::path folder = std::filesystem::path(arguments.out_file).parent_path();
  if (!folder.empty() && !std::filesystem::is_directory(folder)) {
    throw std::invalid_argument("--out " + arguments.out_file + ": no such folder: " + folder.string());
  }

  std::string csv = "step";
  for (int64_t i = 0; i < spec.obs_dim(); ++i) {
    csv += ",obs_" + std::to_string(i);
  }
  csv += ",reward,terminated,truncated\n";
  std::vector<double> obs(spec.obs_low.size());
  env->SetState(state[0], obs);
  AppendRow(0, obs, {}, csv);
  for (size_t i = 0; i < actions.size(); ++i) {
    const StepResult result = env->Step(actions[i], obs);
    AppendRow(static_cast<int64_t>(i) + 1, obs, result, csv);
  }

  std::ofstream file(arguments.out_file, std::ios::binary);
  file << csv;
  file.close();
  if (!file) {
    throw std::runtime_error("--out " + arguments.out_file + ": cannot be written");
  }
}

}  // namespace

void AddTraceCommand(CLI::App& program, const EnvRegistry& envs) {
  CLI::App* command = program.add_subcommand("trace", "Step an environment from a given state with given actions.");
  const auto arguments = std::make_shared<TraceArguments>();
  command->add_option("ENV_ID", arguments->env_id, "the environment")->required();
  command->add_option("--state", arguments->state_file, "CSV without header: one row, the state")->required();
  command->add_option("--actions", arguments->actions_file, "CSV without header: one row a step")->required();
  AddSets(*command, arguments->sets, "env.options.NAME=VALUE or env.max_episode_steps=N; may be repeated");
  command->add_option("--out", arguments->out_file, "CSV to write: step, obs, reward, terminated, truncated")
      ->required();
  command->callback([arguments, &envs] { Trace(*arguments, envs); });
}

}  // namespace reverie
