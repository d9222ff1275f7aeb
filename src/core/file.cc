#include "reverie/core/file.h"

#include <fstream>
#include <stdexcept>

namespace reverie {

PartialFile::PartialFile(const std::filesystem::path& path) : path_(path), partial_(path) {
  partial_ += ".partial";
  if (std::filesystem::is_directory(path)) {
    throw std::runtime_error("cannot write " + path.string() + ": it is a folder");
  }
}

PartialFile::~PartialFile() {
  std::error_code ignored;
  std::filesystem::remove(partial_, ignored);
}

void PartialFile::Write(std::string_view bytes) const {
  std::ofstream file(partial_, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  if (!file) {
    throw std::runtime_error("cannot write " + path_.string());
  }
}

void PartialFile::MoveIntoPlace() const {
  std::error_code error;
  std::filesystem::rename(partial_, path_, error);
  if (error) {
    throw std::runtime_error("cannot write " + path_.string() + ": " + error.message());
  }
}

void WriteFileWhole(const std::filesystem::path& path, std::string_view bytes) {
  const PartialFile file(path);
  file.Write(bytes);
  file.MoveIntoPlace();
}

}  // namespace reverie
