// The one program of a bundle that starts on any Linux: static, and known by three names.
//
//   reverie ARGUMENTS           the program reverie
//   run PROGRAM [ARGUMENTS]     another program of the bundle: run bin/reverie_bench, run tests/core_rng_test
//   check-gpu [--help]          tests, training and benchmarks on this machine
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <exception>
#include <iostream>
#include <stdexcept>

#include "bundle.h"

namespace reverie::package {
namespace {

namespace fs = std::filesystem;

int Main(const std::string& name, std::vector<std::string> arguments) {
  if (name == "check-gpu") {
    return CheckGpu(arguments);
  }
  const Bundle bundle;
  std::string program = "bin/reverie";
  if (name == "run") {
    if (arguments.empty() || !fs::is_regular_file(bundle.root() / arguments[0])) {
      throw std::runtime_error("run takes a program of the bundle, such as bin/reverie_bench, not " +
                               (arguments.empty() ? "nothing" : arguments[0]));
    }
    program = arguments[0];
    arguments.erase(arguments.begin());
  }
  const std::vector<std::string> command = bundle.Command(program, fs::path(program).filename(), arguments);
  execv(command[0].c_str(), Pointers(command).data());
  throw std::runtime_error(command[0] + ": " + std::strerror(errno));
}

}  // namespace
}  // namespace reverie::package

int main(int argc, char** argv) {
  try {
    const std::string name = std::filesystem::path(argc > 0 ? argv[0] : "reverie").filename();
    return reverie::package::Main(name, std::vector<std::string>(argv + (argc > 0), argv + argc));
  } catch (const std::exception& error) {
    std::cerr << "reverie: " << error.what() << "\n";
    return 2;
  }
}
