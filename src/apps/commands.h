// The sub-commands, one file each. Each function adds its options and a callback to the program.
//
// A callback throws std::invalid_argument for bad input (exit code 2), what is declared below for an exit code of its
// own, and anything else for a failure (exit code 1).
#ifndef REVERIE_SRC_APPS_COMMANDS_H_
#define REVERIE_SRC_APPS_COMMANDS_H_

#include <CLI/CLI.hpp>

#include "reverie/env/registry.h"

namespace reverie {

// reverie envs [ENV_ID]
void AddEnvsCommand(CLI::App& program, const EnvRegistry& envs);

// reverie trace ENV_ID --state FILE --actions FILE [--set env.options.NAME=VALUE]... --out FILE
void AddTraceCommand(CLI::App& program, const EnvRegistry& envs);

// reverie config [FILE] [--set KEY=VALUE]... [--reference]
void AddConfigCommand(CLI::App& program, const EnvRegistry& envs);

// reverie train FILE [--set KEY=VALUE]... [--run-dir DIR] [--auto-resume] | reverie train --resume RUN_DIR
void AddTrainCommand(CLI::App& program, const EnvRegistry& envs);

// reverie eval RUN_DIR [--episodes N] [--seed S] [--json]
void AddEvalCommand(CLI::App& program, const EnvRegistry& envs);

// reverie model RUN_DIR [--data RUN_DIR] [--rows N] [--seed S] [--targets] [--json]
void AddModelCommand(CLI::App& program, const EnvRegistry& envs);

// reverie export RUN_DIR --out FILE
void AddExportCommand(CLI::App& program, const EnvRegistry& envs);

// reverie compare RUNS... [--out FOLDER] [--json]
void AddCompareCommand(CLI::App& program, const EnvRegistry& envs);

// reverie sweep FILE [--jobs N] [--status]
void AddSweepCommand(CLI::App& program, const EnvRegistry& envs);

// reverie record RUN_DIR --out FILE
void AddRecordCommand(CLI::App& program, const EnvRegistry& envs);

// reverie control lqr --env ENV_ID [--state A,B,...] [--state-weights ...] [--action-weights ...] [--json]
// reverie control ilqr --env ENV_ID [--set ilqr.KEY=VALUE]... [--episodes N] [--json]
void AddControlCommand(CLI::App& program, const EnvRegistry& envs);

// Thrown by a callback that a signal ended cleanly.
struct StoppedBySignal {
  int signal;
};

// Thrown by a callback that failed while running and has said why.
struct FailureLogged {};

// Thrown by a callback that has done its work without a part of the input, and has said which (exit code 3).
struct Incomplete {};

}  // namespace reverie

#endif  // REVERIE_SRC_APPS_COMMANDS_H_
