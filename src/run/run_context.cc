#include "reverie/run/run_context.h"

#include <array>
#include <cstdio>
#include <stdexcept>
#include <utility>

#include "reverie/core/log.h"
#include "reverie/core/memory.h"
#include "reverie/core/self.h"
#include "reverie/core/shell.h"
#include "reverie/run/device.h"

namespace reverie {
namespace {

const std::vector<std::string> kEvalColumns{"wall_s",     "return_mean", "return_std", "return_min",
                                            "return_max", "length_mean", "episodes"};
const std::vector<std::string> kTrainColumns{"updates", "episode/count", "episode/return", "episode/length"};

// Whether a multiple of `every` lies in (before, now].
bool Due(int64_t every, int64_t before, int64_t now) { return now / every > before / every; }

}  // namespace

RunContext::RunContext(const RunConfig& config, RunDirectory& directory, RunHooks hooks)
    : config_(config),
      directory_(directory),
      hooks_(std::move(hooks)),
      device_(directory.record().facts.device),
      checkpoints_(directory.checkpoint_path(), config.checkpoint.keep) {}

void RunContext::Begin(bool resume) {
  untouched_ = resume;
  const std::filesystem::path& path = directory_.path();
  if (resume) {
    Checkpoint checkpoint = checkpoints_.Resume();
    StateVisitor::Loading(checkpoint.state)("env_steps", env_steps_);
    NewStreams new_streams{.rng = Rng(static_cast<uint64_t>(config_.seed))
                                      .Split("resumed on another kind of device")
                                      .Split(static_cast<uint64_t>(env_steps_))};
    StateVisitor visitor = StateVisitor::Loading(checkpoint.state, &new_streams);
    VisitState(visitor);
    untouched_ = false;
    train_csv_ = CsvLog::Resume(path / "train.csv", env_steps_);
    eval_csv_ = CsvLog::Resume(path / "eval.csv", evaluation_owed_ ? env_steps_ - 1 : env_steps_);
    tensorboard_.emplace(path, env_steps_ + 1);
    directory_.GoOn();
    LogInfo("going on from " + checkpoint.path.string() + ", env step " + std::to_string(env_steps_));
    if (new_streams.begun > 0) {
      LogWarning(
          "the checkpoint was written on another kind of device than " + device_.str() + ": " +
          std::to_string(new_streams.begun) +
          " random streams begin anew from the seed and the step, so that the run is no longer, bit for bit, the "
          "one that would have gone on there");
    }
  } else {
    train_csv_ = CsvLog::Create(path / "train.csv", kTrainColumns);
    eval_csv_ = CsvLog::Create(path / "eval.csv", kEvalColumns);
    tensorboard_.emplace(path);
  }
  saved_env_steps_ = resume ? env_steps_ : -1;
  progress_.emplace(config_.total_steps, config_.explores ? config_.exploration_steps : 0, StandardProgressOutput());
  if (resume) {
    progress_->Update(env_steps_, updates_);
  }
  watch_.Restart();
  if (!resume || evaluation_owed_) {
    Evaluate();
    saved_env_steps_ = -1;
  }
}

void RunContext::NoteEpisode(const std::optional<EpisodeStats>& episode) {
  if (episode) {
    return_sum_ += episode->episode_return;
    length_sum_ += episode->length;
    ++episodes_;
    progress_->SetReturn(return_sum_ / static_cast<double>(episodes_));
  }
}

void RunContext::Tick(int64_t env_steps, int64_t updates, std::string_view prefix,
                      const std::function<Metrics()>& learner_metrics) {
  const int64_t before = std::exchange(env_steps_, env_steps);
  updates_ = updates;
  progress_->Update(env_steps, updates);
  const bool done = env_steps >= config_.total_steps;
  if (Due(config_.log.every_steps, before, env_steps) || done) {
    checkpoints_.Check();
    WriteTrainRow(prefix, learner_metrics());
    directory_.SetStatus(RunStatus::kRunning, "", env_steps_, TrainingSeconds());
    progress_->Report();
  }
  if (Due(config_.eval.every_steps, before, env_steps) || done) {
    Evaluate();
  }
  if (Due(config_.checkpoint.every_steps, before, env_steps)) {
    Save();
    Export();
  }
}

void RunContext::WriteTrainRow(std::string_view prefix, const Metrics& learner_metrics) {
  Metrics row;
  row.Set("updates", static_cast<double>(updates_));
  row.Set("episode/count", static_cast<double>(episodes_));
  if (episodes_ > 0) {
    row.Set("episode/return", return_sum_ / static_cast<double>(episodes_));
    row.Set("episode/length", static_cast<double>(length_sum_) / static_cast<double>(episodes_));
  }
  row.Merge(prefix, learner_metrics);
  row.Merge("", pending_);
  const double now = TrainingSeconds();
  const double elapsed = now - logged_s_;
  row.Set("time/wall_s", now);
  row.Merge("", timer_.Drain());
  row.Set("memory/resident_mib", ResidentMib());
  if (const std::optional<double> peak = PeakDeviceMib(device_)) {
    row.Set("memory/device_peak_mib", *peak);
  }
  row.Set("rate/env_steps_per_s", static_cast<double>(env_steps_ - logged_env_steps_) / elapsed);
  row.Set("rate/updates_per_s", static_cast<double>(updates_ - logged_updates_) / elapsed);
  train_csv_->Append(env_steps_, row);
  pending_.Clear();
  return_sum_ = 0;
  length_sum_ = 0;
  episodes_ = 0;
  logged_s_ = now;
  logged_env_steps_ = env_steps_;
  logged_updates_ = updates_;
  tensorboard_->Append(env_steps_, row);
}

void RunContext::Evaluate() {
  const double wall_s = TrainingSeconds();
  const Stopwatch pause;
  const std::optional<EvalResult> result = [&] {
    const auto timing = timer_.Measure("evaluate");
    return hooks_.evaluate(env_steps_);
  }();
  paused_s_ += pause.Seconds();
  evaluation_owed_ = !result;
  if (!result) {
    return;
  }
  Metrics returns;
  returns.Set("return_mean", result->return_mean());
  returns.Set("return_std", result->return_std());
  returns.Set("return_min", result->return_min());
  returns.Set("return_max", result->return_max());
  returns.Set("length_mean", result->length_mean());
  returns.Set("episodes", static_cast<double>(result->episodes()));
  Metrics row;
  row.Set("wall_s", wall_s);
  row.Merge("", returns);
  eval_csv_->Append(env_steps_, row);
  Metrics scalars;
  scalars.Merge("eval", returns);
  tensorboard_->Append(env_steps_, scalars);
  std::array<char, 160> text{};
  std::snprintf(text.data(), text.size(), "step %ld: evaluation return %.1f +- %.1f over %ld episodes, after %s",
                static_cast<long>(env_steps_), result->return_mean(), result->return_std(),
                static_cast<long>(result->episodes()), DurationText(wall_s).c_str());
  LogInfo(text.data());
  progress_->EndPause();
}

void RunContext::VisitState(StateVisitor& state) {
  double wall_s = TrainingSeconds();
  state("wall_s", wall_s);
  if (state.loading()) {
    wall_s_before_ = wall_s;
  }
  state("env_steps", env_steps_);
  state("updates", updates_);
  state("logged_env_steps", logged_env_steps_);
  state("logged_updates", logged_updates_);
  state("logged_s", logged_s_);
  state("return_sum", return_sum_);
  state("length_sum", length_sum_);
  state("episodes", episodes_);
  state("evaluation_owed", evaluation_owed_);
  std::vector<double> values;
  std::string names;
  for (const auto& [name, value] : pending_) {
    names += name + "\n";
    values.push_back(value);
  }
  state("pending_names", names);
  state("pending_values", values);
  if (state.loading()) {
    pending_.Clear();
    size_t begin = 0;
    for (const double value : values) {
      const size_t end = names.find('\n', begin);
      pending_.Set(names.substr(begin, end - begin), value);
      begin = end + 1;
    }
  }
  hooks_.visit_state(state);
}

StateTree RunContext::State() {
  StateTree tree;
  StateVisitor visitor = StateVisitor::Saving(tree);
  VisitState(visitor);
  return tree;
}

void RunContext::Save() {
  const auto timing = timer_.Measure("checkpoint");
  checkpoints_.Save(State(), env_steps_);
  saved_env_steps_ = env_steps_;
  directory_.SetStatus(RunStatus::kRunning, "", env_steps_, TrainingSeconds());
}

void RunContext::Export() {
  try {
    hooks_.export_policy();
  } catch (const std::exception& error) {
    const std::string what = error.what();
    LogError("the policy of env step " + std::to_string(env_steps_) +
             " was not exported: " + what.substr(0, what.find('\n')));
  }
}

int RunContext::End() {
  const int signal = StopSignals::Received();
  const bool finished = env_steps_ >= config_.total_steps && !evaluation_owed_;
  if (saved_env_steps_ != env_steps_) {
    Save();
  }
  checkpoints_.Finish();
  progress_.reset();
  if (finished) {
    directory_.SetStatus(RunStatus::kFinished, "", env_steps_, TrainingSeconds());
    Export();
    LogInfo("finished " + std::to_string(env_steps_) + " env steps in " + DurationText(TrainingSeconds()) +
            "; everything is in " + directory_.path().string());
    return 0;
  }
  const std::string reason = StopSignals::Name(signal);
  directory_.SetStatus(RunStatus::kInterrupted, reason, env_steps_, TrainingSeconds());
  Export();
  LogInfo("stopped by " + reason + " at env step " + std::to_string(env_steps_) + "; go on with: " + CalledAs() +
          " train --resume " + ShellQuoted(directory_.path().string()));
  return signal;
}

void RunContext::Fail(const std::string& what_happened) noexcept {
  if (untouched_) {
    LogError(what_happened);
    return;
  }
  const std::string reason =
      progress_ ? "after env step " + std::to_string(env_steps_) + ": " + what_happened : what_happened;
  const auto attempt = [](const std::string& what, const std::function<void()>& act) {
    try {
      act();
    } catch (const std::exception& error) {
      LogError(what + " could not be written: " + error.what());
    }
  };
  if (progress_) {  // Begin came to its end, or nearly
    attempt("the last row", [this] {
      if (env_steps_ > logged_env_steps_) {
        WriteTrainRow("", {});
      }
    });
    attempt("the state at the failure", [this] { checkpoints_.SaveFailed(State(), env_steps_); });
    progress_.reset();
  }
  LogError(reason);
  attempt("run.json", [&] { directory_.SetStatus(RunStatus::kFailed, reason, env_steps_, TrainingSeconds()); });
}

}  // namespace reverie
