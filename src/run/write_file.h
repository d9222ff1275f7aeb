// Files that are there whole or not at all.
#ifndef REVERIE_SRC_RUN_WRITE_FILE_H_
#define REVERIE_SRC_RUN_WRITE_FILE_H_

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string_view>

namespace reverie {

// Replaces the file at `path`. Throws std::runtime_error naming it where that fails; the old one is then untouched.
inline void WriteFileWhole(const std::filesystem::path& path, std::string_view content) {
  std::filesystem::path temporary = path;
  temporary += ".partial";
  std::error_code error;
  {
    std::ofstream file(temporary, std::ios::binary | std::ios::trunc);
    file.write(content.data(), static_cast<std::streamsize>(content.size()));
    file.close();
    if (!file) {
      std::filesystem::remove(temporary, error);
      throw std::runtime_error("cannot write " + path.string());
    }
  }
  std::filesystem::rename(temporary, path, error);
  if (error) {
    const std::string why = error.message();
    std::filesystem::remove(temporary, error);
    throw std::runtime_error("cannot write " + path.string() + ": " + why);
  }
}

}  // namespace reverie

#endif  // REVERIE_SRC_RUN_WRITE_FILE_H_
