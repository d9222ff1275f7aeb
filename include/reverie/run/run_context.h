// What an algorithm's Train talks to: evaluation, logs, checkpoints and the wish to stop, each when it is due.
//
// Files, in the run directory:
//   eval.csv   env_step,wall_s,return_mean,return_std,return_min,return_max,length_mean,episodes
//              rows at step 0, every eval.every_steps env steps, and where the run is complete (never two of a step);
//              wall_s is training time without evaluation, over all processes of the run
//   train.csv  env_step,updates,episode/count,episode/return,episode/length, what was logged, time/*, memory/*, rate/*
//              rows every log.every_steps env steps and where the run is complete
//   events.out.tfevents.*   the same for TensorBoard, eval.csv's columns as eval/*
// Two equal runs on one machine differ there only in wall_s and in columns named time/, memory/ or rate/.
#ifndef REVERIE_RUN_RUN_CONTEXT_H_
#define REVERIE_RUN_RUN_CONTEXT_H_

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "reverie/core/metrics.h"
#include "reverie/core/state.h"
#include "reverie/core/timer.h"
#include "reverie/rollout/collector.h"
#include "reverie/run/checkpoint_folder.h"
#include "reverie/run/csv_log.h"
#include "reverie/run/evaluator.h"
#include "reverie/run/progress.h"
#include "reverie/run/run_config.h"
#include "reverie/run/run_directory.h"
#include "reverie/run/signals.h"
#include "reverie/run/tensorboard.h"

namespace reverie {

// What the context asks of the algorithm that it serves.
struct RunHooks {
  std::function<std::optional<EvalResult>(int64_t env_steps)> evaluate;  // nothing where a signal stopped it
  std::function<void(StateVisitor&)> visit_state;
  std::function<void()> export_policy;  // writes policy.pt, and policy.json where the policy has one; may throw
};

class RunContext {
 public:
  // Borrows the directory, which must outlive this. Notes signals from here on (StopSignals).
  RunContext(const RunConfig& config, RunDirectory& directory, RunHooks hooks);

  // Before Train. Fresh: new logs, and an evaluation at step 0. Resumed: loads the newest good checkpoint and cuts the
  // logs back to it. Throws std::runtime_error where there is none or it does not fit.
  void Begin(bool resume);

  // For Train: numbers for the next row of train.csv, as "<prefix>/<name>"; of a name logged twice the last one.
  void Log(std::string_view prefix, const Metrics& metrics) { pending_.Merge(prefix, metrics); }
  // For Train: an episode of data collection that ended, if one did. episode/* are means since the last row.
  void NoteEpisode(const std::optional<EpisodeStats>& episode);
  // For Train, after every env step: evaluates, logs and saves what is due. `learner_metrics` is called only for a row,
  // which gets its numbers as "<prefix>/<name>". Throws std::runtime_error naming the file where one cannot be written;
  // a policy that cannot be exported is said in the log.
  void Tick(int64_t env_steps, int64_t updates, std::string_view prefix,
            const std::function<Metrics()>& learner_metrics);
  // For Train, before it returns in the middle of what follows an env step: End saves its state even where the step
  // before it is saved.
  void NoteUnfinishedStep() { saved_env_steps_ = -1; }
  // For Train: a signal asked to stop.
  bool stopping() const { return StopSignals::Received() != 0; }
  // For Train: the same amid work of many pieces, of which `count` are done or left; it is said in the log what goes on
  // where it takes long (ProgressLine::Attend).
  bool StopsAmid(std::string_view work, int64_t count, std::string_view pieces) {
    progress_->Attend(work, count, pieces);
    return stopping();
  }
  // For Train: the `stop` of a model's fit, which asks after every minibatch.
  std::function<bool()> StopOfFit() {
    return [this, minibatches = int64_t{0}]() mutable {
      return StopsAmid("fitting the model", ++minibatches, "minibatches");
    };
  }
  // For Train: does the work and returns what it returns; its time is counted for that phase (PhaseTimer).
  template <class Work>
  auto Timed(std::string_view phase, const Work& work) {
    const auto timing = timer_.Measure(phase);
    return work();
  }

  // After Train: checkpoint, status and export. Returns the signal that stopped it, or 0 where the run is complete.
  int End();
  // After anything above threw: what was logged as a last row, the state as a file that no run goes on from, and what
  // happened after which step in run.json and the log. What cannot be written is said in the log. A run whose state
  // could not be loaded stays as it was.
  void Fail(const std::string& what_happened) noexcept;

 private:
  void Evaluate();
  void WriteTrainRow(std::string_view prefix, const Metrics& learner_metrics);
  void Save();
  void Export();
  StateTree State();
  void VisitState(StateVisitor& state);
  double TrainingSeconds() const { return wall_s_before_ + watch_.Seconds() - paused_s_; }

  RunConfig config_;
  RunDirectory& directory_;
  RunHooks hooks_;
  torch::Device device_;
  CheckpointFolder checkpoints_;
  StopSignals signals_;
  std::optional<CsvLog> train_csv_, eval_csv_;
  std::optional<TensorBoardWriter> tensorboard_;
  std::optional<ProgressLine> progress_;  // there once Begin came to its end, or nearly
  bool untouched_ = false;                // a run that is there, whose state is not loaded yet
  PhaseTimer timer_;
  Metrics pending_;
  int64_t env_steps_ = 0, updates_ = 0;
  int64_t logged_env_steps_ = 0, logged_updates_ = 0;
  double logged_s_ = 0;
  int64_t saved_env_steps_ = -1;
  bool evaluation_owed_ = false;  // it was due and a signal stopped it
  double return_sum_ = 0;
  int64_t length_sum_ = 0, episodes_ = 0;  // since the last row
  Stopwatch watch_;
  double wall_s_before_ = 0;  // training time before this process
  double paused_s_ = 0;       // evaluation in this process
};

}  // namespace reverie

#endif  // REVERIE_RUN_RUN_CONTEXT_H_
