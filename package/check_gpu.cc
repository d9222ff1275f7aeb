#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <regex>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "bundle.h"

namespace reverie::package {
namespace fs = std::filesystem;
namespace {

using Clock = std::chrono::steady_clock;

constexpr char kHelp[] =
    R"(Tests, training and benchmarks on this machine's GPU, within ten minutes and without a network.
Usage: check-gpu [--output FOLDER] [--all] [--benchmarks REGEX] [--quick]

  --output FOLDER      where logs and results go, new or empty; default check-gpu-output
  --all                every test program of the bundle, not only those for a GPU
  --benchmarks REGEX   only the benchmarks whose name contains a match
  --quick              a shorter training, and each benchmark only once: that they run, not how fast

FOLDER has summary.txt, a log for each program, tests/*.xml from GoogleTest, benchmarks.json from Google Benchmark, and
train/, the run directory. Exit code 0: nothing failed; 1: something did; 2: bad usage, no torch package,
or one that the programs do not start with.
)";
constexpr std::chrono::seconds kLimit(570);
constexpr std::chrono::seconds kGrace(5);
constexpr int kSkipped = 77;
constexpr int kStoppedAtLimit = -1;

struct Options {
  fs::path output = "check-gpu-output";
  bool all = false;
  bool quick = false;
  std::string benchmarks;
};

// A line of tests/programs.txt, which scripts/package writes, tabs between its fields: name, labels (between commas),
// environment (NAME=VALUE between semicolons), program, arguments.
struct TestProgram {
  std::string name;
  std::vector<std::string> environment;
  std::string program;
  std::vector<std::string> arguments;
};

Options ParseOptions(const std::vector<std::string>& arguments) {
  Options options;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const auto value = [&] {
      if (++i == arguments.size()) {
        throw std::runtime_error("check-gpu: " + arguments[i - 1] + " needs a value; see check-gpu --help");
      }
      return arguments[i];
    };
    if (arguments[i] == "--output") {
      options.output = value();
    } else if (arguments[i] == "--benchmarks") {
      options.benchmarks = value();
    } else if (arguments[i] == "--all") {
      options.all = true;
    } else if (arguments[i] == "--quick") {
      options.quick = true;
    } else {
      throw std::runtime_error("check-gpu takes no argument " + arguments[i] + "; see check-gpu --help");
    }
  }
  return options;
}

std::vector<std::string> Split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) {
    parts.push_back(part);
  }
  return parts;
}

std::vector<TestProgram> TestPrograms(const Bundle& bundle, bool all) {
  const fs::path path = bundle.root() / "tests/programs.txt";
  std::ifstream file(path);
  std::vector<TestProgram> programs;
  for (std::string line; std::getline(file, line);) {
    const std::vector<std::string> fields = Split(line, '\t');
    if (fields.size() < 4) {
      throw std::runtime_error(path.string() + ": expected name, labels, environment and program, not " + line);
    }
    const std::vector<std::string> labels = Split(fields[1], ',');
    if (all || std::find(labels.begin(), labels.end(), "gpu") != labels.end()) {
      programs.push_back({fields[0], Split(fields[2], ';'), fields[3], {fields.begin() + 4, fields.end()}});
    }
  }
  return programs;
}

std::string FirstLine(const fs::path& path) {
  std::string line;
  std::ifstream file(path);
  std::getline(file, line);
  return line;
}

std::string Text(const fs::path& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

// Each GPU that the driver shows, by its model where the driver says that.
std::vector<std::string> Gpus() {
  std::vector<std::string> gpus;
  std::error_code none;
  for (const fs::directory_entry& entry : fs::directory_iterator("/proc/driver/nvidia/gpus", none)) {
    std::ifstream file(entry.path() / "information");
    for (std::string line; std::getline(file, line);) {
      if (line.starts_with("Model:")) {
        gpus.push_back(line.substr(line.find_first_not_of(" \t", 6)));
      }
    }
  }
  std::vector<std::string> devices;
  for (const fs::directory_entry& entry : fs::directory_iterator("/dev", none)) {
    const std::string name = entry.path().filename();
    constexpr size_t kPrefix = 6;  // "nvidia"
    const bool numbered = name.starts_with("nvidia") && name.size() > kPrefix &&
                          std::all_of(name.begin() + kPrefix, name.end(), [](unsigned char c) { return isdigit(c); });
    if (numbered || name == "dxg") {
      devices.push_back(entry.path());
    }
  }
  // A container shows the models of all GPUs, and the device files of its own.
  if (gpus.size() != devices.size()) {
    gpus = devices;
  }
  std::sort(gpus.begin(), gpus.end());
  return gpus;
}

class Check {
 public:
  Check(const Bundle& bundle, const Options& options) : bundle_(bundle), options_(options) {
    if (fs::exists(options.output) && !fs::is_empty(options.output)) {
      throw std::runtime_error(options.output.string() + " is not empty; name another folder with --output");
    }
    fs::create_directories(options.output / "tests");
    output_ = fs::canonical(options.output);
    summary_.open(output_ / "summary.txt");
  }

  int Run() {
    Machine();
    const std::vector<TestProgram> programs = TestPrograms(bundle_, options_.all);
    if (programs.empty()) {
      Say("tests", "none in this bundle is for a GPU");
    }
    for (const TestProgram& test : programs) {
      Test(test);
    }
    Training();
    Benchmarks();
    Say("in all", std::to_string(passed_) + " passed, " + std::to_string(skipped_) + " skipped, " +
                      std::to_string(failed_) + " failed in " + Seconds(Clock::now() - start_) + "; logs in " +
                      output_.string());
    return failed_ == 0 ? 0 : 1;
  }

 private:
  void Say(const std::string& what, const std::string& text) {
    const std::string line = what + std::string(what.size() < 36 ? 36 - what.size() : 1, ' ') + text + "\n";
    std::cout << line << std::flush;
    summary_ << line << std::flush;
  }

  static std::string Seconds(Clock::duration time) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1f s", std::chrono::duration<double>(time).count());
    return text;
  }

  // Runs a program of the bundle in `folder`, its output in `log`, `added` before the environment. Returns its exit
  // code, 128 and the signal's number where one ended it, or kStoppedAtLimit.
  int RunProgram(const std::string& program, const std::vector<std::string>& arguments, const fs::path& folder,
                 const fs::path& log, const std::vector<std::string>& added = {}) const {
    std::vector<std::string> environment = added;
    for (char** variable = environ; *variable != nullptr; ++variable) {
      environment.emplace_back(*variable);
    }
    const std::vector<std::string> command = bundle_.Command(program, fs::path(program).filename(), arguments);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
    posix_spawn_file_actions_addchdir_np(&actions, folder.c_str());
    pid_t child = 0;
    const int error = posix_spawn(&child, command[0].c_str(), &actions, nullptr, Pointers(command).data(),
                                  Pointers(environment).data());
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0) {
      throw std::runtime_error(command[0] + " does not start: " + std::strerror(error));
    }
    int status = 0;
    const Clock::time_point limit = start_ + kLimit;
    bool asked = false;
    while (waitpid(child, &status, WNOHANG) == 0) {
      if (!asked && Clock::now() > limit) {
        kill(child, SIGTERM);
        asked = true;
      } else if (Clock::now() > limit + kGrace) {
        kill(child, SIGKILL);
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    if (asked) {
      return kStoppedAtLimit;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

  void Failed(const std::string& what, int code, const fs::path& log) {
    ++failed_;
    const std::string why = code == kStoppedAtLimit
                                ? "stopped: the whole check may take " + std::to_string(kLimit.count()) + " s"
                                : "exit code " + std::to_string(code);
    Say(what, "FAILED (" + why + "), " + log.string());
  }

  void Machine() {
    const fs::path log = output_ / "version.log";
    const int code = RunProgram("bin/reverie", {"--version"}, output_, log);
    if (code != 0) {
      std::cerr << Text(log);
      throw std::runtime_error("bin/reverie --version ended with exit code " + std::to_string(code));
    }
    for (const std::string& line : Split(Text(log), '\n')) {
      const size_t space = line.find(' ');
      Say(line.substr(0, space), space == std::string::npos ? "" : line.substr(space + 1));
    }
    Say("torch",
        (bundle_.torch().version.empty() ? "" : bundle_.torch().version + " in ") + bundle_.torch().folder.string());
    const std::string driver = FirstLine("/proc/driver/nvidia/version");
    Say("driver", driver.empty() ? "none" : driver);
    gpus_ = Gpus();
    for (const std::string& gpu : gpus_) {
      Say("GPU", gpu);
    }
    if (gpus_.empty()) {
      Say("GPU", "none: tests for it skip, its benchmarks are absent, training runs on the CPU");
    }
  }

  void Test(const TestProgram& test) {
    std::string file = test.name;
    std::replace(file.begin(), file.end(), '/', '_');
    const fs::path log = output_ / "tests" / (file + ".log");
    const fs::path xml = output_ / "tests" / (file + ".xml");
    std::vector<std::string> arguments = test.arguments;
    arguments.push_back("--gtest_output=xml:" + xml.string());
    const Clock::time_point start = Clock::now();
    const int code = RunProgram(test.program, arguments, output_ / "tests", log, test.environment);
    const std::string took = Counts(Text(xml)) + Seconds(Clock::now() - start);
    if (code == 0) {
      ++passed_;
      Say("test " + test.name, "passed, " + took);
    } else if (code == kSkipped) {
      ++skipped_;
      Say("test " + test.name, "SKIPPED, " + took);
    } else {
      Failed("test " + test.name, code, log);
    }
  }

  // "12 tests, 3 skipped, " of GoogleTest's XML.
  static std::string Counts(const std::string& xml) {
    int tests = 0;
    int skipped = 0;
    static const std::regex kSuite("<testsuite [^>]*tests=\"([0-9]+)\"[^>]*skipped=\"([0-9]+)\"");
    for (std::sregex_iterator match(xml.begin(), xml.end(), kSuite), end; match != end; ++match) {
      tests += std::stoi((*match)[1]);
      skipped += std::stoi((*match)[2]);
    }
    return std::to_string(tests) + (tests == 1 ? " test, " : " tests, ") +
           (skipped > 0 ? std::to_string(skipped) + " skipped, " : "");
  }

  void Training() {
    const std::string device = gpus_.empty() ? "cpu" : "cuda";
    const fs::path log = output_ / "train.log";
    std::vector<std::string> arguments = {
        "train", bundle_.root() / "configs/quickstart.yaml", "--device", device, "--run-dir", output_ / "train"};
    const std::vector<std::string> settings = options_.quick
                                                  ? std::vector<std::string>{"total_steps=510", "model.max_epochs=2"}
                                                  : std::vector<std::string>{"total_steps=750"};
    for (const std::string& setting : settings) {
      arguments.insert(arguments.end(), {"--set", setting});
    }
    const Clock::time_point start = Clock::now();
    const int code = RunProgram("bin/reverie", arguments, output_, log);
    if (code == 0) {
      ++passed_;
      Say("train --device " + device, "passed, the start of configs/quickstart.yaml, " + Seconds(Clock::now() - start));
    } else {
      Failed("train --device " + device, code, log);
    }
  }

  void Benchmarks() {
    const fs::path log = output_ / "benchmarks.log";
    const fs::path json = output_ / "benchmarks.json";
    std::vector<std::string> arguments = {"--benchmark_out=" + json.string(), "--benchmark_out_format=json"};
    if (options_.quick) {
      arguments.emplace_back("--benchmark_min_time=0");
    }
    if (!options_.benchmarks.empty()) {
      arguments.push_back("--benchmark_filter=" + options_.benchmarks);
    }
    const Clock::time_point start = Clock::now();
    const int code = RunProgram("bin/reverie_bench", arguments, output_, log);
    const std::string result = Text(json);
    const std::regex name("\"run_name\":");
    const auto count = std::distance(std::sregex_iterator(result.begin(), result.end(), name), std::sregex_iterator());
    if (code == 0 && count > 0) {
      ++passed_;
      Say("benchmarks", "passed, " + std::to_string(count) + " in " + Seconds(Clock::now() - start));
    } else {
      Failed("benchmarks", code, log);
    }
  }

  const Bundle& bundle_;
  const Options options_;
  const Clock::time_point start_ = Clock::now();
  fs::path output_;
  std::ofstream summary_;
  std::vector<std::string> gpus_;
  int passed_ = 0;
  int skipped_ = 0;
  int failed_ = 0;
};

}  // namespace

int CheckGpu(const std::vector<std::string>& arguments) {
  if (std::find(arguments.begin(), arguments.end(), "--help") != arguments.end()) {
    std::cout << kHelp;
    return 0;
  }
  const Options options = ParseOptions(arguments);
  const Bundle bundle;
  return Check(bundle, options).Run();
}

}  // namespace reverie::package
