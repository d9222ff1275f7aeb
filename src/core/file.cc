#include "reverie/core/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>

namespace reverie {
namespace {

[[noreturn]] void FailToWrite(const std::filesystem::path& path, int error) {
  throw std::runtime_error("cannot write " + path.string() + ": " + std::strerror(error));
}

// Closes at the end, whatever happened.
struct Descriptor {
  int number;
  ~Descriptor() { close(number); }
};

int OpenFolder(const std::filesystem::path& folder) { return open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }

}  // namespace

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

void PartialFile::Write(std::span<const std::string_view> pieces) const {
  const Descriptor file{open(partial_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)};
  if (file.number < 0) {
    FailToWrite(path_, errno);
  }
  for (std::string_view rest : pieces) {
    while (!rest.empty()) {
      const ssize_t written = write(file.number, rest.data(), rest.size());
      if (written < 0 && errno != EINTR) {
        FailToWrite(path_, errno);
      }
      rest.remove_prefix(written < 0 ? 0 : static_cast<size_t>(written));
    }
  }
  if (fsync(file.number) != 0) {
    FailToWrite(path_, errno);
  }
}

void PartialFile::MoveIntoPlace() const {
  if (std::rename(partial_.c_str(), path_.c_str()) != 0) {
    FailToWrite(path_, errno);
  }
  // The name is on the disk when its folder is; a file system that cannot say so is taken as it is.
  const Descriptor folder{OpenFolder(path_.has_parent_path() ? path_.parent_path() : ".")};
  if (folder.number >= 0) {
    fsync(folder.number);
  }
}

void WriteFileWhole(const std::filesystem::path& path, std::string_view bytes) {
  const PartialFile file(path);
  file.Write(bytes);
  file.MoveIntoPlace();
}

void MakeFolder(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) {
    throw std::runtime_error("cannot make the folder " + path.string() + ": " + error.message());
  }
}

std::optional<FolderLock> FolderLock::Take(const std::filesystem::path& folder) {
  FolderLock lock(OpenFolder(folder));
  if (lock.descriptor_ < 0) {
    throw std::runtime_error("cannot open the folder " + folder.string() + ": " + std::strerror(errno));
  }
  if (flock(lock.descriptor_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    return std::nullopt;
  }
  return lock;
}

bool FolderLock::IsTaken(const std::filesystem::path& folder) {
  const FolderLock look(OpenFolder(folder));
  return look.descriptor_ >= 0 && flock(look.descriptor_, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

FolderLock::~FolderLock() {
  if (descriptor_ >= 0) {
    close(descriptor_);
  }
}

FolderLock::FolderLock(FolderLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

FolderLock& FolderLock::operator=(FolderLock&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

}  // namespace reverie
