#include "reverie/report/comparison.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <set>
#include <stdexcept>
#include <utility>

#include "reverie/config/reader.h"
#include "reverie/config/writer.h"
#include "reverie/core/rng.h"
#include "reverie/core/text.h"
#include "reverie/env/registry.h"
#include "reverie/run/run_config.h"

namespace reverie {
namespace {

constexpr size_t kCurvePoints = 100;
constexpr size_t kProfileLevels = 100;
constexpr size_t kFewSeeds = 5;
constexpr double kSecondsPerHour = 3600;

// The place of the element with that name, which is added at the end where there is none.
template <class Named>
size_t PlaceOf(const std::string& name, std::vector<Named>& list) {
  const auto found = std::find_if(list.begin(), list.end(), [&](const Named& item) { return item.name == name; });
  if (found != list.end()) {
    return static_cast<size_t>(found - list.begin());
  }
  list.push_back({.name = name});
  return list.size() - 1;
}

std::vector<double> Evenly(double first, double last, size_t count) {
  std::vector<double> places(count);
  for (size_t i = 0; i < count; ++i) {
    places[i] = first + (last - first) * static_cast<double>(i) / static_cast<double>(count - 1);
  }
  return places;
}

// Where a curve through all of the series is drawn: at their own places where these are the same and few, else evenly
// over what all of them span.
std::vector<double> CurvePlaces(const std::vector<Series>& series) {
  double first = -std::numeric_limits<double>::infinity();
  double last = std::numeric_limits<double>::infinity();
  bool same = true;
  for (const Series& one : series) {
    first = std::max(first, one.x.front());
    last = std::min(last, one.x.back());
    same = same && one.x == series.front().x;
  }
  if (same && series.front().x.size() <= kCurvePoints) {
    return series.front().x;
  }
  if (first > last) {
    return {};
  }
  return first == last ? std::vector<double>{first} : Evenly(first, last, kCurvePoints);
}

Curve CurveThrough(const std::vector<Series>& series, const Resamples& resamples) {
  Curve curve{.x = CurvePlaces(series)};
  std::vector<double> heights(series.size());
  for (const double x : curve.x) {
    for (size_t i = 0; i < series.size(); ++i) {
      heights[i] = ValueAt(series[i], x);
    }
    curve.y.push_back(InterquartileMean(heights, resamples));
  }
  return curve;
}

// The mean of the evaluations after `begin` and up to `horizon`; the last one up to it where there is none.
double ScoreOf(const Series& returns, double begin, double horizon) {
  double sum = 0;
  int64_t count = 0;
  double last = std::numeric_limits<double>::quiet_NaN();
  for (size_t i = 0; i < returns.x.size() && returns.x[i] <= horizon; ++i) {
    last = returns.y[i];
    if (returns.x[i] > begin) {
      sum += returns.y[i];
      ++count;
    }
  }
  return count > 0 ? sum / static_cast<double>(count) : last;
}

Reached ReachedBy(const std::vector<const RunData*>& runs, double reach, double horizon) {
  Reached reached{.reach = reach};
  std::vector<double> steps;
  std::vector<double> hours;
  for (const RunData* run : runs) {
    steps.push_back(std::numeric_limits<double>::infinity());
    hours.push_back(std::numeric_limits<double>::infinity());
    for (size_t i = 0; i < run->returns.x.size() && run->returns.x[i] <= horizon; ++i) {
      if (run->returns.y[i] >= reach) {
        ++reached.runs;
        steps.back() = run->returns.x[i];
        hours.back() = run->wall_s[i] / kSecondsPerHour;
        break;
      }
    }
  }
  reached.median_steps = Median(steps);
  reached.median_hours = Median(hours);
  return reached;
}

std::vector<const RunData*> RunsOf(const GroupReport& group, const Comparison& comparison) {
  std::vector<const RunData*> runs;
  for (const size_t run : group.runs) {
    runs.push_back(&comparison.runs[run]);
  }
  return runs;
}

void FillGroup(const TaskReport& task, const Comparison& comparison, const Resamples& resamples, GroupReport& group) {
  const CompareOptions& options = comparison.options;
  const std::vector<const RunData*> runs = RunsOf(group, comparison);
  std::vector<Series> by_steps;
  std::vector<Series> by_hours;
  std::vector<double> areas;
  for (const RunData* run : runs) {
    group.scores.push_back(ScoreOf(run->returns, task.window_begin, task.horizon));
    by_steps.push_back(run->returns);
    Series hours{.x = run->wall_s, .y = run->returns.y};
    std::for_each(hours.x.begin(), hours.x.end(), [](double& x) { x /= kSecondsPerHour; });
    by_hours.push_back(std::move(hours));
  }
  group.iqm = InterquartileMean(group.scores, resamples);
  group.mean = Mean(group.scores, resamples);

  double first = 0;
  for (const Series& series : by_steps) {
    first = std::max(first, series.x.front());
  }
  if (first < task.horizon) {
    for (const Series& series : by_steps) {
      areas.push_back(MeanHeight(series, first, task.horizon));
    }
    group.area = InterquartileMean(areas, resamples);
  }
  for (const double step : options.at_steps) {
    Estimate estimate;
    if (step >= first && step <= task.horizon) {
      std::vector<double> heights(by_steps.size());
      std::transform(by_steps.begin(), by_steps.end(), heights.begin(),
                     [&](const Series& series) { return ValueAt(series, step); });
      estimate = InterquartileMean(heights, resamples);
    }
    group.at_steps.push_back(estimate);
  }
  auto reach = options.reach.find(task.name);
  reach = reach == options.reach.end() ? options.reach.find("") : reach;
  if (reach != options.reach.end()) {
    group.reached = ReachedBy(runs, reach->second, task.horizon);
  }
  group.by_steps = CurveThrough(by_steps, resamples);
  group.by_hours = CurveThrough(by_hours, resamples);
  for (const auto& [column, unused] : runs.front()->training) {
    std::vector<Series> series;
    for (const RunData* run : runs) {
      if (const auto found = run->training.find(column); found != run->training.end()) {
        series.push_back(found->second);
      }
    }
    if (series.size() == runs.size()) {
      group.training.emplace(column, CurveThrough(series, resamples));
    }
  }
}

Rng BootstrapRng(const std::string& task, const std::string& group) {
  return Rng(0).Split("bootstrap").Split(task).Split(group);
}

std::vector<double> ProfileLevels(const std::vector<std::vector<double>>& scores) {
  double low = std::numeric_limits<double>::infinity();
  double high = -low;
  for (const std::vector<double>& group : scores) {
    for (const double score : group) {
      low = std::min(low, score);
      high = std::max(high, score);
    }
  }
  const double margin = low < high ? 0.02 * (high - low) : 1;
  return Evenly(low - margin, high + margin, kProfileLevels);
}

std::vector<Estimate> Profile(const std::vector<double>& scores, const std::vector<double>& levels,
                              const Resamples& resamples) {
  std::vector<Estimate> profile;
  profile.reserve(levels.size());
  for (const double level : levels) {
    profile.push_back(ShareAbove(scores, level, resamples));
  }
  return profile;
}

void FillTask(const Comparison& comparison, TaskReport& task) {
  task.window_begin = task.horizon * (1 - comparison.options.window);
  std::vector<Resamples> resamples;
  std::vector<std::vector<double>> scores;
  for (GroupReport& group : task.groups) {
    resamples.emplace_back(std::vector<int64_t>{static_cast<int64_t>(group.runs.size())}, comparison.options.draws,
                           BootstrapRng(task.name, group.name));
    FillGroup(task, comparison, resamples.back(), group);
    scores.push_back(group.scores);
  }
  task.profile_levels = ProfileLevels(scores);
  for (size_t x = 0; x < task.groups.size(); ++x) {
    task.groups[x].profile = Profile(scores[x], task.profile_levels, resamples[x]);
    for (size_t y = 0; y < task.groups.size(); ++y) {
      if (x != y) {
        task.improvements.push_back(
            {.x = x,
             .y = y,
             .probability = ProbabilityOfImprovement({{.x = scores[x], .y = scores[y]}}, resamples[x], resamples[y])});
      }
    }
  }
  for (const PublishedMark& mark : comparison.options.published) {
    if (mark.task == task.name) {
      task.published.push_back(mark);
    }
  }
}

// Keys whose values are not the same in all groups. A run's name and seed are no differences.
std::vector<DifferingKey> Differences(const TaskReport& task, const Comparison& comparison) {
  std::set<std::string> keys;
  for (const GroupReport& group : task.groups) {
    for (const RunData* run : RunsOf(group, comparison)) {
      for (const auto& [key, unused] : run->config) {
        keys.insert(key);
      }
    }
  }
  keys.erase("seed");
  keys.erase("variant");
  std::vector<DifferingKey> differences;
  for (const std::string& key : keys) {
    DifferingKey difference{.key = key};
    for (const GroupReport& group : task.groups) {
      std::set<std::string> values;
      for (const RunData* run : RunsOf(group, comparison)) {
        const auto found = run->config.find(key);
        values.insert(found == run->config.end() ? "" : found->second);
      }
      difference.values.push_back(Joined({values.begin(), values.end()}));
    }
    const std::string& first = difference.values.front();
    if (std::any_of(difference.values.begin(), difference.values.end(),
                    [&](const std::string& value) { return value != first; })) {
      differences.push_back(std::move(difference));
    }
  }
  return differences;
}

std::optional<OverallReport> Overall(Comparison& comparison) {
  if (comparison.tasks.size() < 2) {
    return std::nullopt;
  }
  const auto& references = comparison.options.reference_returns;
  const bool normalised = std::all_of(comparison.tasks.begin(), comparison.tasks.end(),
                                      [&](const TaskReport& task) { return references.contains(task.name); });
  if (!normalised && !references.empty()) {
    comparison.warnings.emplace_back(
        "No normalised scores over all tasks: the reference returns do not name every task of the comparison.");
  }
  OverallReport overall;
  std::vector<std::vector<std::vector<double>>> scores;  // [group][task][run]
  std::vector<std::vector<double>> flat;                 // normalised
  std::vector<Resamples> resamples;
  for (const GroupReport& group : comparison.tasks.front().groups) {
    std::vector<std::vector<double>> of_tasks;
    std::vector<double> normalised_scores;
    std::vector<int64_t> runs_per_task;
    for (const TaskReport& task : comparison.tasks) {
      const auto found = std::find_if(task.groups.begin(), task.groups.end(),
                                      [&](const GroupReport& other) { return other.name == group.name; });
      if (found == task.groups.end()) {
        break;
      }
      of_tasks.push_back(found->scores);
      runs_per_task.push_back(static_cast<int64_t>(found->scores.size()));
      for (const double score : found->scores) {
        if (normalised) {
          const auto [low, high] = references.at(task.name);
          normalised_scores.push_back((score - low) / (high - low));
        }
      }
    }
    if (of_tasks.size() < comparison.tasks.size()) {
      comparison.warnings.push_back(group.name + " has no runs in some task and is left out of what is said over all.");
      continue;
    }
    resamples.emplace_back(runs_per_task, comparison.options.draws, BootstrapRng("all tasks", group.name));
    overall.groups.push_back({.name = group.name});
    if (normalised) {
      overall.groups.back().iqm = InterquartileMean(normalised_scores, resamples.back());
      overall.groups.back().mean = Mean(normalised_scores, resamples.back());
      flat.push_back(std::move(normalised_scores));
    }
    scores.push_back(std::move(of_tasks));
  }
  if (normalised) {
    overall.profile_levels = ProfileLevels(flat);
    for (size_t x = 0; x < flat.size(); ++x) {
      overall.groups[x].profile = Profile(flat[x], overall.profile_levels, resamples[x]);
    }
  }
  for (size_t x = 0; x < scores.size(); ++x) {
    for (size_t y = 0; y < scores.size(); ++y) {
      if (x != y) {
        std::vector<ScoresOfTwo> of_two;
        for (size_t task = 0; task < comparison.tasks.size(); ++task) {
          of_two.push_back({.x = scores[x][task], .y = scores[y][task]});
        }
        overall.improvements.push_back(
            {.x = x, .y = y, .probability = ProbabilityOfImprovement(of_two, resamples[x], resamples[y])});
      }
    }
  }
  // One group alone, without a scale, has nothing to be said about it.
  const bool says_something = overall.groups.size() > 1 || (normalised && !overall.groups.empty());
  return says_something ? std::optional(std::move(overall)) : std::nullopt;
}

// --- What a reader should know before believing ----------------------------------------------------------------------

// "2.11.0 (4 runs), 2.10.0 (1 run)", or "" where all runs say the same.
std::string Disagreement(const std::vector<const RunData*>& runs,
                         const std::function<std::string(const RunData&)>& what) {
  std::map<std::string, int64_t> counts;
  for (const RunData* run : runs) {
    ++counts[what(*run)];
  }
  std::vector<std::string> words;
  words.reserve(counts.size());
  for (const auto& [value, count] : counts) {
    words.push_back((value.empty() ? "nothing" : value) + " (" + std::to_string(count) +
                    (count == 1 ? " run)" : " runs)"));
  }
  return words.size() > 1 ? Joined(words) : "";
}

std::string ConfigValue(const RunData& run, const std::string& key) {
  const auto found = run.config.find(key);
  return found == run.config.end() ? "" : found->second;
}

// Whether a key says which task a run is of.
bool IsOfTask(const std::string& key) { return key.starts_with("env."); }

// Keys that at least so many runs list.
std::set<std::string> ConfigKeys(const std::vector<const RunData*>& runs, size_t least) {
  std::map<std::string, size_t> counts;
  for (const RunData* run : runs) {
    for (const auto& [key, unused] : run->config) {
      ++counts[key];
    }
  }
  std::set<std::string> keys;
  for (const auto& [key, count] : counts) {
    if (count >= least) {
      keys.insert(key);
    }
  }
  return keys;
}

// What a run says of its task. Older versions listed fewer keys, and no digests: their files, by their places, go by
// their names. A bare name is that of a model file that comes with the task.
std::string TaskValue(const RunData& run, const std::string& key, const std::vector<const RunData*>& all) {
  const std::string value = ConfigValue(run, key);
  const auto digest_of = [&key](const RunData& of) {
    const auto found = of.record.facts.files.find(key);
    return found == of.record.facts.files.end() ? "" : found->second;
  };
  const std::string digest = digest_of(run);
  const std::filesystem::path place = value;
  if (digest.empty() && !place.has_parent_path()) {
    return value.empty() ? "auto" : value;
  }
  for (const RunData* other : all) {
    const std::string theirs = ConfigValue(*other, key);
    const bool same =
        digest.empty() ? theirs.starts_with(place.filename().string() + " (") : digest == digest_of(*other);
    if (!digest_of(*other).empty() && same) {
      return theirs;
    }
  }
  return value;
}

void WarnOfTask(const TaskReport& task, Comparison& comparison) {
  std::vector<const RunData*> all;
  for (const GroupReport& group : task.groups) {
    const std::vector<const RunData*> runs = RunsOf(group, comparison);
    all.insert(all.end(), runs.begin(), runs.end());
    if (runs.size() < kFewSeeds) {
      comparison.warnings.push_back(task.name + ", " + group.name + ": " + std::to_string(runs.size()) +
                                    (runs.size() == 1 ? " seed says nothing about spread."
                                                      : " seeds are few: intervals are too narrow to be trusted."));
    }
    // A key that only some list is read with what another key says, which differs then too, or was listed unread by an
    // older version.
    for (const std::string& key : ConfigKeys(runs, runs.size())) {
      const std::string values = Disagreement(runs, [&](const RunData& run) { return ConfigValue(run, key); });
      if (key != "seed" && !RunConfig::SaysHow(key) && !IsOfTask(key) && !values.empty()) {
        comparison.warnings.push_back(task.name + ", " + group.name + ": its runs are not of one config: " + key +
                                      " is " + values + ".");
      }
    }
  }
  for (const std::string& key : ConfigKeys(all, 1)) {
    if (!IsOfTask(key)) {
      continue;
    }
    const std::string values = Disagreement(all, [&](const RunData& run) { return TaskValue(run, key, all); });
    if (!values.empty()) {
      comparison.warnings.push_back(task.name + ": runs are not of the same task: " + key + " is " + values + ".");
    }
  }
  const std::string lengths =
      Disagreement(all, [](const RunData& run) { return ShortestDouble(run.returns.x.back()); });
  if (!lengths.empty()) {
    comparison.warnings.push_back(task.name + ": runs differ in length; scores are taken at step " +
                                  ShortestDouble(task.horizon) +
                                  ", which all have reached. Last evaluated steps: " + lengths + ".");
  }
}

void WarnOfRuns(Comparison& comparison) {
  std::vector<std::string> unfinished;
  std::vector<const RunData*> all;
  std::set<std::string> libraries;
  for (const RunData& run : comparison.runs) {
    all.push_back(&run);
    if (!run.finished()) {
      unfinished.push_back(run.path.string());
    }
    for (const auto& [library, unused] : run.record.libraries) {
      libraries.insert(library);
    }
    comparison.warnings.insert(comparison.warnings.end(), run.remarks.begin(), run.remarks.end());
  }
  if (!unfinished.empty()) {
    comparison.warnings.push_back("Not finished: " + Joined(unfinished) + ".");
  }
  for (const std::string& library : libraries) {
    const std::string versions = Disagreement(all, [&](const RunData& run) {
      for (const auto& [name, version] : run.record.libraries) {
        if (name == library) {
          return version;
        }
      }
      return std::string();
    });
    if (!versions.empty()) {
      comparison.warnings.push_back("Runs used different versions of " + library + ": " + versions + ".");
    }
  }
  const std::string revisions =
      Disagreement(all, [](const RunData& run) { return run.record.version + " at " + run.record.git_revision; });
  if (!revisions.empty()) {
    comparison.warnings.push_back("Runs used different versions of Reverie: " + revisions + ".");
  }
}

// "mbpo on Hopper-v5".
std::string GroupOnTask(const RunData& run) { return run.group() + " on " + run.task(); }

// The folder that a run stands in.
std::filesystem::path FolderAround(const RunData& run) {
  const std::filesystem::path path = run.path.lexically_normal();
  return (path.has_filename() ? path : path.parent_path()).parent_path();
}

// The same without the folders of its variant and task, as sweeps and train name them: what a group's runs on several
// tasks have in common. A sweep keeps the config of every TASK/VARIANT, whatever became of its variants' names.
std::filesystem::path FolderOfAllTasks(const RunData& run) {
  const std::string task = NameInPaths(run.task());
  std::filesystem::path folder = FolderAround(run);
  const std::filesystem::path sweep = folder.parent_path().parent_path();
  std::error_code error;
  if (std::filesystem::exists(
          sweep / "configs" / folder.parent_path().filename() / (folder.filename().string() + ".yaml"), error)) {
    return sweep;
  }
  for (const std::string& name : {run.group(), run.record.facts.algorithm + "-" + task, task}) {
    if (folder.filename() == name) {
      folder = folder.parent_path();
    }
  }
  return folder;
}

// Runs of one name that were made apart, as a sweep's and those of another place, are groups of their own where a seed
// is in both: a seed counts once. They are so on every task, for what is said over all.
void DivideByFolders(Comparison& comparison) {
  const auto clashes = [&](const auto& folder_of) {
    std::set<std::string> seen, clashing;
    for (const RunData& run : comparison.runs) {
      const std::string where = GroupOnTask(run) + "\n" + folder_of(run).string();
      if (!seen.insert(where + "\n" + std::to_string(run.record.facts.seed)).second) {
        clashing.insert(run.group());
      }
    }
    return clashing;
  };
  const std::set<std::string> divided = clashes([](const RunData&) { return std::filesystem::path(); });
  const std::set<std::string> divided_further = clashes(FolderOfAllTasks);
  std::map<std::string, std::set<std::string>> folders;
  for (RunData& run : comparison.runs) {
    const std::string name = run.group();
    if (divided.contains(name)) {
      const std::filesystem::path folder = divided_further.contains(name) ? FolderAround(run) : FolderOfAllTasks(run);
      run.group_folder = folder.empty() ? "." : folder.string();
      folders[name].insert(run.group_folder);
    }
  }
  for (const auto& [name, places] : folders) {
    comparison.warnings.push_back(name + ": a seed counts once, and some are there more than once; its runs are " +
                                  "compared as groups by their folders: " + Joined({places.begin(), places.end()}) +
                                  ".");
  }
}

void Check(const CompareOptions& options) {
  if (!(options.window > 0 && options.window <= 1)) {
    throw std::invalid_argument("window: expected above 0 and at most 1, got " + ShortestDouble(options.window));
  }
  if (options.draws < 1) {
    throw std::invalid_argument("draws: expected at least 1, got " + std::to_string(options.draws));
  }
}

}  // namespace

Comparison Compare(std::vector<RunData> runs, CompareOptions options, std::vector<DamagedRun> damaged) {
  Check(options);
  Comparison comparison{.options = std::move(options), .damaged = std::move(damaged)};
  for (const DamagedRun& run : comparison.damaged) {
    comparison.warnings.push_back(run.path.string() + " cannot be read and is left out: " + run.reason + ".");
  }
  for (RunData& run : runs) {
    if (comparison.options.finished_only && !run.finished()) {
      comparison.warnings.push_back(run.path.string() + " has not finished and is left out.");
    } else if (run.returns.x.empty()) {
      comparison.warnings.push_back(run.path.string() + " has no evaluation yet and is left out.");
    } else {
      comparison.runs.push_back(std::move(run));
    }
  }
  if (comparison.runs.empty()) {
    throw std::invalid_argument("there is nothing to compare: " +
                                (comparison.warnings.empty() ? "no run was given" : Joined(comparison.warnings)));
  }
  DivideByFolders(comparison);
  for (size_t i = 0; i < comparison.runs.size(); ++i) {
    const RunData& run = comparison.runs[i];
    TaskReport& task = comparison.tasks[PlaceOf(run.task(), comparison.tasks)];
    GroupReport& group = task.groups[PlaceOf(run.group(), task.groups)];
    for (const size_t other : group.runs) {
      if (comparison.runs[other].record.facts.seed == run.record.facts.seed) {
        throw std::invalid_argument(
            comparison.runs[other].path.string() + " and " + run.path.string() + " are the same seed, " +
            std::to_string(run.record.facts.seed) + ", of " + GroupOnTask(run) +
            ", which counts once; leave one of them out, move it into a folder of its own, or " +
            "give it another `variant` in its config.yaml");
      }
    }
    task.horizon = group.runs.empty() && task.groups.size() == 1 ? run.returns.x.back()
                                                                 : std::min(task.horizon, run.returns.x.back());
    group.runs.push_back(i);
  }
  std::vector<std::string> tasks;
  for (const TaskReport& task : comparison.tasks) {
    tasks.push_back(task.name);
  }
  for (const auto& [task, reach] : comparison.options.reach) {
    if (!task.empty() && std::find(tasks.begin(), tasks.end(), task) == tasks.end()) {
      const std::string nearest = NearestName(task, tasks);
      comparison.warnings.push_back("A return to reach was given for " + task + ", of which there is no run" +
                                    (nearest.empty() ? "." : "; did you mean " + nearest + "?"));
    }
  }
  for (TaskReport& task : comparison.tasks) {
    FillTask(comparison, task);
    task.differences = Differences(task, comparison);
    WarnOfTask(task, comparison);
  }
  comparison.overall = Overall(comparison);
  WarnOfRuns(comparison);
  return comparison;
}

}  // namespace reverie
