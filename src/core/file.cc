#include "reverie/core/file.h"

#define XXH_INLINE_ALL
#include <fcntl.h>
#include <unistd.h>
#include <xxhash.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

#include "reverie/core/host.h"
#include "reverie/core/log.h"

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

// A lock that nobody else may have too.
struct flock WholeFile() {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return lock;
}

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
  const std::filesystem::path parent = path_.has_parent_path() ? path_.parent_path() : ".";
  const Descriptor folder{open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (folder.number >= 0) {
    fsync(folder.number);
  }
}

void WriteFileWhole(const std::filesystem::path& path, std::string_view bytes) {
  const PartialFile file(path);
  file.Write(bytes);
  file.MoveIntoPlace();
}

std::string TextDigest(std::string_view text) {
  std::array<char, 17> digits{};
  std::snprintf(digits.data(), digits.size(), "%016llx",
                static_cast<unsigned long long>(XXH3_64bits(text.data(), text.size())));
  return digits.data();
}

std::string FileDigest(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  if (file && file.peek() != std::ifstream::traits_type::eof()) {
    content << file.rdbuf();
  }
  if (!file.is_open() || file.bad() || !content) {
    throw std::runtime_error("cannot read " + path.string());
  }
  return TextDigest(content.str());
}

std::filesystem::path WithHome(const std::string& name) {
  const char* home = std::getenv("HOME");
  if (home != nullptr && name.starts_with("~/")) {
    return std::filesystem::path(home) / name.substr(2);
  }
  return name;
}

void MakeFolder(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) {
    throw std::runtime_error("cannot make the folder " + path.string() + ": " + error.message());
  }
}

std::optional<FolderLock> FolderLock::Take(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / kFile;
  FolderLock lock(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (lock.descriptor_ < 0) {
    FailToWrite(path, errno);
  }
  struct flock whole = WholeFile();
  if (fcntl(lock.descriptor_, F_OFD_SETLK, &whole) != 0) {
    if (errno == EAGAIN || errno == EACCES) {
      return std::nullopt;
    }
    static std::once_flag said;
    std::call_once(said, [&, reason = errno] {
      LogWarning("the file system of " + folder.string() + " gives no locks (" + std::strerror(reason) +
                 "): nothing keeps a second process from writing there too");
    });
  }
  const std::string holder = "process " + std::to_string(getpid()) + " on " + HostName() + "\n";
  if (ftruncate(lock.descriptor_, 0) != 0 || write(lock.descriptor_, holder.data(), holder.size()) < 0) {
    FailToWrite(path, errno);
  }
  return lock;
}

bool FolderLock::IsTaken(const std::filesystem::path& folder) {
  const FolderLock look(open((folder / kFile).c_str(), O_RDONLY | O_CLOEXEC));
  struct flock whole = WholeFile();
  return look.descriptor_ >= 0 && fcntl(look.descriptor_, F_OFD_GETLK, &whole) == 0 && whole.l_type != F_UNLCK;
}

std::string FolderLock::Holder(const std::filesystem::path& folder) {
  std::ifstream file(folder / kFile);
  std::string holder;
  std::getline(file, holder);
  return holder;
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
