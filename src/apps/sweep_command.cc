#include <cstdio>

#include "commands.h"
#include "options.h"
#include "reverie/core/log.h"
#include "reverie/core/self.h"
#include "reverie/core/shell.h"
#include "reverie/sweep/local_engine.h"
#include "reverie/sweep/slurm_engine.h"

namespace reverie {
namespace {

enum class Engine { kLocal, kSlurm };
std::vector<std::pair<std::string, Engine>> EnumNames(Engine) {
  return {{"local", Engine::kLocal}, {"slurm", Engine::kSlurm}};
}

struct SweepArguments {
  std::string file;
  std::string out;
  Engine engine{Engine::kLocal};
  int64_t jobs = 0;
  bool status = false;
  bool cancel = false;
};

void PrintStatus(const Sweep& sweep) {
  const std::map<std::string, std::string> on_slurm = SlurmStates(sweep);
  size_t width = 0;
  for (const SweepRun& run : sweep.runs) {
    width = std::max(width, run.name().size());
  }
  for (const SweepRun& run : sweep.runs) {
    const SweepRunStatus status = StatusOf(run);
    std::printf("%-*s  %-10s  %ld of %ld", static_cast<int>(width), run.name().c_str(), Name(status.state),
                static_cast<long>(status.env_steps), static_cast<long>(run.total_steps));
    if (status.last_return) {
      std::printf("  return %.1f", *status.last_return);
    }
    std::printf("%s%s", status.reason.empty() ? "" : "  ", status.reason.c_str());
    if (const auto queued = on_slurm.find(run.name()); queued != on_slurm.end()) {
      std::printf("  Slurm: %s", queued->second.c_str());
    }
    std::printf("\n");
  }
}

void RunSweep(const SweepArguments& arguments, const EnvRegistry& envs) {
  const Sweep sweep = ReadSweep(arguments.file, arguments.out, envs);
  if (arguments.status) {
    PrintStatus(sweep);
    return;
  }
  if (arguments.cancel) {
    const std::optional<std::string> job = CancelOnSlurm(sweep);
    LogInfo(job ? "cancelled Slurm's job " + *job + "; runs that were going on write their checkpoints"
                : "no job of this sweep is in Slurm's queue");
    return;
  }
  RefuseOtherRuns(sweep, envs);
  if (arguments.engine == Engine::kSlurm) {
    if (arguments.jobs > 0) {
      throw std::invalid_argument("--jobs is for runs here; with --engine slurm the sweep's slurm.at_once says it");
    }
    const std::string job = SubmitToSlurm(sweep);
    LogInfo("submitted to Slurm as job " + job + "; --status shows how far it is, --cancel ends it");
    return;
  }
  const SweepResult result = RunSweepHere(sweep, arguments.jobs, StandardProgressOutput());
  if (result.signal != 0) {
    LogInfo("stopped; the same command goes on with what is unfinished");
    throw StoppedBySignal{result.signal};
  }
  LogInfo(std::to_string(result.finished) + " runs finished, " + std::to_string(result.failed) +
          " failed; look at them with: " + CalledAs() + " compare " + ShellQuoted(sweep.out.string()) + " --out " +
          ShellQuoted((sweep.out / "report").string()));
  if (result.failed > 0) {
    throw FailureLogged{};
  }
}

}  // namespace

void AddSweepCommand(CLI::App& program, const EnvRegistry& envs) {
  CLI::App* command = program.add_subcommand(
      "sweep", "Train variants of a config on tasks and seeds, or go on with what is unfinished");
  auto arguments = std::make_shared<SweepArguments>();
  command->add_option("sweep", arguments->file, "YAML file: base, tasks, seeds, variants, grid, out")->required();
  command->add_option("--out", arguments->out, "Folder of the runs, instead of the file's `out`");
  command
      ->add_option_function<std::string>(
          "--engine",
          [arguments](const std::string& text) { arguments->engine = ReadOption<Engine>("--engine", text, Range()); },
          "local: here; slurm: as a job array on a cluster")
      ->default_str("local");
  CLI::Option* jobs = AddOption(*command, "--jobs", arguments->jobs,
                                "Most runs at once, here; 0: one a core, or runs_per_gpu on each GPU", AtLeast(0));
  CLI::Option* status =
      command->add_flag("--status", arguments->status, "Say where every run stands, and start nothing")->excludes(jobs);
  command->add_flag("--cancel", arguments->cancel, "End the sweep's job on Slurm")->excludes(jobs)->excludes(status);
  command->callback([arguments, &envs] { RunSweep(*arguments, envs); });
}

}  // namespace reverie
