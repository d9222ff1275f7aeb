#include "reverie/run/run_context.h"

#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <stdexcept>
#include <utility>

#include "reverie/core/log.h"

namespace reverie {
namespace {

const std::vector<std::string> kEvalColumns{"wall_s",     "return_mean", "return_std", "return_min",
                                            "return_max", "length_mean", "episodes"};

double ResidentMebibytes() {
  std::ifstream statm("/proc/self/statm");
  int64_t total = 0;
  int64_t resident = 0;
  statm >> total >> resident;
  return static_cast<double>(resident) * static_cast<double>(sysconf(_SC_PAGESIZE)) / (1024.0 * 1024.0);
}

std::string Duration(double seconds) {
  const auto s = static_cast<int64_t>(seconds);
  std::array<char, 32> text{};
  if (s >= 3600) {
    std::snprintf(text.data(), text.size(), "%ldh%02ldm", static_cast<long>(s / 3600), static_cast<long>(s / 60 % 60));
  } else {
    std::snprintf(text.data(), text.size(), "%ldm%02lds", static_cast<long>(s / 60), static_cast<long>(s % 60));
  }
  return text.data();
}

}  // namespace

RunContext::RunContext(const RunConfig& config, const RunDirectory& directory, RunHooks hooks)
    : config_(config), directory_(directory), hooks_(std::move(hooks)), terminal_(isatty(STDERR_FILENO) == 1) {}

void RunContext::Begin(bool resume) {
  const std::filesystem::path& path = directory_.path();
  if (resume) {
    const auto checkpoint = directory_.NewestCheckpoint();
    if (!checkpoint) {
      throw std::runtime_error(path.string() + " has no checkpoint to go on from");
    }
    StateTree tree = StateTree::LoadFile(*checkpoint);
    StateVisitor visitor = StateVisitor::Loading(tree);
    VisitState(visitor);
    train_csv_ = CsvLog::Resume(path / "train.csv", env_steps_);
    eval_csv_ = CsvLog::Resume(path / "eval.csv", env_steps_);
    LogInfo("going on from " + checkpoint->string() + ", env step " + std::to_string(env_steps_));
  } else {
    train_csv_ = CsvLog::Create(path / "train.csv", {});
    eval_csv_ = CsvLog::Create(path / "eval.csv", kEvalColumns);
  }
  begin_env_steps_ = env_steps_;
  saved_env_steps_ = resume ? env_steps_ : -1;
  directory_.SetStatus(RunStatus::kRunning, "", env_steps_, wall_s_before_);
  watch_.Restart();
  logged_s_ = TrainingSeconds();
  if (!resume) {
    Evaluate();
  }
}

void RunContext::NoteEpisode(const std::optional<EpisodeStats>& episode) {
  if (episode) {
    return_sum_ += episode->episode_return;
    length_sum_ += episode->length;
    ++episodes_;
    last_return_ = episode->episode_return;
  }
}

void RunContext::Tick(int64_t env_steps, int64_t updates, const std::function<Metrics()>& learner_metrics) {
  env_steps_ = env_steps;
  updates_ = updates;
  const bool done = env_steps >= config_.total_steps;
  if (env_steps % config_.log.every_steps == 0 || done) {
    WriteTrainRow(learner_metrics);
  }
  if (env_steps % config_.eval.every_steps == 0 || done) {
    Evaluate();
  }
  if (env_steps % config_.checkpoint.every_steps == 0) {
    Save();
    hooks_.export_policy();
  }
  ShowProgress();
}

void RunContext::WriteTrainRow(const std::function<Metrics()>& learner_metrics) {
  Metrics row;
  if (episodes_ > 0) {
    row.Set("episode/return", return_sum_ / static_cast<double>(episodes_));
    row.Set("episode/length", static_cast<double>(length_sum_) / static_cast<double>(episodes_));
  }
  row.Set("episode/count", static_cast<double>(episodes_));
  row.Set("updates", static_cast<double>(updates_));
  row.Merge("sac", learner_metrics());
  for (const auto& [name, value] : pending_) {
    row.Set(name, value);
  }
  const double now = TrainingSeconds();
  const double elapsed = now - logged_s_;
  row.Set("time/wall_s", now);
  for (const auto& [name, value] : timer_.Drain()) {
    row.Set(name, value);
  }
  row.Set("rate/env_steps_per_s", static_cast<double>(env_steps_ - logged_env_steps_) / elapsed);
  row.Set("rate/updates_per_s", static_cast<double>(updates_ - logged_updates_) / elapsed);
  row.Set("memory/resident_mib", ResidentMebibytes());
  train_csv_->Append(env_steps_, row);
  pending_.Clear();
  return_sum_ = 0;
  length_sum_ = 0;
  episodes_ = 0;
  logged_s_ = now;
  logged_env_steps_ = env_steps_;
  logged_updates_ = updates_;
}

void RunContext::Evaluate() {
  if (eval_csv_->last_step() >= env_steps_) {
    return;
  }
  const double wall_s = TrainingSeconds();
  const Stopwatch pause;
  const EvalResult result = hooks_.evaluate(env_steps_);
  Metrics row;
  row.Set("wall_s", wall_s);
  row.Set("return_mean", result.return_mean());
  row.Set("return_std", result.return_std());
  row.Set("return_min", result.return_min());
  row.Set("return_max", result.return_max());
  row.Set("length_mean", result.length_mean());
  row.Set("episodes", static_cast<double>(result.episodes()));
  eval_csv_->Append(env_steps_, row);
  paused_s_ += pause.Seconds();
  std::array<char, 160> text{};
  std::snprintf(text.data(), text.size(), "step %ld: evaluation return %.1f +- %.1f over %ld episodes, after %s",
                static_cast<long>(env_steps_), result.return_mean(), result.return_std(),
                static_cast<long>(result.episodes()), Duration(wall_s).c_str());
  LogInfo(text.data());
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
  state("return_sum", return_sum_);
  state("length_sum", length_sum_);
  state("episodes", episodes_);
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

void RunContext::Save() {
  StateTree tree;
  StateVisitor visitor = StateVisitor::Saving(tree);
  VisitState(visitor);
  directory_.SaveCheckpoint(tree, env_steps_, config_.checkpoint.keep);
  saved_env_steps_ = env_steps_;
  directory_.SetStatus(RunStatus::kRunning, "", env_steps_, TrainingSeconds());
}

int RunContext::End() {
  const int signal = StopSignals::Received();
  const bool finished = env_steps_ >= config_.total_steps;
  if (saved_env_steps_ != env_steps_) {
    Save();
  }
  hooks_.export_policy();
  if (finished) {
    directory_.SetStatus(RunStatus::kFinished, "", env_steps_, TrainingSeconds());
    LogInfo("finished " + std::to_string(env_steps_) + " env steps in " + Duration(TrainingSeconds()) +
            "; everything is in " + directory_.path().string());
    return 0;
  }
  const std::string reason = signal == SIGTERM ? "SIGTERM" : "SIGINT";
  directory_.SetStatus(RunStatus::kInterrupted, reason, env_steps_, TrainingSeconds());
  LogInfo("stopped by " + reason + " at env step " + std::to_string(env_steps_) +
          "; go on with: reverie train --resume " + directory_.path().string());
  return signal;
}

void RunContext::Fail(const std::string& reason) {
  try {
    Save();
  } catch (const std::exception& error) {
    LogError(std::string("the state at the failure could not be saved: ") + error.what());
  }
  directory_.SetStatus(RunStatus::kFailed, reason, env_steps_, TrainingSeconds());
}

void RunContext::ShowProgress() {
  const double now = watch_.Seconds();
  if (!terminal_ || now - shown_s_ < 0.2) {
    return;
  }
  shown_s_ = now;
  const double elapsed = std::max(1e-9, TrainingSeconds() - wall_s_before_);
  const double rate = static_cast<double>(env_steps_ - begin_env_steps_) / elapsed;
  const auto left = static_cast<double>(config_.total_steps - env_steps_);
  std::array<char, 200> text{};
  std::snprintf(text.data(), text.size(),
                "\r\033[K%5.1f%%  step %ld/%ld  ETA %s  %.0f env steps/s  %.0f updates/s  last return %.1f",
                100.0 * static_cast<double>(env_steps_) / static_cast<double>(config_.total_steps),
                static_cast<long>(env_steps_), static_cast<long>(config_.total_steps), Duration(left / rate).c_str(),
                rate, static_cast<double>(updates_) / elapsed, last_return_);
  std::fputs(text.data(), stderr);
  std::fflush(stderr);
}

}  // namespace reverie
