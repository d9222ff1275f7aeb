#include "reverie/algorithms/lessons.h"

#include <algorithm>

#include "reverie/core/text.h"

namespace reverie {

void LessonsConfig::Visit(Fields& fields) {
  fields("episodes", episodes, "episodes of an iteration", AtLeast(1));
  fields("episode_steps", episode_steps, "steps after which one is cut off in training; auto: as in evaluation",
         AtLeast(1));
}

std::unique_ptr<Env> LessonsConfig::Limited(std::unique_ptr<Env> env) const {
  if (episode_steps) {
    const int64_t own = env->time_limit();
    env->SetTimeLimit(own > 0 ? std::min(own, *episode_steps) : *episode_steps);
  }
  return env;
}

std::string LessonsConfig::Misfit(const EnvMaker& maker, int64_t total_steps) const {
  const int64_t limit = Limited(maker.make())->time_limit();
  return limit == 0 || episodes <= total_steps / limit
             ? ""
             : Text("an iteration takes ", episodes, " episodes of up to ", limit,
                    " env steps before its fit, and total_steps is ", total_steps);
}

bool Lessons::EndedBy(const std::optional<EpisodeStats>& episode, const TransitionBatch& last) {
  if (!episode) {
    return false;
  }
  ++episodes_;
  crashes_ += last.terminated()[0].item<float>() > 0 ? 1 : 0;
  if (episodes_ < config_.episodes) {
    return false;
  }
  episodes_ = 0;
  ++iteration_;
  return true;
}

Metrics Lessons::Report() const {
  Metrics metrics;
  metrics.Set("iteration", static_cast<double>(iteration_));
  metrics.Set("crashes", static_cast<double>(crashes_));
  return metrics;
}

void Lessons::VisitState(StateVisitor& state) {
  state("iteration", iteration_);
  state("episodes", episodes_);
  state("crashes", crashes_);
}

}  // namespace reverie
