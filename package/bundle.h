// The unpacked bundle: where its parts are, the torch package of this machine, and how a program of the bundle starts.
//
// Programs start through the C library and loader in the bundle's lib/, so that neither the machine's distribution nor
// its age matters. Of the machine they use the torch package, the packages nvidia/ beside it, and the driver.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace reverie::package {

struct Torch {
  std::filesystem::path folder;  // the package: lib/libtorch_cpu.so is in it
  std::string version;           // "2.11.0+cu130"; empty where the package does not say
};

class Bundle {
 public:
  // Finds the bundle by the running program, and torch: REVERIE_TORCH, else what python3 would import. Sets the
  // defaults of the environment variables that programs of the bundle read. Throws std::runtime_error where there is no
  // torch package, or one that the programs cannot use.
  Bundle();

  const std::filesystem::path& root() const { return root_; }
  const Torch& torch() const { return torch_; }

  // The command that runs a program of the bundle, such as "bin/reverie", under the name `name`.
  std::vector<std::string> Command(const std::string& program, const std::string& name,
                                   const std::vector<std::string>& arguments) const;

 private:
  std::filesystem::path root_;
  Torch torch_;
  std::string library_path_;
};

// The program check-gpu. Returns its exit code; throws std::runtime_error on bad usage.
int CheckGpu(const std::vector<std::string>& arguments);

// For execve and its like: pointers into `strings`, and a null pointer.
std::vector<char*> Pointers(const std::vector<std::string>& strings);

}  // namespace reverie::package
