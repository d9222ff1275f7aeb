#include <stdexcept>
#include <utility>

#include "algorithms/existing_run.h"
#include "commands.h"
#include "experiment.h"
#include "options.h"
#include "reverie/config/reader.h"
#include "reverie/config/writer.h"
#include "reverie/core/cores.h"
#include "reverie/core/log.h"
#include "reverie/core/self.h"
#include "reverie/core/shell.h"
#include "reverie/core/text.h"
#include "reverie/run/checkpoint_folder.h"
#include "reverie/run/device.h"
#include "reverie/run/evaluator.h"
#include "reverie/run/run_context.h"
#include "reverie/run/threads.h"

namespace reverie {
namespace {

struct TrainArguments {
  std::string config;
  std::vector<ConfigAssignment> sets;
  std::string run_dir;
  std::string resume;
  bool overwrite = false;
  bool auto_resume = false;
};

// A run goes on as it began: only its name, where it is computed, where its files lie and how long it is may change.
// `other_way`: how it goes on nevertheless.
void RefuseChanges(const std::filesystem::path& run, const AlgorithmMaker& maker, const EnvRegistry& envs,
                   const std::string& other_way = "") {
  const RunDirectory directory = RunDirectory::Open(run);
  const std::string difference = DifferenceFrom(directory, maker, envs, [](const ConfigDifference& one) {
    const bool longer = one.key == "total_steps" && ParseNumber<int64_t>(one.here) > ParseNumber<int64_t>(one.there);
    return one.key == "variant" || RunConfig::SaysHow(one.key) || longer;
  });
  if (!difference.empty()) {
    throw std::invalid_argument(difference + "; only total_steps may grow, and variant, device and threads change" +
                                other_way);
  }
}

// A key that both `--KEY VALUE` and `--set KEY=...` give has to be the same in both.
void RefuseContradictions(const std::vector<ConfigAssignment>& sets) {
  for (const ConfigAssignment& flag : sets) {
    const std::string key = flag.text.substr(0, flag.text.find('=') + 1);
    for (const ConfigAssignment& set : sets) {
      if (!flag.origin.empty() && set.origin.empty() && set.text.starts_with(key) && set.text != flag.text) {
        throw std::invalid_argument(flag.origin + " and --set " + set.text +
                                    " contradict each other; give one of them");
      }
    }
  }
}

enum class Start { kBegin, kBeginAnew, kGoOn, kNothingToDo };

// What the same command does the next time. Only a run that was killed before its first checkpoint is begun anew:
// whatever else has none holds something that is not to be had again.
Start NextStart(const std::filesystem::path& path, const AlgorithmMaker& maker, const EnvRegistry& envs) {
  std::error_code error;
  if (!std::filesystem::exists(path / "run.json", error)) {
    return Start::kBegin;  // or be refused, where something else is there
  }
  const RunDirectory run = RunDirectory::Open(path);
  const RunRecord& record = run.record();
  const auto has_checkpoint = [&] { return CheckpointFolder::HasAny(run.checkpoint_path()); };
  const bool running = record.status == RunStatus::kRunning;
  if (running && !std::filesystem::exists(run.config_path()) && !has_checkpoint()) {
    return Start::kBeginAnew;  // killed while it was created
  }
  const bool finished = record.status == RunStatus::kFinished;
  const bool goes_on_by_itself = !finished && has_checkpoint() && !RunDirectory::InUse(path);
  RefuseChanges(path, maker, envs,
                goes_on_by_itself ? "; by its own config it goes on with: " + CalledAs() + " train --resume " +
                                        ShellQuoted(path.string())
                                  : "");
  if (finished && record.env_steps >= maker.run().total_steps && record.facts.variant == maker.run().variant) {
    return Start::kNothingToDo;
  }
  if (has_checkpoint()) {
    return Start::kGoOn;
  }
  if (running) {
    return Start::kBeginAnew;
  }
  throw std::invalid_argument(path.string() + " is " + Name(record.status) + " at env step " +
                              std::to_string(record.env_steps) +
                              " and has no checkpoint to go on from; --overwrite begins it anew");
}

// The threads of a run whose config leaves them open. On a GPU the CPU's threads have little to do.
ThreadChoice ThreadsFor(const AlgorithmMaker& maker, const torch::Device& device) {
  const int64_t cores = StartableThreads(UsableCores());
  ThreadChoice all{.threads = cores,
                   .reason = "threads auto: took the cores that this process may use, " + std::to_string(cores)};
  UseThreads(cores);
  if (cores == 1 || !device.is_cpu()) {
    return all;
  }
  const std::unique_ptr<Algorithm> rehearsal = maker.make(device);
  return rehearsal->Rehearse() ? ChooseThreads(cores, [&] { rehearsal->Rehearse(); }) : all;
}

// As many as the config names, or an older start of the run chose, be it on another machine.
void UseNamedThreads(int64_t threads) {
  if (const int64_t cores = UsableCores(); threads > cores) {
    LogWarning(Text("threads: ", threads, ", but this process may use ", cores, cores == 1 ? " core" : " cores"));
  }
  if (StartableThreads(threads) < threads) {
    throw std::runtime_error(Text("threads: ", threads, " cannot be started; --set threads=NUMBER takes fewer"));
  }
  UseThreads(threads);
}

// One training run, from the beginning or from its newest checkpoint. Every check of the input comes before the first
// file is written.
void Train(const TrainArguments& arguments, const EnvRegistry& envs) {
  bool resume = !arguments.resume.empty();
  if (resume == !arguments.config.empty()) {
    throw std::invalid_argument("train: expected a config, or --resume and the folder of a run");
  }
  RefuseContradictions(arguments.sets);
  std::filesystem::path config = arguments.config;
  if (resume) {
    config = RunDirectory::Open(arguments.resume).config_path();
  }
  const AlgorithmMaker maker = ReadExperiment(config, arguments.sets, envs);
  RunConfig& run_config = maker.run();
  std::filesystem::path path = resume ? arguments.resume : arguments.run_dir;
  if (path.empty()) {
    path = RunDirectory::DefaultPath(run_config.algorithm, maker.env().id, run_config.seed);
  }
  Existing existing = arguments.overwrite ? Existing::kReplace : Existing::kRefuse;
  if (arguments.auto_resume) {
    const Start start = NextStart(path, maker, envs);
    if (start == Start::kNothingToDo) {
      LogInfo(path.string() + " is finished");
      return;
    }
    resume = start == Start::kGoOn;
    existing = start == Start::kBeginAnew ? Existing::kReplaceUnbegun : Existing::kRefuse;
  } else if (resume) {
    RefuseChanges(path, maker, envs);
  }
  const torch::Device device = ChooseDevice(run_config.device);
  if (!run_config.NamedThreads()) {
    if (resume) {
      run_config.threads = RunDirectory::Open(path).record().facts.threads;
    } else {
      const ThreadChoice choice = ThreadsFor(maker, device);
      LogInfo(choice.reason);
      run_config.threads = choice.threads;
    }
  }
  UseNamedThreads(*run_config.threads);
  if (const std::string unlike = maker.env().UnlikeItsOwn(); !unlike.empty()) {
    LogWarning(unlike);
  }
  const std::string config_yaml = ToYaml(maker.fields());
  const std::unique_ptr<Algorithm> algorithm = maker.make(device);

  const RunFacts facts{.algorithm = run_config.algorithm,
                       .variant = run_config.variant,
                       .env = maker.env().id,
                       .seed = run_config.seed,
                       .device = device.str(),
                       .threads = *run_config.threads,
                       .files = FileDigests(maker)};
  Evaluator evaluator(maker.env().maker, run_config.eval.episodes);
  RunDirectory directory = resume ? RunDirectory::Resume(path, config_yaml, facts)
                                  : RunDirectory::Create(path, config_yaml, facts, existing);
  LogInfo(run_config.algorithm + " on " + maker.env().id + ", seed " + std::to_string(run_config.seed) + ", device " +
          device.str() + ", run directory " + directory.path().string());

  const Rng eval_rng = Rng(static_cast<uint64_t>(run_config.seed)).Split("eval");
  RunContext run(run_config, directory,
                 {.evaluate =
                      [&](int64_t env_steps) {
                        return evaluator.Run(algorithm->policy(), eval_rng.Split(static_cast<uint64_t>(env_steps)),
                                             [] { return StopSignals::Received() != 0; });
                      },
                  .visit_state = [&](StateVisitor& state) { state("algorithm", *algorithm); },
                  .export_policy =
                      [&, said = false]() mutable {
                        try {
                          algorithm->Export(directory.path() / "policy.pt");
                        } catch (const std::invalid_argument& error) {
                          if (!std::exchange(said, true)) {
                            LogInfo(std::string("no policy.pt: ") + error.what());
                          }
                        }
                      }});
  int signal = 0;
  try {
    run.Begin(resume);
    algorithm->Train(run);
    signal = run.End();
  } catch (const std::exception& error) {
    run.Fail(WhatHappened(error));
    throw FailureLogged{};
  }
  if (signal != 0) {
    throw StoppedBySignal{signal};
  }
}

}  // namespace

void AddTrainCommand(CLI::App& program, const EnvRegistry& envs) {
  CLI::App* command = program.add_subcommand("train", "Train as a config says, or go on with a run");
  auto arguments = std::make_shared<TrainArguments>();
  command->add_option("config", arguments->config, "YAML file");
  AddSets(*command, arguments->sets, "Override a key: --set rollout.start_states=1000");
  for (const std::string key : {"seed", "device"}) {
    command->add_option_function<std::string>(
        "--" + key,
        [arguments, key](const std::string& value) {
          arguments->sets.push_back({key + "=" + value, "--" + key + " " + value});
        },
        "The same as --set " + key + "=...");
  }
  CLI::Option* run_dir = command->add_option("--run-dir", arguments->run_dir,
                                             "Folder of the run; default runs/<algorithm>-<env>/seed-<n>");
  CLI::Option* overwrite = command->add_flag("--overwrite", arguments->overwrite, "Replace an existing run");
  CLI::Option* resume = command->add_option("--resume", arguments->resume, "Go on with the run in this folder");
  resume->excludes(run_dir)->excludes(overwrite);
  command
      ->add_flag("--auto-resume", arguments->auto_resume,
                 "Go on with the run in that folder, or begin it where there is none: the same command again and again")
      ->excludes(resume)
      ->excludes(overwrite);
  command->callback([arguments, &envs] { Train(*arguments, envs); });
}

}  // namespace reverie
