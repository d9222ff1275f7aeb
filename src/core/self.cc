#include "reverie/core/self.h"

#include <sys/auxv.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "reverie/core/shell.h"

namespace reverie {

namespace fs = std::filesystem;

std::vector<std::string> SelfCommand() {
  const fs::path started = fs::read_symlink("/proc/self/exe");
  // The C library's loader sets this to the program that it was told to start; the kernel has set it to what it
  // started.
  const auto* const program = reinterpret_cast<const char*>(getauxval(AT_EXECFN));
  std::error_code unknown;
  if (program != nullptr && !fs::equivalent(program, "/proc/self/exe", unknown) && !unknown) {
    std::ifstream file("/proc/self/cmdline", std::ios::binary);
    std::vector<std::string> words;
    for (std::string word; std::getline(file, word, '\0');) {
      words.push_back(word);
    }
    const auto end = std::find(words.begin(), words.end(), program);
    if (end != words.end()) {
      words.erase(end + 1, words.end());
      words.front() = started;
      words.back() = fs::absolute(program);
      return words;
    }
  }
  return {started};
}

std::vector<std::string> LauncherCommand() {
  std::vector<std::string> command = SelfCommand();
  const char* const launcher = std::getenv("REVERIE_LAUNCHER");
  if (command.size() > 1 && launcher != nullptr && *launcher != '\0') {
    return {launcher};
  }
  return command;
}

std::string CalledAs() {
  if (const char* const name = std::getenv("REVERIE_CALLED_AS"); name != nullptr && *name != '\0') {
    return ShellQuoted(name);
  }
  if (SelfCommand().size() > 1) {  // the first word is that of a loader
    std::string command;
    for (const std::string& word : LauncherCommand()) {
      command += command.empty() ? "" : " ";
      command += ShellQuoted(word);
    }
    return command;
  }
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::string name;
  std::getline(file, name, '\0');
  return ShellQuoted(name);
}

}  // namespace reverie
