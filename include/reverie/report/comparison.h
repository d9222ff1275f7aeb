// Runs side by side: by task, and within a task by group (a variant, or an algorithm).
//
// Each task has one horizon at which its runs are compared: the last evaluated step that all of them have reached. The
// score of a run is the mean of its evaluations in the last part of that span, never its best. Intervals are 95 %
// bootstrap intervals over runs (statistics.h); evaluation episodes are not resampled.
#ifndef REVERIE_REPORT_COMPARISON_H_
#define REVERIE_REPORT_COMPARISON_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "reverie/report/references.h"
#include "reverie/report/run_data.h"
#include "reverie/report/statistics.h"

namespace reverie {

struct CompareOptions {
  double window = 0.1;                  // part of the steps up to the horizon whose evaluations make the score
  std::vector<double> at_steps;         // steps that returns are also given at
  std::map<std::string, double> reach;  // by task, or "" for every task: after how many steps and hours this return?
  bool finished_only = false;           // leave out runs that have not come to their end
  int64_t draws = 2000;                 // of the bootstrap
  ReferenceReturns reference_returns;
  std::vector<PublishedMark> published;
};

// An interquartile mean along the runs, at no more than 100 places.
struct Curve {
  std::vector<double> x;
  std::vector<Estimate> y;
};

// How soon the runs evaluate at a return or above. A run that never does counts as infinitely late.
struct Reached {
  double reach = 0;
  int64_t runs = 0;
  double median_steps = 0;
  double median_hours = 0;  // of training, evaluation left out
};

struct GroupReport {
  std::string name;
  std::vector<size_t> runs;    // places in Comparison::runs
  std::vector<double> scores;  // one a run
  Estimate iqm, mean;          // of the scores
  Estimate area;               // IQM of the runs' mean heights: area under the curve, divided by its length
  std::vector<Estimate> at_steps;
  std::optional<Reached> reached;
  Curve by_steps, by_hours;               // evaluation return
  std::map<std::string, Curve> training;  // columns of train.csv
  std::vector<Estimate> profile;          // at TaskReport::profile_levels
};

// How likely a run of group `x` is to score more than one of group `y`.
struct Improvement {
  size_t x = 0, y = 0;
  Estimate probability;
};

struct DifferingKey {
  std::string key;
  std::vector<std::string> values;  // one a group; several where its runs differ
};

struct TaskReport {
  std::string name;
  double horizon = 0;       // env steps
  double window_begin = 0;  // evaluations after this step and up to the horizon make the score
  std::vector<GroupReport> groups;
  std::vector<double> profile_levels;  // returns
  std::vector<Improvement> improvements;
  std::vector<DifferingKey> differences;
  std::vector<PublishedMark> published;
};

// Over all tasks, of the groups that have runs in each.
struct OverallReport {
  struct Group {
    std::string name;
    std::optional<Estimate> iqm, mean;  // normalised by the reference returns, if they are given for every task
    std::vector<Estimate> profile;
  };
  std::vector<Group> groups;
  std::vector<double> profile_levels;  // normalised scores
  std::vector<Improvement> improvements;
};

struct Comparison {
  CompareOptions options;
  std::vector<RunData> runs;
  std::vector<DamagedRun> damaged;  // left out
  std::vector<TaskReport> tasks;
  std::optional<OverallReport> overall;  // if there are several tasks, and a group with runs in each
  std::vector<std::string> warnings;     // whole sentences
};

// Tasks and groups stand in the order in which the runs name them. Runs without an evaluation are left out, which the
// warnings say, as they do of the damaged ones. Throws std::invalid_argument if no run is left, two runs of a group
// have the same seed, or an option is out of its range. Cost: 200 runs of 1,000 evaluations in some seconds.
Comparison Compare(std::vector<RunData> runs, CompareOptions options, std::vector<DamagedRun> damaged = {});

}  // namespace reverie

#endif  // REVERIE_REPORT_COMPARISON_H_
