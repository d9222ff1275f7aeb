#include "reverie/core/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>

#include "run/file_size_limit.h"

namespace reverie {
namespace {

namespace fs = std::filesystem;

class FileTest : public testing::Test {
 protected:
  FileTest() {
    std::string pattern = (fs::temp_directory_path() / "reverie-file-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
  }
  ~FileTest() override { fs::remove_all(folder_); }

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

TEST_F(FileTest, WithoutRoomTheOldFileStands) {
  WriteFileWhole(folder_ / "a", "old");
  const FileSizeLimit limit(10);
  EXPECT_THROW(WriteFileWhole(folder_ / "a", "more than ten letters"), std::runtime_error);
  EXPECT_EQ(Content(folder_ / "a"), "old");
  EXPECT_EQ(Count(), 1);
}

}  // namespace
}  // namespace reverie
