// The iterations of algorithms that teach: some episodes, then a fit.
#ifndef REVERIE_ALGORITHMS_LESSONS_H_
#define REVERIE_ALGORITHMS_LESSONS_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "reverie/config/fields.h"
#include "reverie/core/metrics.h"
#include "reverie/core/state.h"
#include "reverie/env/registry.h"
#include "reverie/rollout/collector.h"

namespace reverie {

struct LessonsConfig {
  int64_t episodes = 1;                  // of an iteration
  std::optional<int64_t> episode_steps;  // in training; nothing: the task's own limit

  void Visit(Fields& fields);
  // Why total_steps are less than an iteration of whole episodes, or "".
  std::string Misfit(const EnvMaker& maker, int64_t total_steps) const;
  // Has training's episodes end by then.
  std::unique_ptr<Env> Limited(std::unique_ptr<Env> env) const;
};

class Lessons {
 public:
  explicit Lessons(const LessonsConfig& config) : config_(config) {}

  int64_t iteration() const { return iteration_; }  // from 0

  // After an env step. True where it was the last of an iteration, which begins the next.
  bool EndedBy(const std::optional<EpisodeStats>& episode, const TransitionBatch& last);
  // iteration, and crashes: the training episodes so far that the task ended.
  Metrics Report() const;

  void VisitState(StateVisitor& state);

 private:
  LessonsConfig config_;
  int64_t iteration_ = 0;
  int64_t episodes_ = 0;  // of the present iteration
  int64_t crashes_ = 0;   // of all
};

}  // namespace reverie

#endif  // REVERIE_ALGORITHMS_LESSONS_H_
