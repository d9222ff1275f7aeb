#include "reverie/sweep/local_engine.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <list>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "reverie/core/cores.h"
#include "reverie/core/file.h"
#include "reverie/core/log.h"
#include "reverie/core/self.h"
#include "reverie/core/text.h"
#include "reverie/core/timer.h"
#include "reverie/run/device.h"
#include "reverie/run/signals.h"

namespace reverie {
namespace {

constexpr std::chrono::milliseconds kLook{100};  // how often processes are looked after
constexpr double kRedrawSeconds = 1;
const std::string kVisibleGpus = "CUDA_VISIBLE_DEVICES";

// A run at work.
struct Process {
  const SweepRun* run;
  size_t place;
  pid_t pid;
  int64_t steps_at_start;
  Stopwatch since_start;
};

// With that many threads, unless the config names a number or the run goes on with its own.
std::vector<std::string> Command(const SweepRun& run, bool goes_on, int64_t threads) {
  std::vector<std::string> command = SelfCommand();
  command.insert(command.end(), {"train", run.config.string(), "--seed", std::to_string(run.seed), "--run-dir",
                                 run.directory.string(), "--auto-resume"});
  if (!run.threads && !goes_on) {
    command.insert(command.end(), {"--set", "threads=" + std::to_string(threads)});
  }
  return command;
}

// This process's environment, with that one GPU to be seen where `gpu` names one.
std::vector<std::string> Environment(const std::string& gpu) {
  std::vector<std::string> variables;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (gpu.empty() || !std::string_view(*variable).starts_with(kVisibleGpus + "=")) {
      variables.emplace_back(*variable);
    }
  }
  if (!gpu.empty()) {
    variables.push_back(kVisibleGpus + "=" + gpu);
  }
  return variables;
}

// For execve; borrows the words.
std::vector<char*> Pointers(const std::vector<std::string>& words) {
  std::vector<char*> pointers;
  pointers.reserve(words.size() + 1);
  for (const std::string& word : words) {
    pointers.push_back(const_cast<char*>(word.c_str()));
  }
  pointers.push_back(nullptr);
  return pointers;
}

// Starts this very program with other arguments; what it says goes to run.output. It leaves the terminal's group of
// processes, so that a Ctrl-C reaches it once and through us.
pid_t Start(const SweepRun& run, const std::vector<std::string>& command, const std::vector<std::string>& environment) {
  MakeFolder(run.output.parent_path());
  const int output = open(run.output.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (output < 0) {
    throw std::runtime_error("cannot write " + run.output.string() + ": " + std::strerror(errno));
  }
  const std::vector<char*> arguments = Pointers(command);
  const std::vector<char*> variables = Pointers(environment);
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
      execve("/proc/self/exe", arguments.data(), variables.data());
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
  LocalSweep(const Sweep& sweep, int64_t jobs, ProgressOutput output, const Machine& machine)
      : output_(std::move(output)) {
    std::vector<std::string> devices;
    for (const SweepRun& run : sweep.runs) {
      if (StatusOf(run).state == SweepRunState::kFinished) {
        ++result_.finished;
      } else {
        waiting_.push_back(&run);
        devices.push_back(run.device);
      }
    }
    total_ = static_cast<int64_t>(sweep.runs.size());
    plan_ = PlanSweep(machine, devices, jobs, sweep.runs_per_gpu);
    busy_.resize(plan_.places.size());
    LogInfo(std::to_string(total_) + " runs, " + std::to_string(result_.finished) + " of them finished before" +
            (waiting_.empty() ? std::string() : "; " + std::to_string(plan_.jobs) + " at once"));
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

  // The place with the fewest runs that has room for this one.
  std::optional<size_t> FreePlace(const SweepRun& run) const {
    const SweepPlan::Range range = plan_.PlacesOf(run.device);
    std::optional<size_t> best;
    for (size_t i = range.begin; i < range.end; ++i) {
      if (busy_[i] < plan_.places[i].most && (!best || busy_[i] < busy_[*best])) {
        best = i;
      }
    }
    return best;
  }

  void StartMore() {
    for (auto next = waiting_.begin(); next != waiting_.end() && static_cast<int64_t>(working_.size()) < plan_.jobs;) {
      const SweepRun& run = **next;
      const std::optional<size_t> place = FreePlace(run);
      if (!place) {
        ++next;
        continue;
      }
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
      const std::string gpu = run.device.starts_with("cuda:") ? "" : plan_.places[*place].gpu;
      const pid_t pid = Start(run, Command(run, status.has_checkpoint, plan_.threads), Environment(gpu));
      ++busy_[*place];
      working_.push_back(
          {.run = &run, .place = *place, .pid = pid, .steps_at_start = status.env_steps, .since_start = {}});
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
      --busy_[process->place];
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
  SweepPlan plan_;
  std::vector<int64_t> busy_;  // runs at work, by place
  SweepResult result_;
  size_t lines_ = 0;  // on the terminal
  Stopwatch since_drawn_;
};

}  // namespace

std::vector<std::string> GpuNames(int64_t count, const std::optional<std::string>& visible) {
  std::vector<std::string> names;
  std::istringstream list(visible.value_or(""));
  for (std::string name; static_cast<int64_t>(names.size()) < count && std::getline(list, name, ',');) {
    names.push_back(name);
  }
  for (int64_t i = 0; !visible && i < count; ++i) {
    names.push_back(std::to_string(i));
  }
  return names;
}

Machine ThisMachine() {
  const char* visible = std::getenv(kVisibleGpus.c_str());
  return {.cores = UsableCores(),
          .gpus = GpuNames(GpuCount(), visible == nullptr ? std::nullopt : std::optional<std::string>(visible))};
}

SweepPlan::Range SweepPlan::PlacesOf(const std::string& device) const {
  const size_t gpus = places.size() - 1;
  const Range cores{gpus, gpus + 1};
  if (device == "cpu" || gpus == 0) {
    return cores;
  }
  if (device.starts_with("cuda:")) {
    const size_t index = std::stoul(device.substr(5));
    return index < gpus ? Range{index, index + 1} : cores;
  }
  return {0, gpus};
}

SweepPlan PlanSweep(const Machine& machine, const std::vector<std::string>& devices, int64_t jobs,
                    int64_t runs_per_gpu) {
  SweepPlan plan;
  for (const std::string& gpu : machine.gpus) {
    plan.places.push_back({.gpu = gpu, .most = runs_per_gpu});
  }
  plan.places.emplace_back();
  const size_t gpus = machine.gpus.size();
  int64_t on_cores = 0;
  int64_t on_any_gpu = 0;
  std::vector<int64_t> on_gpu(gpus, 0);  // that name it
  for (const std::string& device : devices) {
    const SweepPlan::Range range = plan.PlacesOf(device);
    ++(range.begin == gpus ? on_cores : device.starts_with("cuda:") ? on_gpu[range.begin] : on_any_gpu);
  }
  int64_t on_gpus = 0;
  for (const int64_t runs : on_gpu) {
    on_gpus += std::min(runs, runs_per_gpu);
  }
  on_gpus += std::min(on_any_gpu, static_cast<int64_t>(gpus) * runs_per_gpu - on_gpus);
  plan.places.back().most = jobs > 0 ? jobs : std::max<int64_t>(1, machine.cores - on_gpus);
  plan.jobs = on_gpus + std::min(on_cores, plan.places.back().most);
  plan.jobs = std::max<int64_t>(1, jobs > 0 ? std::min(jobs, plan.jobs) : plan.jobs);
  plan.threads = std::max<int64_t>(1, machine.cores / plan.jobs);
  return plan;
}

SweepResult RunSweepHere(const Sweep& sweep, int64_t jobs, ProgressOutput output, const Machine& machine) {
  const FolderLock lock = LockSweep(sweep);
  WriteSweepConfigs(sweep);
  return LocalSweep(sweep, jobs, std::move(output), machine).Run();
}

}  // namespace reverie
