#include "reverie/report/statistics.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>

namespace reverie {
namespace {

constexpr double kTail = 0.025;

// The value below which a share of the sorted ones lies, between neighbours by a straight line.
double Percentile(const std::vector<double>& sorted, double share) {
  const double place = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (place - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

// The percentiles of `resampled`, one value a resample.
Estimate WithInterval(double value, std::vector<double> resampled) {
  std::sort(resampled.begin(), resampled.end());
  return {.value = value, .low = Percentile(resampled, kTail), .high = Percentile(resampled, 1 - kTail)};
}

std::vector<int32_t> Once(const Resamples& resamples) {
  return std::vector<int32_t>(static_cast<size_t>(resamples.runs()), 1);
}

// `statistic(counts)` of the runs as they are and, for the interval, of every resample.
template <class Statistic>
Estimate Bootstrap(const Statistic& statistic, const Resamples& resamples) {
  const double value = statistic(std::span<const int32_t>(Once(resamples)));
  if (!resamples.spread()) {
    return {.value = value};
  }
  std::vector<double> resampled;
  resampled.reserve(static_cast<size_t>(resamples.draws()));
  for (int64_t draw = 0; draw < resamples.draws(); ++draw) {
    resampled.push_back(statistic(resamples.Counts(draw)));
  }
  return WithInterval(value, std::move(resampled));
}

}  // namespace

Resamples::Resamples(const std::vector<int64_t>& runs_per_task, int64_t draws, const Rng& rng) : draws_(draws) {
  for (const int64_t runs : runs_per_task) {
    if (runs < 1) {
      throw std::logic_error("a task without a run was to be resampled");
    }
    spread_ = spread_ && runs > 1;
    runs_ += runs;
  }
  if (draws < 1) {
    throw std::logic_error("a bootstrap of " + std::to_string(draws) + " draws was asked for");
  }
  counts_.assign(static_cast<size_t>(draws * runs_), 0);
  RandomEngine engine = rng.Engine();
  for (int64_t draw = 0; draw < draws; ++draw) {
    int32_t* counts = counts_.data() + draw * runs_;
    for (const int64_t runs : runs_per_task) {
      std::uniform_int_distribution<int64_t> run(0, runs - 1);
      for (int64_t i = 0; i < runs; ++i) {
        ++counts[run(engine)];
      }
      counts += runs;
    }
  }
}

Estimate InterquartileMean(std::span<const double> scores, const Resamples& resamples) {
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return scores[a] < scores[b]; });
  const auto n = static_cast<int32_t>(scores.size());
  const int32_t begin = n / 4;
  const int32_t end = n - begin;
  return Bootstrap(
      [&](std::span<const int32_t> counts) {
        double sum = 0;
        int32_t place = 0;  // of the run's first copy among the sorted ones
        for (const size_t run : order) {
          const int32_t inside = std::min(place + counts[run], end) - std::max(place, begin);
          if (inside > 0) {
            sum += inside * scores[run];
          }
          place += counts[run];
        }
        return sum / (end - begin);
      },
      resamples);
}

Estimate Mean(std::span<const double> scores, const Resamples& resamples) {
  return Bootstrap(
      [&](std::span<const int32_t> counts) {
        return std::inner_product(scores.begin(), scores.end(), counts.begin(), 0.0) /
               static_cast<double>(scores.size());
      },
      resamples);
}

Estimate ShareAbove(std::span<const double> scores, double level, const Resamples& resamples) {
  return Bootstrap(
      [&](std::span<const int32_t> counts) {
        int32_t above = 0;
        for (size_t run = 0; run < scores.size(); ++run) {
          above += scores[run] > level ? counts[run] : 0;
        }
        return above / static_cast<double>(scores.size());
      },
      resamples);
}

Estimate ProbabilityOfImprovement(const std::vector<ScoresOfTwo>& tasks, const Resamples& x, const Resamples& y) {
  const auto probability = [&](std::span<const int32_t> x_counts, std::span<const int32_t> y_counts) {
    double sum = 0;
    for (const ScoresOfTwo& task : tasks) {
      double wins = 0;
      for (size_t i = 0; i < task.x.size(); ++i) {
        for (size_t j = 0; x_counts[i] > 0 && j < task.y.size(); ++j) {
          const double win = task.x[i] > task.y[j] ? 1 : task.x[i] == task.y[j] ? 0.5 : 0;
          wins += win * x_counts[i] * y_counts[j];
        }
      }
      sum += wins / static_cast<double>(task.x.size() * task.y.size());
      x_counts = x_counts.subspan(task.x.size());
      y_counts = y_counts.subspan(task.y.size());
    }
    return sum / static_cast<double>(tasks.size());
  };
  const double value = probability(Once(x), Once(y));
  if (!x.spread() || !y.spread()) {
    return {.value = value};
  }
  std::vector<double> resampled;
  for (int64_t draw = 0; draw < std::min(x.draws(), y.draws()); ++draw) {
    resampled.push_back(probability(x.Counts(draw), y.Counts(draw)));
  }
  return WithInterval(value, std::move(resampled));
}

double Median(std::vector<double> scores) {
  if (scores.empty()) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  std::sort(scores.begin(), scores.end());
  const size_t middle = scores.size() / 2;
  if (scores.size() % 2 == 1 || scores[middle - 1] == scores[middle]) {
    return scores[middle];
  }
  return 0.5 * (scores[middle - 1] + scores[middle]);
}

}  // namespace reverie
