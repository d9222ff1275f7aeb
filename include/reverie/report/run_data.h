// What a finished or running run has written, read for a comparison.
#ifndef REVERIE_REPORT_RUN_DATA_H_
#define REVERIE_REPORT_RUN_DATA_H_

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "reverie/config/reader.h"
#include "reverie/run/run_directory.h"

namespace reverie {

// A quantity along a run: y[i] at x[i], x not decreasing.
struct Series {
  std::vector<double> x, y;
};

// The value at x: on a straight line between the neighbours, or that of the nearest end beyond it. Throws
// std::logic_error if the series is empty.
double ValueAt(const Series& series, double x);

// The mean height of the series from `begin` to `end`, by the trapezoidal rule. Throws std::logic_error if the interval
// is empty or the series does not span it.
double MeanHeight(const Series& series, double begin, double end);

struct RunData {
  std::filesystem::path path;
  RunRecord record;
  std::map<std::string, std::string> config;  // "sac.discount" -> "0.99"
  Series returns;                             // mean evaluation return against env steps
  std::vector<double> wall_s;                 // training time at each of them
  // Columns of train.csv about the model (open-loop errors, hold-out errors) and its disagreement, against env steps.
  std::map<std::string, Series> training;
  std::vector<std::string> remarks;  // what was left out, in words
  std::string group_folder;          // that tells its group from others of the name; empty where the name does

  const std::string& task() const { return record.facts.env; }
  // The variant's name, or the algorithm's if there is none, and its folder.
  std::string group() const {
    const std::string& name = record.facts.variant.empty() ? record.facts.algorithm : record.facts.variant;
    return group_folder.empty() ? name : name + " in " + group_folder;
  }
  bool finished() const { return record.status == RunStatus::kFinished; }
};

// A run that cannot be read, or a folder that cannot be looked into, and why.
struct DamagedRun {
  std::filesystem::path path;
  std::string reason;
};

// The folders of runs at and below `path`, sorted; what cannot be looked into is added to `damaged`. Throws
// std::invalid_argument if there is neither.
std::vector<std::filesystem::path> FindRuns(const std::filesystem::path& path, std::vector<DamagedRun>& damaged);

// A run's config, given its file. `report` does not know algorithms: whoever does gives what today's version makes of
// the file, so that runs of different versions are compared by what their keys mean.
using ReadsConfig = std::function<ConfigDocument(const std::filesystem::path& file)>;

// Reads run.json, config.yaml, eval.csv and train.csv. The variant is the config's, where it has been changed since. A
// last line that is not yet whole is left out, which the remarks say. Throws std::invalid_argument naming file and line
// if a file is missing, a column of eval.csv is missing, a line has another number of fields than the header, a field
// is no number, steps do not rise, a return is not finite, or a finished run has no evaluation of its end.
RunData ReadRun(const std::filesystem::path& path, const ReadsConfig& read_config);

}  // namespace reverie

#endif  // REVERIE_REPORT_RUN_DATA_H_
