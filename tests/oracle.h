// For tests that hold our numbers against another program's.
#ifndef REVERIE_TESTS_ORACLE_H_
#define REVERIE_TESTS_ORACLE_H_

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "reverie/core/tensor_file.h"

namespace reverie {

// A folder of the test's own, empty now and removed at the end.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "reverie-test-XXXXXX").string();
    path_ = mkdtemp(name.data());
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// Named tensors as a file that Python's safetensors reads.
inline void WriteTensors(const std::filesystem::path& path,
                         const std::vector<std::pair<std::string, torch::Tensor>>& tensors) {
  TensorFile file;
  for (const auto& [name, tensor] : tensors) {
    file.tensors[name] = tensor.detach().cpu().contiguous();
  }
  WriteTensorFile(path, file);
}

// Runs a Python script of the test tree in `folder`; its exit code.
inline int RunPython(const std::string& script, const std::filesystem::path& folder, const std::string& arguments) {
  const std::string command = "cd " + folder.string() + " && OMP_NUM_THREADS=1 " + REVERIE_TEST_PYTHON + " " +
                              REVERIE_SOURCE_DIR + "/tests/" + script + " " + arguments;
  return std::system(command.c_str());
}

}  // namespace reverie

#endif  // REVERIE_TESTS_ORACLE_H_
