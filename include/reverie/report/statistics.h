// Statistics of few runs, as Agarwal et al. 2021 ("Deep RL at the Edge of the Statistical Precipice") ask for them:
// point values with intervals from a stratified bootstrap.
//
// Scores are float64, one a run, those of one task after those of another. Intervals are the 2.5 and 97.5 percentiles
// over resamples (section 3). Point values equal those of the Python package rliable.
#ifndef REVERIE_REPORT_STATISTICS_H_
#define REVERIE_REPORT_STATISTICS_H_

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "reverie/core/rng.h"

namespace reverie {

// A value with the bounds of its 95 % interval; the bounds are NaN where fewer than two runs stand behind it.
struct Estimate {
  double value = std::numeric_limits<double>::quiet_NaN();
  double low = std::numeric_limits<double>::quiet_NaN();
  double high = std::numeric_limits<double>::quiet_NaN();
};

// Runs drawn anew with replacement, as many of each task as it has. One set serves every statistic of the same runs.
class Resamples {
 public:
  // Throws std::logic_error where a task has no run, or `draws` is below 1.
  Resamples(const std::vector<int64_t>& runs_per_task, int64_t draws, const Rng& rng);

  int64_t draws() const { return draws_; }
  int64_t runs() const { return runs_; }
  // False where a task has only one run: its resamples say nothing.
  bool spread() const { return spread_; }

  // How often each run occurs in a resample, [runs].
  std::span<const int32_t> Counts(int64_t draw) const {
    return {counts_.data() + draw * runs_, static_cast<size_t>(runs_)};
  }

 private:
  int64_t draws_;
  int64_t runs_ = 0;
  bool spread_ = true;
  std::vector<int32_t> counts_;  // [draws, runs]
};

// The mean of the middle half: floor(n / 4) scores are left out at each end. Over all runs of all tasks at once.
Estimate InterquartileMean(std::span<const double> scores, const Resamples& resamples);

Estimate Mean(std::span<const double> scores, const Resamples& resamples);

// The performance profile at `level`: the share of runs whose score is above it (section 4.2).
Estimate ShareAbove(std::span<const double> scores, double level, const Resamples& resamples);

// One task's scores of two algorithms.
struct ScoresOfTwo {
  std::vector<double> x, y;
};

// P(X > Y): the chance that a run of X scores more than one of Y, a tie counting half; the mean over tasks (section
// 4.3). X and Y are resampled independently, `x` and `y` over the same tasks in the same order.
Estimate ProbabilityOfImprovement(const std::vector<ScoresOfTwo>& tasks, const Resamples& x, const Resamples& y);

// The middle of the scores, the mean of the two middle ones of an even number; they may be infinite. NaN for none.
double Median(std::vector<double> scores);

}  // namespace reverie

#endif  // REVERIE_REPORT_STATISTICS_H_
