// The bytes that a fuzzer made up, as a file in memory.
#ifndef REVERIE_TESTS_FUZZ_INPUT_FILE_H_
#define REVERIE_TESTS_FUZZ_INPUT_FILE_H_

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace reverie {

// A folder of this process, removed at its end.
inline const std::filesystem::path& FuzzFolder() {
  struct Folder {
    std::filesystem::path path = "/dev/shm/reverie-fuzz-" + std::to_string(getpid());
    Folder() { std::filesystem::create_directories(path); }
    ~Folder() { std::filesystem::remove_all(path); }
  };
  static const Folder folder;
  return folder.path;
}

inline std::filesystem::path InputFile(std::string_view bytes, const std::string& name) {
  const std::filesystem::path path = FuzzFolder() / name;
  std::ofstream(path, std::ios::binary | std::ios::trunc)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  return path;
}

}  // namespace reverie

#endif  // REVERIE_TESTS_FUZZ_INPUT_FILE_H_
