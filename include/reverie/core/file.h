// Files that are there whole or not at all, and folders that belong to one process at a time.
#ifndef REVERIE_CORE_FILE_H_
#define REVERIE_CORE_FILE_H_

#include <filesystem>
#include <optional>
#include <span>
#include <string>
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

  // The pieces one after another; on the disk, not only on the way to it, when it returns. Throws std::runtime_error
  // naming the path and the system's reason where that fails; what stood at the path is then untouched.
  void Write(std::span<const std::string_view> pieces) const;
  void Write(std::string_view bytes) const { Write({&bytes, 1}); }
  // A power cut from here on leaves the new file or, just before, the old one.
  void MoveIntoPlace() const;

 private:
  std::filesystem::path path_, partial_;
};

// Replaces the file at `path`. Throws as PartialFile does.
void WriteFileWhole(const std::filesystem::path& path, std::string_view bytes);

// The text's XXH3 in 16 digits.
std::string TextDigest(std::string_view text);
// That of the content. Throws std::runtime_error where it cannot be read.
std::string FileDigest(const std::filesystem::path& path);

// A name with "~/" in front of it taken from the user's folder.
std::filesystem::path WithHome(const std::string& name);

// With its parents, where it is not there yet. Throws std::runtime_error naming it.
void MakeFolder(const std::filesystem::path& path);

// A folder held against other processes until the end of this object, by a lock on the file `lock` in it
// (F_OFD_SETLK, which NFS has too). The file stays; it names the process that held it last. Where the file system gives
// no locks the folder is held against nobody, and the log says so once.
class FolderLock {
 public:
  // Nothing where another process holds it. Throws std::runtime_error where the file cannot be written.
  static std::optional<FolderLock> Take(const std::filesystem::path& folder);
  // Whether another process, or this one, holds it. Writes nothing.
  static bool IsTaken(const std::filesystem::path& folder);
  // Who holds it, or held it last: "process 123 on host"; empty where nobody ever did.
  static std::string Holder(const std::filesystem::path& folder);
  // The file's name.
  static constexpr const char* kFile = "lock";

  ~FolderLock();
  FolderLock(FolderLock&& other) noexcept;
  FolderLock& operator=(FolderLock&& other) noexcept;

 private:
  explicit FolderLock(int descriptor) : descriptor_(descriptor) {}

  int descriptor_;
};

}  // namespace reverie

#endif  // REVERIE_CORE_FILE_H_
