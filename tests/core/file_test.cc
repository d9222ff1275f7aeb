#include "reverie/core/file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>

#include "run/file_size_limit.h"

namespace {

enum class Locks { kHere, kNfs, kNone };
Locks locks = Locks::kHere;

int Refuse(int error) {
  errno = error;
  return -1;
}

}  // namespace

// The system calls for locks as another file system does them, in place of the C library's.
extern "C" int fcntl(int descriptor, int command, ...) {
  va_list arguments;
  va_start(arguments, command);
  void* argument = va_arg(arguments, void*);
  va_end(arguments);
  if (locks == Locks::kNone && (command == F_OFD_SETLK || command == F_OFD_GETLK)) {
    return Refuse(ENOLCK);
  }
  return static_cast<int>(syscall(SYS_fcntl, descriptor, command, argument));
}

extern "C" int flock(int descriptor, int operation) noexcept {
  // NFS turns it into a lock on the file's bytes, which needs a descriptor that may write.
  if (locks == Locks::kNone || (locks == Locks::kNfs && (operation & LOCK_EX) != 0 &&
                                (fcntl(descriptor, F_GETFL, nullptr) & O_ACCMODE) == O_RDONLY)) {
    return Refuse(locks == Locks::kNone ? ENOLCK : EBADF);
  }
  return static_cast<int>(syscall(SYS_flock, descriptor, operation));
}

namespace reverie {
namespace {

namespace fs = std::filesystem;

class FileTest : public testing::Test {
 protected:
  FileTest() {
    std::string pattern = (fs::temp_directory_path() / "reverie-file-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
  }
  ~FileTest() override {
    locks = Locks::kHere;
    fs::remove_all(folder_);
  }

  static std::string Content(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  int64_t Count() const { return std::distance(fs::directory_iterator(folder_), fs::directory_iterator()); }

  fs::path folder_;
};

TEST_F(FileTest, AFileIsReplacedWhole) {
  const std::string bytes("two\0lines\n", 10);
  WriteFileWhole(folder_ / "a", "something longer than what follows");
  WriteFileWhole(folder_ / "a", bytes);
  EXPECT_EQ(Content(folder_ / "a"), bytes);
  EXPECT_EQ(Count(), 1);
}

TEST_F(FileTest, UntilMovedIntoPlaceTheOldFileStandsAndAfterwardsNothingIsLeftBeside) {
  WriteFileWhole(folder_ / "a", "old");
  {
    const PartialFile file(folder_ / "a");
    file.Write("new");
    EXPECT_EQ(Content(file.partial()), "new");
  }
  EXPECT_EQ(Content(folder_ / "a"), "old");
  EXPECT_EQ(Count(), 1);
}

TEST_F(FileTest, WhatCannotBeWrittenIsNamed) {
  const auto expect_throw = [](const fs::path& path) {
    try {
      WriteFileWhole(path, "x");
      ADD_FAILURE() << path;
    } catch (const std::runtime_error& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr("cannot write " + path.string()));
    }
  };
  expect_throw(folder_);
  expect_throw(folder_ / "missing" / "a");
}

TEST_F(FileTest, ADigestIsOfAllThatCouldBeRead) {
  WriteFileWhole(folder_ / "a", "");
  EXPECT_EQ(FileDigest(folder_ / "a"), "2d06800538d394c2");  // XXH3 of nothing
  for (const fs::path& path : {folder_ / "missing", folder_, fs::path("/proc/self/mem")}) {
    EXPECT_THAT([&] { FileDigest(path); }, testing::ThrowsMessage<std::runtime_error>("cannot read " + path.string()));
  }
}

// What another process gets: 'y' the lock, 'n' not.
char ToAnotherProcess(const fs::path& folder) {
  const pid_t child = fork();
  if (child == 0) {
    _exit(FolderLock::Take(folder) ? 'y' : 'n');
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return static_cast<char>(WEXITSTATUS(status));
}

TEST_F(FileTest, AFolderIsHeldAgainstAnotherProcessOnNfsToo) {
  for (const Locks kind : {Locks::kHere, Locks::kNfs}) {
    locks = kind;
    {
      const std::optional<FolderLock> lock = FolderLock::Take(folder_);
      EXPECT_TRUE(lock);
      EXPECT_EQ(ToAnotherProcess(folder_), 'n');
      EXPECT_TRUE(FolderLock::IsTaken(folder_));
      EXPECT_FALSE(FolderLock::Take(folder_));
    }
    EXPECT_FALSE(FolderLock::IsTaken(folder_));
    EXPECT_EQ(ToAnotherProcess(folder_), 'y');
  }
}

TEST_F(FileTest, TheLockNamesItsHolder) {
  EXPECT_EQ(FolderLock::Holder(folder_), "");
  std::ofstream(folder_ / "lock") << std::string(100, 'x');  // of a longer name
  const std::optional<FolderLock> lock = FolderLock::Take(folder_);
  std::array<char, 256> host{};
  ASSERT_EQ(gethostname(host.data(), host.size()), 0);
  EXPECT_EQ(FolderLock::Holder(folder_), "process " + std::to_string(getpid()) + " on " + host.data());
}

TEST_F(FileTest, WhereThereAreNoLocksTheLogSaysSoOnceAndTheFolderIsUsedAllTheSame) {
  locks = Locks::kNone;
  testing::internal::CaptureStderr();
  const std::optional<FolderLock> first = FolderLock::Take(folder_);
  const std::optional<FolderLock> second = FolderLock::Take(folder_);
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_TRUE(first && second);
  EXPECT_FALSE(FolderLock::IsTaken(folder_));
  EXPECT_EQ(said, "warning: the file system of " + folder_.string() +
                      " gives no locks (No locks available): nothing keeps a second process from writing there too\n");
}

TEST_F(FileTest, WithoutRoomTheOldFileStands) {
  WriteFileWhole(folder_ / "a", "old");
  const FileSizeLimit limit(10);
  EXPECT_THROW(WriteFileWhole(folder_ / "a", "more than ten letters"), std::runtime_error);
  EXPECT_EQ(Content(folder_ / "a"), "old");
  EXPECT_EQ(Count(), 1);
}

}  // namespace
}  // namespace reverie
