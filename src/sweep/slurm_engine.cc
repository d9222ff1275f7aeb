#include "reverie/sweep/slurm_engine.h"

#include <fstream>
#include <sstream>
#include <stdexcept>
#include <vector>

#include "reverie/core/file.h"
#include "reverie/core/self.h"
#include "reverie/core/shell.h"

namespace reverie {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kSecondsForACheckpoint = 120;

fs::path JobFolder(const Sweep& sweep) { return fs::absolute(sweep.out).lexically_normal() / "slurm"; }
fs::path JobIdFile(const Sweep& sweep) { return JobFolder(sweep) / "job_id"; }
fs::path RunsFile(const Sweep& sweep) { return JobFolder(sweep) / "runs.tsv"; }

std::string FirstLine(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    lines.push_back(line);
  }
  return lines;
}

// Tasks of the job that are still in the queue, with their states.
std::map<int64_t, std::string> QueuedTasks(const std::string& job) {
  // Not --jobs: squeue fails for a job that it has forgotten.
  std::map<int64_t, std::string> tasks;
  for (const std::string& line : Lines(ShellOutput("squeue --noheader --array --me --format='%F %K %T %R'"))) {
    std::istringstream fields(line);
    std::string id;
    int64_t task = 0;
    std::string state;
    std::string reason;
    if (fields >> id >> task >> state && id == job) {
      std::getline(fields >> std::ws, reason);
      tasks[task] = reason.starts_with('(') ? state + " " + reason : state;
    }
  }
  return tasks;
}

// The runs of the job submitted last, in the order of its tasks: names, the first field of each line.
std::vector<std::string> SubmittedRuns(const Sweep& sweep) {
  std::ifstream file(RunsFile(sweep));
  std::vector<std::string> names;
  for (std::string line; std::getline(file, line);) {
    names.push_back(line.substr(0, line.find('\t')));
  }
  return names;
}

// As an #SBATCH line reads it: no shell is at work there.
std::string Quoted(const std::string& value) { return '"' + value + '"'; }

std::string Script(const Sweep& sweep, int64_t tasks) {
  const SlurmOptions& slurm = sweep.slurm;
  std::string program;
  for (const std::string& word : LauncherCommand()) {
    program += ShellQuoted(word) + ' ';
  }
  const std::string at_once = slurm.at_once > 0 ? std::string("%") + std::to_string(slurm.at_once) : "";
  std::ostringstream script;
  script << "#!/bin/bash\n"
         << "#SBATCH --job-name=" << Quoted(fs::absolute(sweep.out).lexically_normal().filename().string()) << "\n"
         << "#SBATCH --array=0-" << tasks - 1 << at_once << "\n"
         << "#SBATCH --cpus-per-task=" << slurm.cpus << "\n";
  const auto option = [&](const char* name, const std::string& value) {
    if (!value.empty()) {
      script << "#SBATCH --" << name << "=" << Quoted(value) << "\n";
    }
  };
  option("partition", slurm.partition);
  option("account", slurm.account);
  option("time", slurm.time);
  option("mem", slurm.memory);
  option("gpus", slurm.gpus > 0 ? std::to_string(slurm.gpus) : "");
  if (!slurm.options.empty()) {
    script << "#SBATCH " << slurm.options << "\n";
  }
  script << "#SBATCH --" << (slurm.requeue ? "requeue" : "no-requeue") << "\n"
         << "#SBATCH --open-mode=append\n"
         << "#SBATCH --signal=B:USR1@" << kSecondsForACheckpoint << "\n"
         << "#SBATCH --output=" << Quoted((JobFolder(sweep) / "%A_%a.txt").string()) << "\n"
         << R"(
# One run of a sweep a task; `reverie sweep` wrote this. A line of runs.tsv: name, config, seed, threads, folder.
set -u
program=( )"
         << program << ")\nruns=" << ShellQuoted(RunsFile(sweep).string()) << R"(
IFS=$'\t' read -r name config seed threads folder < <(sed -n "$((SLURM_ARRAY_TASK_ID + 1))p" "$runs")

arguments=("$config" --seed "$seed" --set "threads=$threads" --run-dir "$folder" --auto-resume)

# A signal reaches this shell; the run is told to stop and writes its checkpoint.
time_is_up=
stop() { kill -TERM "$run" 2>/dev/null; }
trap 'stop' TERM
trap 'time_is_up=yes; stop' USR1
echo "$(date -u +%FT%TZ) $name on $(hostname): train ${arguments[*]}"
"${program[@]}" train "${arguments[@]}" &
run=$!
wait "$run"
code=$?
while kill -0 "$run" 2>/dev/null; do  # `wait` ends at a signal, the run some seconds later
  wait "$run"
  code=$?
done
)";
  if (slurm.requeue) {
    script << R"(if [[ $time_is_up && $code != 0 ]]; then
  scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"
fi
)";
  }
  script << "exit $code\n";
  return script.str();
}

}  // namespace

std::string SubmitToSlurm(const Sweep& sweep) {
  const FolderLock lock = LockSweep(sweep);
  const std::string former = FirstLine(JobIdFile(sweep));
  if (!former.empty() && !QueuedTasks(former).empty()) {
    throw std::invalid_argument("job " + former + " of this sweep is still in Slurm's queue; --status shows it, " +
                                "--cancel ends it");
  }
  std::string runs;
  int64_t tasks = 0;
  for (const SweepRun& run : sweep.runs) {
    if (StatusOf(run).state != SweepRunState::kFinished) {
      const int64_t threads = run.threads.value_or(sweep.slurm.cpus);
      runs += run.name() + '\t' + fs::absolute(run.config).lexically_normal().string() + '\t' +
              std::to_string(run.seed) + '\t' + std::to_string(threads) + '\t' +
              fs::absolute(run.directory).lexically_normal().string() + '\n';
      ++tasks;
    }
  }
  if (tasks == 0) {
    throw std::invalid_argument("every run of this sweep is finished");
  }
  WriteSweepConfigs(sweep);
  MakeFolder(JobFolder(sweep));
  const fs::path script = JobFolder(sweep) / "job.sh";
  WriteFileWhole(RunsFile(sweep), runs);
  WriteFileWhole(script, Script(sweep, tasks));
  std::string job = ShellOutput("sbatch --parsable " + ShellQuoted(script.string()));
  job = job.substr(0, job.find(';'));  // "ID;CLUSTER" where there are several
  WriteFileWhole(JobIdFile(sweep), job + "\n");
  return job;
}

std::map<std::string, std::string> SlurmStates(const Sweep& sweep) {
  std::map<std::string, std::string> states;
  const std::string job = FirstLine(JobIdFile(sweep));
  if (!job.empty()) {
    const std::vector<std::string> names = SubmittedRuns(sweep);
    for (const auto& [task, state] : QueuedTasks(job)) {
      if (task >= 0 && static_cast<size_t>(task) < names.size()) {
        states[names[static_cast<size_t>(task)]] = state;
      }
    }
  }
  return states;
}

std::optional<std::string> CancelOnSlurm(const Sweep& sweep) {
  const std::string job = FirstLine(JobIdFile(sweep));
  if (job.empty() || QueuedTasks(job).empty()) {
    return std::nullopt;
  }
  // The shell is told to stop and tells its run; a plain scancel would kill both after some seconds, which some
  // checkpoints take. Tasks that have not begun just go.
  ShellOutput("scancel --state=PENDING " + job);
  ShellOutput("scancel --batch --signal=TERM " + job);
  return job;
}

}  // namespace reverie
