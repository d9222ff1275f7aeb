#include "experiment.h"

#include <algorithm>
#include <new>
#include <stdexcept>

#include "algorithms/existing_run.h"
#include "reverie/core/cores.h"
#include "reverie/core/log.h"
#include "reverie/core/state.h"
#include "reverie/run/checkpoint_folder.h"
#include "reverie/run/device.h"
#include "reverie/run/threads.h"

namespace reverie {

AlgorithmMaker ReadExperiment(const std::filesystem::path& file, const std::vector<ConfigAssignment>& sets,
                              const EnvRegistry& envs) {
  ConfigDocument document = OpenConfig(file);
  document.Set(sets);
  for (const std::string& dropped : document.Dropped()) {
    LogInfo(dropped);
  }
  return ReadAlgorithm(document, envs);
}

TrainedRun LoadTrainedRun(const std::filesystem::path& run_directory, const EnvRegistry& envs, bool with_rows) {
  const RunDirectory directory = RunDirectory::Open(run_directory);
  if (RunDirectory::InUse(run_directory) && !CheckpointFolder::HasAny(directory.checkpoint_path())) {
    throw std::invalid_argument(run_directory.string() + " is being trained and has no checkpoint yet");
  }
  TrainedRun run{.maker = ReadExperiment(directory.config_path(), {}, envs)};
  if (const std::string changed = ChangedFiles(directory, run.maker); !changed.empty()) {
    LogWarning(changed);
  }
  // Those of training, where this machine has as many.
  const int64_t threads = run.maker.run().NamedThreads().value_or(directory.record().facts.threads);
  UseThreads(StartableThreads(std::clamp<int64_t>(threads, 1, UsableCores())));
  run.algorithm = run.maker.make(torch::kCPU);
  Checkpoint checkpoint = with_rows ? CheckpointFolder::Load(directory.checkpoint_path())
                                    : CheckpointFolder::LoadWithoutRows(directory.checkpoint_path());
  StateVisitor visitor = StateVisitor::LoadingToAct(checkpoint.state);
  visitor("algorithm", *run.algorithm);
  return run;
}

EnvConfig ReadEnv(const std::string& env_id, const std::vector<ConfigAssignment>& sets, const EnvRegistry& envs,
                  const Fields& more) {
  ConfigDocument document = ConfigDocument::FromText("env: {id: \"" + envs.Find(env_id).id + "\"}", env_id);
  document.Set(sets);
  EnvConfig env(envs);
  Fields fields;
  fields("env", env, "the environment");
  fields.Add(more);
  document.ReadInto(fields);
  return env;
}

std::string WhatHappened(const std::exception& error) {
  const auto* torch_error = dynamic_cast<const c10::Error*>(&error);
  std::string text = torch_error != nullptr ? torch_error->what_without_backtrace() : error.what();
  text = text.substr(0, text.find('\n'));
  if (const auto* files = dynamic_cast<const std::filesystem::filesystem_error*>(&error)) {
    return files->path1().string() + ": " + files->code().message();
  }
  if (dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr ||
      dynamic_cast<const std::bad_alloc*>(&error) != nullptr || text.find("DefaultCPUAllocator") != std::string::npos) {
    return "there is not enough memory (" + text +
           "); lower the batch sizes, the widths in hidden, rollout.start_states or replay_capacity";
  }
  return text;
}

}  // namespace reverie
