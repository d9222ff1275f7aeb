#include "bundle.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string_view>

namespace reverie::package {
namespace fs = std::filesystem;
namespace {

constexpr char kLoader[] = "lib/ld-linux-x86-64.so.2";
constexpr char kWanted[] = REVERIE_TORCH_VERSION;
constexpr bool kCuda = REVERIE_WITH_CUDA;

// Where drivers put libcuda.so.1, beside the loader's own folders and cache.
constexpr const char* kDriverFolders[] = {"/usr/lib64", "/usr/local/nvidia/lib64", "/usr/local/nvidia/lib",
                                          "/usr/lib/wsl/lib", "/run/opengl-driver/lib"};

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// The folder of the module torch as python3 would import it, found without importing it; empty where there is none.
std::string TorchOfPython() {
  const std::vector<std::string> command = {
      "python3", "-c",
      "import importlib.util as u; s = u.find_spec('torch'); print((s and s.submodule_search_locations or [''])[0])"};
  int ends[2];
  if (pipe(ends) != 0) {
    return "";
  }
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_addclose(&actions, ends[0]);
  posix_spawn_file_actions_addclose(&actions, ends[1]);
  pid_t child = 0;
  const bool started = posix_spawnp(&child, "python3", &actions, nullptr, Pointers(command).data(), environ) == 0;
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  std::string output;
  char block[512];
  for (ssize_t size = 0; started && (size = read(ends[0], block, sizeof block)) > 0;) {
    output.append(block, static_cast<size_t>(size));
  }
  close(ends[0]);
  int status = 0;
  if (!started || waitpid(child, &status, 0) != child || status != 0) {
    return "";
  }
  return output.substr(0, output.find('\n'));
}

bool IsTorch(const fs::path& folder) { return fs::exists(folder / "lib/libtorch_cpu.so"); }

fs::path TorchFolder() {
  const std::string install = std::string("Install torch==") + kWanted + " for python3";
  if (const std::string named = Environment("REVERIE_TORCH"); !named.empty()) {
    for (const fs::path& folder : {fs::path(named), fs::path(named) / "torch"}) {
      if (IsTorch(folder)) {
        return fs::canonical(folder);
      }
    }
    throw std::runtime_error("REVERIE_TORCH is " + named +
                             "; expected the folder of a torch package, or the site-packages that hold it "
                             "(neither has lib/libtorch_cpu.so)");
  }
  const std::string found = TorchOfPython();
  if (found.empty()) {
    throw std::runtime_error("no torch package: python3 is not on PATH or has no module torch. " + install +
                             ", or set REVERIE_TORCH to the folder of a torch package");
  }
  if (!IsTorch(found)) {
    throw std::runtime_error("the module torch of python3, " + found + ", has no lib/libtorch_cpu.so. " + install +
                             ", or set REVERIE_TORCH to the folder of a torch package");
  }
  return fs::canonical(found);
}

std::string TorchVersion(const fs::path& folder) {
  std::string line;
  if (std::ifstream archive(folder / "build-version"); std::getline(archive, line)) {
    return line;
  }
  std::ifstream wheel(folder / "version.py");
  while (std::getline(wheel, line)) {
    constexpr std::string_view kStart = "__version__ = '";
    if (line.starts_with(kStart)) {
      return line.substr(kStart.size(), line.find('\'', kStart.size()) - kStart.size());
    }
  }
  return "";
}

Torch FindTorch() {
  const fs::path folder = TorchFolder();
  const std::string version = TorchVersion(folder);
  if (!version.empty() && version.substr(0, version.find('+')) != kWanted) {
    throw std::runtime_error("torch in " + folder.string() + " is " + version + "; this bundle needs " + kWanted);
  }
  if (kCuda && !fs::exists(folder / "lib/libtorch_cuda.so")) {
    throw std::runtime_error("torch in " + folder.string() +
                             " is a build without CUDA (no lib/libtorch_cuda.so); this bundle needs one with CUDA, "
                             "which also runs on a machine without a GPU");
  }
  return {folder, version};
}

std::string LibraryPath(const fs::path& root, const fs::path& torch) {
  std::vector<std::string> folders = {root / "lib", torch / "lib"};
  // Before anything of the machine's, which may have other versions of the same libraries.
  std::vector<std::string> nvidia;
  if (const fs::path packages = torch.parent_path() / "nvidia"; fs::is_directory(packages)) {
    for (const fs::directory_entry& entry : fs::directory_iterator(packages)) {
      if (fs::is_directory(entry.path() / "lib")) {
        nvidia.push_back(entry.path() / "lib");
      }
    }
  }
  std::sort(nvidia.begin(), nvidia.end());
  folders.insert(folders.end(), nvidia.begin(), nvidia.end());
  if (const std::string users = Environment("LD_LIBRARY_PATH"); !users.empty()) {
    folders.emplace_back(users);
  }
  for (const char* folder : kDriverFolders) {
    if (fs::exists(fs::path(folder) / "libcuda.so.1")) {
      folders.emplace_back(folder);
    }
  }
  std::string path = folders.front();
  for (size_t i = 1; i < folders.size(); ++i) {
    path += ':';
    path += folders[i];
  }
  return path;
}

}  // namespace

Bundle::Bundle()
    : root_(fs::canonical("/proc/self/exe").parent_path()),
      torch_(FindTorch()),
      library_path_(LibraryPath(root_, torch_.folder)) {
  setenv("GOMP_SPINCOUNT", "10000", 0);  // run by the loader, programs cannot set it themselves
  setenv("REVERIE_LAUNCHER", (root_ / "reverie").c_str(), 1);
  setenv("REVERIE_MODEL_DIR", (root_ / "models").c_str(), 0);
  setenv("REVERIE_DM_CONTROL_DIR", (root_ / "dm_control").c_str(), 0);
  setenv("REVERIE_PLOTLY_JS", (root_ / "plotly.min.js").c_str(), 0);
}

std::vector<std::string> Bundle::Command(const std::string& program, const std::string& name,
                                         const std::vector<std::string>& arguments) const {
  std::vector<std::string> command = {root_ / kLoader,  "--argv0",     name,
                                      "--library-path", library_path_, root_ / program};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (const std::string& string : strings) {
    pointers.push_back(const_cast<char*>(string.c_str()));
  }
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace reverie::package
