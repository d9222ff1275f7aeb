#include "reverie/run/threads.h"

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "reverie/core/log.h"
#include "reverie/core/text.h"
#include "reverie/core/timer.h"
#include "reverie/core/worker_threads.h"
#include "reverie/run/device.h"

namespace reverie {
namespace {

constexpr int kRounds = 7;
constexpr double kSeconds = 1;      // of all rounds together
constexpr double kMostSeconds = 5;  // after which no further round begins, where a piece takes long
constexpr int kLeastRounds = 3;
constexpr double kStartSeconds = 0.25;  // beside which the start of threads is nothing
constexpr double kGain = 1.03;          // more threads have to be that much faster
// What takes that many times the least time in each of so many rounds is not tried again.
constexpr double kHopeless = 2;
constexpr size_t kRoundsBeforeGivingUp = 3;

struct Candidate {
  int64_t threads;
  std::vector<double> seconds;  // a piece, by round
  std::vector<double> of_one;   // the same, of what it took on one thread in that round
};

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

double Relative(const Candidate& one) { return Median(one.of_one); }

bool IsFaster(const Candidate& one, const Candidate& other) { return Relative(one) < Relative(other); }

}  // namespace

int64_t StartableThreads(int64_t most) {
  std::string why_not;
  int64_t threads = most;
  for (; threads > 1; threads /= 2) {
    try {
      const WorkerThreads probe(threads);
      break;
    } catch (const std::runtime_error& error) {
      why_not = why_not.empty() ? error.what() : why_not;
    }
  }
  if (!why_not.empty()) {
    LogWarning(why_not);
  }
  return std::max<int64_t>(threads, 1);
}

ThreadChoice ChooseThreads(int64_t cores, const std::function<double(int64_t, double)>& seconds_of) {
  if (cores <= 1) {
    return {.threads = 1, .reason = "threads auto: 1, as this process may use one core"};
  }
  std::vector<Candidate> candidates;
  for (int64_t threads = 1; threads < cores; threads *= 2) {
    candidates.push_back({.threads = threads, .seconds = {}, .of_one = {}});
  }
  candidates.push_back({.threads = cores, .seconds = {}, .of_one = {}});
  for (const Candidate& one : candidates) {
    seconds_of(one.threads, 0);  // the memory that a first piece takes is left out
  }
  const double slice = kSeconds / (kRounds * static_cast<double>(candidates.size()));
  std::vector<Candidate> given_up;
  double spent = 0;
  for (int round = 0; round < kRounds && (round < kLeastRounds || spent < kMostSeconds); ++round) {
    for (Candidate& one : candidates) {
      one.seconds.push_back(seconds_of(one.threads, slice));
      spent += one.seconds.back() + std::max(slice, one.seconds.back());  // a piece first, which is not counted
      one.of_one.push_back(one.seconds.back() / candidates.front().seconds.back());
    }
    const double least = Relative(*std::min_element(candidates.begin(), candidates.end(), IsFaster));
    std::erase_if(candidates, [&](const Candidate& one) {
      const bool hopeless = one.threads > 1 && one.of_one.size() >= kRoundsBeforeGivingUp &&
                            *std::min_element(one.of_one.begin(), one.of_one.end()) > kHopeless * least;
      if (hopeless) {
        given_up.push_back(one);
      }
      return hopeless;
    });
  }
  const double least = Relative(*std::min_element(candidates.begin(), candidates.end(), IsFaster));
  const auto chosen = std::find_if(candidates.begin(), candidates.end(),
                                   [&](const Candidate& one) { return Relative(one) <= kGain * least; });

  ThreadChoice choice{.threads = chosen->threads,
                      .reason = "threads auto: took " + std::to_string(chosen->threads) + " of " +
                                std::to_string(cores) + ", as a piece of the work takes"};
  candidates.insert(candidates.end(), given_up.begin(), given_up.end());
  std::sort(candidates.begin(), candidates.end(),
            [](const Candidate& one, const Candidate& other) { return one.threads < other.threads; });
  for (const Candidate& one : candidates) {
    choice.reason += (one.threads == 1 ? " " : ", ") + FixedText(1e3 * Median(one.seconds), 2) + " ms on " +
                     std::to_string(one.threads);
  }
  return choice;
}

ThreadChoice ChooseThreads(int64_t cores, const std::function<void()>& work) {
  return ChooseThreads(cores, [&work](int64_t threads, double seconds) {
    UseThreads(threads);
    // OpenMP ends threads where fewer are asked for and starts them anew where more are.
    const Stopwatch first;
    work();
    if (first.Seconds() > kStartSeconds) {
      return first.Seconds();
    }
    const Stopwatch watch;
    int64_t pieces = 0;
    do {
      work();
      ++pieces;
    } while (watch.Seconds() < seconds);
    return watch.Seconds() / static_cast<double>(pieces);
  });
}

}  // namespace reverie
