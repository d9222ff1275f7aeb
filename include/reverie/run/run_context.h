// What an algorithm's Train talks to: evaluation, logs, checkpoints and the wish to stop, each when it is due.
#ifndef REVERIE_RUN_RUN_CONTEXT_H_
#define REVERIE_RUN_RUN_CONTEXT_H_

#include <functional>
#include <optional>
#include <string>

#include "reverie/core/metrics.h"
#include "reverie/core/state.h"
#include "reverie/core/timer.h"
#include "reverie/rollout/collector.h"
#include "reverie/run/csv_log.h"
#include "reverie/run/evaluator.h"
#include "reverie/run/run_config.h"
#include "reverie/run/run_directory.h"
#include "reverie/run/signals.h"

namespace reverie {

// What the context asks of the algorithm that it serves.
struct RunHooks {
  std::function<EvalResult(int64_t env_steps)> evaluate;
  std::function<void(StateVisitor&)> visit_state;
  std::function<void()> export_policy;  // writes policy.pt and policy.json
};

class RunContext {
 public:
  // Borrows the directory, which must outlive this.
  RunContext(const RunConfig& config, const RunDirectory& directory, RunHooks hooks);

  // Before Train. Fresh: new logs, and an evaluation at step 0. Resumed: loads the newest checkpoint and cuts the logs
  // back to it. Throws std::runtime_error where there is none or it does not fit.
  void Begin(bool resume);

  // For Train: numbers for the next row of train.csv, as "<prefix>/<name>".
  void Log(std::string_view prefix, const Metrics& metrics) { pending_.Merge(prefix, metrics); }
  // For Train: an episode of data collection that ended, if one did.
  void NoteEpisode(const std::optional<EpisodeStats>& episode);
  // For Train, after every env step: evaluates, logs and saves what is due. `learner_metrics` is called only then.
  void Tick(int64_t env_steps, int64_t updates, const std::function<Metrics()>& learner_metrics);
  // For Train: a signal asked to stop.
  bool stopping() const { return StopSignals::Received() != 0; }
  PhaseTimer& timer() { return timer_; }

  // After Train: a last evaluation (where the run is complete), checkpoint, export and status. Returns the signal that
  // stopped it, or 0.
  int End();
  // After Train threw: saves the state and writes the reason.
  void Fail(const std::string& reason);

 private:
  void Evaluate();
  void WriteTrainRow(const std::function<Metrics()>& learner_metrics);
  void Save();
  void VisitState(StateVisitor& state);
  void ShowProgress();
  double TrainingSeconds() const { return wall_s_before_ + watch_.Seconds() - paused_s_; }

  RunConfig config_;
  const RunDirectory& directory_;
  RunHooks hooks_;
  StopSignals signals_;
  std::optional<CsvLog> train_csv_, eval_csv_;
  PhaseTimer timer_;
  Metrics pending_;
  int64_t env_steps_ = 0, updates_ = 0;
  int64_t begin_env_steps_ = 0;  // where this process began
  int64_t logged_env_steps_ = 0, logged_updates_ = 0;
  double logged_s_ = 0;
  int64_t saved_env_steps_ = -1;
  double return_sum_ = 0;
  int64_t length_sum_ = 0, episodes_ = 0;  // since the last row
  double last_return_ = 0;
  Stopwatch watch_;
  double wall_s_before_ = 0;  // training time before this process
  double paused_s_ = 0;       // evaluation in this process
  double shown_s_ = -1;
  bool terminal_;
};

}  // namespace reverie

#endif  // REVERIE_RUN_RUN_CONTEXT_H_
