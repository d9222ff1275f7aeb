// Files that are there whole or not at all.
#ifndef REVERIE_CORE_FILE_H_
#define REVERIE_CORE_FILE_H_

#include <filesystem>
#include <string_view>

namespace reverie {

// A file written under a temporary name beside its own, "<path>.partial": gone again unless it is moved into place.
class PartialFile {
 public:
  // Throws std::runtime_error where `path` is a folder.
  explicit PartialFile(const std::filesystem::path& path);
  ~PartialFile();
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  const std::filesystem::path& partial() const { return partial_; }

  // Throws std::runtime_error naming the path where that fails; what stood at the path is then untouched.
  void Write(std::string_view bytes) const;
  void MoveIntoPlace() const;

 private:
  std::filesystem::path path_, partial_;
};

// Replaces the file at `path`. Throws as PartialFile does.
void WriteFileWhole(const std::filesystem::path& path, std::string_view bytes);

}  // namespace reverie

#endif  // REVERIE_CORE_FILE_H_
