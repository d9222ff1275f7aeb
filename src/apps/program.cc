#include "reverie/apps/program.h"

#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <iostream>

#include "commands.h"
#include "core/bounded_spinning.h"
#include "core/kept_memory.h"
#include "experiment.h"
#include "reverie/config/reader.h"
#include "reverie/core/log.h"
#include "reverie/core/text.h"
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

// The number of a standard descriptor that is closed would be that of the next file, which would get what is said. What
// takes its place can be neither read nor written, so that it is an error as before.
void OpenStandardDescriptors() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(descriptor, F_GETFD) < 0) {
      open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY);  // the lowest number that is free: this one
    }
  }
}

// A pipe that nobody reads and a file at its limit of size are errors of a write, not the end of the process. A
// handler, not SIG_IGN: programs that are started would inherit that.
void TurnSignalsIntoWriteErrors() {
  for (const int signal : {SIGPIPE, SIGXFSZ}) {
    struct sigaction action {};
    sigaction(signal, nullptr, &action);
    if (action.sa_handler == SIG_DFL) {
      action.sa_handler = [](int /*signal*/) {};
      action.sa_flags = SA_RESTART;
      sigaction(signal, &action, nullptr);
    }
  }
}

std::vector<std::string> LongOptions(const CLI::App& app) {
  std::vector<std::string> options;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      options.push_back("--" + name);
    }
  }
  return options;
}

std::vector<std::string> CommandNames(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App* /*any*/) { return true; })) {
    names.push_back(command->get_name());
  }
  return names;
}

const CLI::App* CommandNamed(const std::string& name, const CLI::App& app) {
  for (const CLI::App* command : app.get_subcommands([](const CLI::App* /*any*/) { return true; })) {
    if (command->get_name() == name) {
      return command;
    }
  }
  return nullptr;
}

bool Contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

struct Leaf {
  std::string name;  // "control lqr"
  const CLI::App* command = nullptr;
};

// The command inside `app` that the words, some of which are options and values, name; null where they name none.
Leaf LeafIn(const std::vector<std::string>& words, const CLI::App& app) {
  Leaf leaf{.command = &app};
  for (const std::string& word : words) {
    if (const CLI::App* inner = CommandNamed(word, *leaf.command)) {
      leaf = {.name = leaf.name + (leaf.name.empty() ? "" : " ") + word, .command = inner};
    }
  }
  return leaf.name.empty() ? Leaf{} : leaf;
}

// What is wrong with a command line, whose words after the program's name are given, in one sentence.
std::string Complaint(const CLI::ParseError& error, const CLI::App& program, const std::vector<std::string>& words) {
  const auto hint = [](const std::string& word, const std::vector<std::string>& known) {
    const std::string nearest = NearestName(word, known);
    return nearest.empty() ? "; known: " + Joined(known) : "; did you mean " + nearest + "?";
  };
  const CLI::App* command = &program;
  std::string name;
  for (size_t at = 0; !CommandNames(*command).empty(); ++at) {
    const std::vector<std::string> names = CommandNames(*command);
    if (at == words.size()) {
      return (name.empty() ? "" : name + ": ") + "expected a command; known: " + Joined(names);
    }
    if (words[at].starts_with('-')) {
      const std::string option = words[at].substr(0, words[at].find('='));
      const Leaf leaf = LeafIn({words.begin() + static_cast<std::ptrdiff_t>(at), words.end()}, *command);
      return leaf.command != nullptr && Contains(LongOptions(*leaf.command), option)
                 ? option + ": expected after the command, as in " + program.get_name() + " " +
                       (name.empty() ? "" : name + " ") + leaf.name + " " + option
                 : option + ": no such option" + hint(option, LongOptions(*command));
    }
    const CLI::App* inner = CommandNamed(words[at], *command);
    if (inner == nullptr) {
      return words[at] + ": no such command" + (name.empty() ? "" : " of " + name) + hint(words[at], names);
    }
    command = inner;
    name += (name.empty() ? "" : " ") + words[at];
  }
  const std::vector<std::string> options = LongOptions(*command);
  for (const std::string& word : words) {
    const std::string option = word.substr(0, word.find('='));
    if (option.starts_with("--") && !Contains(options, option)) {
      return option + ": no such option of " + name + hint(option, options);
    }
  }
  const std::vector<std::string> unexpected = command->remaining();
  return name + ": " + (unexpected.empty() ? error.what() : Joined(unexpected) + ": not expected");
}

int RunCommand(int argc, char** argv, const EnvRegistry& envs) {
  CLI::App program("Deep model-based reinforcement learning: write a YAML file, train, compare, export.", "reverie");
  program.set_version_flag("--version", VersionText);
  program.require_subcommand(1);
  AddTrainCommand(program, envs);
  AddSweepCommand(program, envs);
  AddCompareCommand(program, envs);
  AddEvalCommand(program, envs);
  AddModelCommand(program, envs);
  AddExportCommand(program, envs);
  AddRecordCommand(program, envs);
  AddConfigCommand(program, envs);
  AddEnvsCommand(program, envs);
  AddTraceCommand(program, envs);
  AddControlCommand(program, envs);
  try {
    program.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {
      return program.exit(error);  // --help or --version
    }
    LogError(Complaint(error, program, {argv + 1, argv + argc}));
    return 2;
  } catch (const StoppedBySignal& stopped) {
    return 128 + stopped.signal;
  } catch (const FailureLogged&) {
    return 1;
  } catch (const Incomplete&) {
    return 3;
  } catch (const std::invalid_argument& error) {
    LogError(error.what());
    return 2;
  } catch (const std::exception& error) {
    LogError(WhatHappened(error));
    return 1;
  }
  return 0;
}

}  // namespace

int RunProgram(int argc, char** argv, const EnvRegistry& envs) {
  KeepFreedMemory();
  OpenStandardDescriptors();
  TurnSignalsIntoWriteErrors();
  const int code = RunCommand(argc, argv, envs);
  errno = 0;
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    LogError("standard output cannot be written" + (errno != 0 ? std::string(": ") + std::strerror(errno) : ""));
    return code != 0 ? code : 1;
  }
  return code;
}

int RunProgram(int argc, char** argv) { return RunProgram(argc, argv, BuiltinEnvs()); }

}  // namespace reverie
