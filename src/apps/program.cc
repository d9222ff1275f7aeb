#include "reverie/apps/program.h"

#include <CLI/CLI.hpp>
#include <iostream>

#include "commands.h"
#include "experiment.h"
#include "reverie/core/log.h"
#include "reverie/core/version.h"

namespace reverie {
namespace {

std::string VersionText() {
  std::string text = "reverie " + Version() + " (git " + GitRevision() + ")";
  for (const auto& [library, version] : LibraryVersions()) {
    text += "\n" + library + " " + version;
  }
  return text;
}

}  // namespace

int RunProgram(int argc, char** argv, const EnvRegistry& envs) {
  CLI::App program("Deep model-based reinforcement learning: write a YAML file, train, compare, export.", "reverie");
  program.set_version_flag("--version", VersionText);
  program.require_subcommand(1);
  AddTrainCommand(program, envs);
  AddSweepCommand(program, envs);
  AddCompareCommand(program);
  AddEvalCommand(program, envs);
  AddExportCommand(program, envs);
  AddRecordCommand(program, envs);
  AddConfigCommand(program, envs);
  AddEnvsCommand(program, envs);
  AddTraceCommand(program, envs);
  try {
    program.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = program.exit(error);
    return code == 0 ? 0 : 2;
  } catch (const StoppedBySignal& stopped) {
    return 128 + stopped.signal;
  } catch (const FailureLogged&) {
    return 1;
  } catch (const std::invalid_argument& error) {
    LogError(error.what());
    return 2;
  } catch (const std::exception& error) {
    LogError(WhatHappened(error));
    return 1;
  }
  return 0;
}

}  // namespace reverie
