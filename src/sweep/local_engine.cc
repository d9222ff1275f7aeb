#include "reverie/sweep/local_engine.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <list>
#include <stdexcept>
#include <thread>

#include "reverie/core/file.h"
#include "reverie/core/log.h"
#include "reverie/core/self.h"
#include "reverie/core/text.h"
#include "reverie/core/timer.h"
#include "reverie/run/signals.h"

namespace reverie {
namespace {

constexpr std::chrono::milliseconds kLook{100};  // how often processes are looked after
constexpr double kRedrawSeconds = 1;

// A run at work.
struct Process {
  const SweepRun* run;
  pid_t pid;
  int64_t steps_at_start;
  Stopwatch since_start;
};

std::vector<std::string> Command(const SweepRun& run, int64_t threads) {
  std::vector<std::string> command = SelfCommand();
  command.insert(command.end(), {"train", run.config.string(), "--seed", std::to_string(run.seed), "--set",
                                 "threads=" + std::to_string(run.threads.value_or(threads)), "--run-dir",
                                 run.directory.string(), "--auto-resume"});
  return command;
}

// Starts this very program with other arguments; what it says goes to run.output. It leaves the terminal's group of
// processes, so that a Ctrl-C reaches it once and through us.
pid_t Start(const SweepRun& run, const std::vector<std::string>& command) {
  MakeFolder(run.output.parent_path());
  const int output = open(run.output.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (output < 0) {
    throw std::runtime_error("cannot write " + run.output.string() + ": " + std::strerror(errno));
  }
  std::vector<char*> arguments;
  arguments.reserve(command.size() + 1);
  for (const std::string& argument : command) {
    arguments.push_back(const_cast<char*>(argument.c_str()));
  }
  arguments.push_back(nullptr);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) {  // only what is safe after a fork, up to the exec
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    if (getppid() == parent) {
      execv("/proc/self/exe", arguments.data());
    }
    _exit(127);
  }
  const int reason = errno;
  close(output);
  if (pid < 0) {
    throw std::runtime_error("cannot start a process for " + run.name() + ": " + std::strerror(reason));
  }
  return pid;
}

class LocalSweep {
 public:
  LocalSweep(const Sweep& sweep, int64_t jobs, ProgressOutput output) : output_(std::move(output)) {
    const auto cores = std::max<int64_t>(1, std::thread::hardware_concurrency());
    for (const SweepRun& run : sweep.runs) {
      if (StatusOf(run).state == SweepRunState::kFinished) {
        ++result_.finished;
      } else {
        waiting_.push_back(&run);
      }
    }
    total_ = static_cast<int64_t>(sweep.runs.size());
    jobs_ = std::max<int64_t>(1, std::min(jobs > 0 ? jobs : cores, static_cast<int64_t>(waiting_.size())));
    threads_ = std::max<int64_t>(1, cores / jobs_);
    LogInfo(std::to_string(total_) + " runs, " + std::to_string(result_.finished) + " of them finished before" +
            (waiting_.empty() ? std::string() : "; " + std::to_string(jobs_) + " at once"));
  }

  SweepResult Run() {
    const StopSignals signals;
    while (!waiting_.empty() || !working_.empty()) {
      if (result_.signal == 0) {
        result_.signal = StopSignals::Received();
        if (result_.signal != 0) {
          StopAll();
        }
      }
      StartMore();
      std::this_thread::sleep_for(kLook);
      CollectEnded();
      Draw();
    }
    Wipe();
    return result_;
  }

 private:
  void StopAll() {
    Say("stopping; every run writes its checkpoint");
    waiting_.clear();
    for (const Process& process : working_) {
      kill(process.pid, SIGTERM);
    }
  }

  void StartMore() {
    for (auto next = waiting_.begin(); next != waiting_.end() && static_cast<int64_t>(working_.size()) < jobs_;) {
      const SweepRun& run = **next;
      const SweepRunStatus status = StatusOf(run);
      if (status.state == SweepRunState::kRunning) {
        ++next;
        continue;
      }
      next = waiting_.erase(next);
      if (status.state == SweepRunState::kFinished) {
        ++result_.finished;
        continue;
      }
      const pid_t pid = Start(run, Command(run, threads_));
      working_.push_back({.run = &run, .pid = pid, .steps_at_start = status.env_steps, .since_start = {}});
      Say(run.name() + (status.has_checkpoint ? ": goes on" : ": begins"));
    }
  }

  void CollectEnded() {
    for (auto process = working_.begin(); process != working_.end();) {
      int code = 0;
      if (waitpid(process->pid, &code, WNOHANG) != process->pid) {
        ++process;
        continue;
      }
      const SweepRun& run = *process->run;
      const SweepRunStatus status = StatusOf(run);
      if (status.state == SweepRunState::kFinished) {
        ++result_.finished;
        Say(run.name() + ": finished" +
            (status.last_return ? ", evaluation return " + FixedText(*status.last_return, 1) : std::string()));
      } else if (result_.signal == 0) {
        ++result_.failed;
        Wipe();
        LogError(run.name() + ": " +
                 (status.state == SweepRunState::kFailed ? "failed " + status.reason : "ended before its end") +
                 "; what it said is in " + run.output.string());
      }
      process = working_.erase(process);
    }
  }

  // A line that stays.
  void Say(const std::string& text) {
    Wipe();
    LogInfo(text + " (" + std::to_string(result_.finished + result_.failed) + " of " + std::to_string(total_) +
            " done)");
  }

  void Draw() {
    if (!output_.terminal || (lines_ > 0 && since_drawn_.Seconds() < kRedrawSeconds)) {
      return;
    }
    Wipe();
    since_drawn_.Restart();
    const auto columns = static_cast<size_t>(std::max(output_.columns() - 1, 1));
    std::string text;
    for (const Process& process : working_) {
      text += Line(process).substr(0, columns) + "\n";
    }
    text += (std::to_string(result_.finished) + " finished, " + std::to_string(result_.failed) + " failed, " +
             std::to_string(working_.size()) + " running, " + std::to_string(waiting_.size()) + " to do")
                .substr(0, columns) +
            "\n";
    output_.write(text);
    lines_ = working_.size() + 1;
  }

  static std::string Line(const Process& process) {
    const SweepRunStatus status = StatusOf(*process.run);
    const int64_t total = process.run->total_steps;
    std::string text = process.run->name() + "  " + std::to_string(status.env_steps) + " of " + std::to_string(total);
    if (status.last_return) {
      text += "  return " + FixedText(*status.last_return, 1);
    }
    if (const int64_t done = status.env_steps - process.steps_at_start; done > 0) {
      const double per_step = process.since_start.Seconds() / static_cast<double>(done);
      text += "  ETA " + DurationText(per_step * static_cast<double>(total - status.env_steps));
    }
    return text;
  }

  void Wipe() {
    if (lines_ > 0) {
      output_.write("\x1b[" + std::to_string(lines_) + "A\x1b[J");
      lines_ = 0;
    }
  }

  ProgressOutput output_;
  std::list<const SweepRun*> waiting_;
  std::list<Process> working_;
  int64_t total_ = 0;
  int64_t jobs_ = 1;
  int64_t threads_ = 1;
  SweepResult result_;
  size_t lines_ = 0;  // on the terminal
  Stopwatch since_drawn_;
};

}  // namespace

SweepResult RunSweepHere(const Sweep& sweep, int64_t jobs, ProgressOutput output) {
  MakeFolder(sweep.out);
  const std::optional<FolderLock> lock = FolderLock::Take(sweep.out);
  if (!lock) {
    throw std::invalid_argument("another process is at the sweep in " + sweep.out.string() + " already (" +
                                FolderLock::Holder(sweep.out) + ")");
  }
  WriteSweepConfigs(sweep);
  return LocalSweep(sweep, jobs, std::move(output)).Run();
}

}  // namespace reverie
