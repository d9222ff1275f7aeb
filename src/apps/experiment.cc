#include "experiment.h"

#include <new>
#include <stdexcept>

#include "reverie/config/writer.h"
#include "reverie/core/file.h"
#include "reverie/core/log.h"
#include "reverie/core/state.h"
#include "reverie/core/text.h"
#include "reverie/run/checkpoint_folder.h"
#include "reverie/run/device.h"

namespace reverie {

AlgorithmMaker ReadExperiment(const std::filesystem::path& file, const std::vector<ConfigAssignment>& sets,
                              const EnvRegistry& envs) {
  ConfigDocument document = OpenConfig(file);
  document.Set(sets);
  return ReadAlgorithm(document, envs);
}

std::map<std::string, std::string> FileDigests(const AlgorithmMaker& maker) {
  std::map<std::string, std::string> digests;
  for (const auto& [key, file] : NamedFiles(maker.fields())) {
    digests.emplace(key, FileDigest(file));
  }
  return digests;
}

std::string ChangedFiles(const RunDirectory& run, const AlgorithmMaker& maker) {
  const std::map<std::string, std::string>& known = run.record().facts.files;
  std::vector<std::string> changed;
  for (const auto& [key, file] : NamedFiles(maker.fields())) {
    if (const auto before = known.find(key); before != known.end() && before->second != FileDigest(file)) {
      changed.push_back(key + ": " + file.string() + " is not what it was when " + run.path().string() + " was begun");
    }
  }
  return Joined(changed);
}

TrainedRun LoadTrainedRun(const std::filesystem::path& run_directory, const EnvRegistry& envs) {
  const RunDirectory directory = RunDirectory::Open(run_directory);
  TrainedRun run{.maker = ReadExperiment(directory.config_path(), {}, envs)};
  if (const std::string changed = ChangedFiles(directory, run.maker); !changed.empty()) {
    LogWarning(changed);
  }
  UseThreads(run.maker.run().NamedThreads().value_or(directory.record().facts.threads));
  run.algorithm = run.maker.make(torch::kCPU);
  Checkpoint checkpoint = CheckpointFolder::LoadWithoutRows(directory.checkpoint_path());
  StateVisitor visitor = StateVisitor::LoadingToAct(checkpoint.state);
  visitor("algorithm", *run.algorithm);
  return run;
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
