#include "reverie/report/run_data.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <set>
#include <stdexcept>

#include "reverie/config/writer.h"
#include "reverie/run/csv_table.h"

namespace reverie {
namespace {

namespace fs = std::filesystem;

// Columns of train.csv that are kept, by how their names begin.
constexpr const char* kTrainingColumns[] = {"model/open_loop_error_", "model/holdout_mse_", "model/unseen/",
                                            "rollout/uncertainty/"};

// The env steps of the rows. Throws where they do not rise.
std::vector<double> EnvSteps(const CsvTable& table) {
  const size_t column = table.Column("env_step");
  std::vector<double> steps;
  for (size_t row = 0; row < table.rows(); ++row) {
    const std::optional<double> step = table.Number(row, column);
    if (!step || !(*step > (steps.empty() ? -1 : steps.back()))) {
      table.Fail(row, "env_step: expected more than in the row before");
    }
    steps.push_back(*step);
  }
  return steps;
}

void NoteTornLine(const CsvTable& table, const fs::path& file, RunData& run) {
  if (table.has_torn_line()) {
    run.remarks.push_back("The last line of " + file.string() + " is not whole and was left out.");
  }
}

void ReadEvaluations(RunData& run) {
  const fs::path file = run.path / "eval.csv";
  const CsvTable table(file, {.grows = true});
  run.returns.x = EnvSteps(table);
  const size_t wall = table.Column("wall_s");
  const size_t mean = table.Column("return_mean");
  for (size_t row = 0; row < table.rows(); ++row) {
    const std::optional<double> wall_s = table.Number(row, wall);
    if (!wall_s || !(*wall_s >= (run.wall_s.empty() ? 0 : run.wall_s.back()))) {
      table.Fail(row, "wall_s: expected at least what the row before has");
    }
    run.returns.y.push_back(table.FiniteNumber(row, mean));
    run.wall_s.push_back(*wall_s);
  }
  NoteTornLine(table, file, run);
}

void ReadTraining(RunData& run) {
  const fs::path file = run.path / "train.csv";
  if (!fs::exists(file)) {  // kept results may leave it out
    return;
  }
  const CsvTable table(file, {.grows = true});
  const std::vector<double> steps = EnvSteps(table);
  for (size_t column = 0; column < table.columns().size(); ++column) {
    const std::string& name = table.columns()[column];
    if (std::any_of(std::begin(kTrainingColumns), std::end(kTrainingColumns),
                    [&](const char* begin) { return name.starts_with(begin); })) {
      Series series;
      for (size_t row = 0; row < table.rows(); ++row) {
        if (const std::optional<double> value = table.Number(row, column)) {
          series.x.push_back(steps[row]);
          series.y.push_back(*value);
        }
      }
      if (!series.x.empty()) {
        run.training.emplace(name, std::move(series));
      }
    }
  }
  NoteTornLine(table, file, run);
}

// Links are followed, but no folder is looked into twice: one that leads to a folder around it would have no end, one
// that leads to a run beside it would make two of one.
void CollectRuns(const fs::path& folder, std::set<fs::path>& seen, std::vector<fs::path>& runs,
                 std::vector<DamagedRun>& damaged) {
  std::error_code error;
  std::vector<fs::path> entries;
  for (fs::directory_iterator entry(folder, error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    entries.push_back(entry->path());
  }
  const fs::path itself = error ? folder : fs::canonical(folder, error);
  if (error) {
    damaged.push_back({.path = folder, .reason = "cannot look into the folder: " + error.message()});
    return;
  }
  if (!seen.insert(itself).second) {
    return;
  }
  if (std::find(entries.begin(), entries.end(), folder / "run.json") != entries.end()) {
    runs.push_back(folder);
    return;
  }
  for (const bool links : {false, true}) {
    for (const fs::path& entry : entries) {
      std::error_code leads_nowhere;
      if (fs::is_symlink(entry, leads_nowhere) == links && fs::is_directory(entry, leads_nowhere)) {
        CollectRuns(entry, seen, runs, damaged);
      }
    }
  }
}

}  // namespace

double ValueAt(const Series& series, double x) {
  if (series.x.empty()) {
    throw std::logic_error("the value of an empty series was asked for");
  }
  const auto after = std::lower_bound(series.x.begin(), series.x.end(), x);
  if (after == series.x.end()) {
    return series.y.back();
  }
  const auto i = static_cast<size_t>(after - series.x.begin());
  if (i == 0 || *after == x) {
    return series.y[i];
  }
  const double share = (x - series.x[i - 1]) / (series.x[i] - series.x[i - 1]);
  return series.y[i - 1] + share * (series.y[i] - series.y[i - 1]);
}

double MeanHeight(const Series& series, double begin, double end) {
  if (!(begin < end) || series.x.empty() || series.x.front() > begin || series.x.back() < end) {
    throw std::logic_error("the mean height was asked for where the series is not");
  }
  double area = 0;
  double x = begin;
  double y = ValueAt(series, begin);
  for (size_t i = 0; i < series.x.size() && x < end; ++i) {
    if (series.x[i] > x) {
      const double next_x = std::min(series.x[i], end);
      const double next_y = ValueAt(series, next_x);
      area += 0.5 * (next_x - x) * (y + next_y);
      x = next_x;
      y = next_y;
    }
  }
  return area / (end - begin);
}

std::vector<fs::path> FindRuns(const fs::path& path, std::vector<DamagedRun>& damaged) {
  if (!fs::is_directory(path)) {
    throw std::invalid_argument(path.string() + ": expected the folder of a run, or one with runs below it");
  }
  std::vector<fs::path> runs;
  std::set<fs::path> seen;
  const size_t damaged_before = damaged.size();
  CollectRuns(path, seen, runs, damaged);
  if (runs.empty() && damaged.size() == damaged_before) {
    throw std::invalid_argument(path.string() + ": there is no run in it or below it (none has a run.json)");
  }
  std::sort(runs.begin(), runs.end());
  return runs;
}

RunData ReadRun(const fs::path& path, const ReadsConfig& read_config) {
  const RunDirectory directory = RunDirectory::Open(path);
  RunData run{.path = path, .record = directory.record()};
  const ConfigDocument config = read_config(directory.config_path());
  for (const ConfigLeaf& leaf : config.Leaves()) {
    run.config.emplace(leaf.key, leaf.value);
  }
  if (run.config.contains("variant")) {
    run.record.facts.variant = config.TextAt("variant");
  }
  for (const auto& [key, digest] : run.record.facts.files) {  // wherever a file lies, its content makes the task
    run.config[key] = fs::path(run.config[key]).filename().string() + " (" + digest + ")";
  }
  ReadEvaluations(run);
  // A run ends with an evaluation.
  const double last = run.returns.x.empty() ? -1 : run.returns.x.back();
  if (run.finished() && last < static_cast<double>(run.record.env_steps)) {
    throw std::invalid_argument((path / "eval.csv").string() + ": " +
                                (last < 0 ? "has no evaluation" : "ends at env step " + ShortestDouble(last)) +
                                ", but run.json says that the run finished at " + std::to_string(run.record.env_steps));
  }
  ReadTraining(run);
  return run;
}

}  // namespace reverie
