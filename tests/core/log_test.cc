#include "reverie/core/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "run/file_size_limit.h"

namespace reverie {
namespace {

using testing::AllOf;
using testing::ContainsRegex;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::SizeIs;

class LogTest : public testing::Test {
 protected:
  LogTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "reverie-log-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
  }
  ~LogTest() override {
    StopLogToFile();
    std::filesystem::remove_all(folder_);
  }

  std::vector<std::string> Lines(const char* name) const {
    std::ifstream file(folder_ / name);
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line);) {
      lines.push_back(line);
    }
    return lines;
  }

  std::filesystem::path folder_;
};

TEST_F(LogTest, AFileBeginsWithWhatWasSaidBeforeItAndEachMessageGoesToOneFile) {
  LogInfo("before");
  LogToFile(folder_ / "first");
  LogWarning("during");
  StopLogToFile();
  LogInfo("between");
  LogToFile(folder_ / "second");
  StopLogToFile();
  EXPECT_THAT(Lines("first"), ElementsAre(EndsWith("info: before"), EndsWith("warning: during")));
  EXPECT_THAT(Lines("second"), ElementsAre(EndsWith("info: between")));
}

TEST_F(LogTest, AFileWithoutRoomIsSaidOnceOnTheConsoleAndNothingElseIsLost) {
  LogToFile(folder_ / "log");
  LogInfo(std::string(5000, '.'));  // more than stderr will take, which the limit is for too
  {
    const FileSizeLimit limit(std::filesystem::file_size(folder_ / "log"));
    testing::internal::CaptureStderr();
    LogInfo("one");
    LogInfo("two");
    EXPECT_THAT(testing::internal::GetCapturedStderr(),
                AllOf(HasSubstr("info: one"), HasSubstr("info: two"),
                      ContainsRegex("error: log.txt cannot be written: .*File too large\n[^\n]*info: two\n$")));
  }
  LogInfo("three");
  EXPECT_THAT(Lines("log").back(), EndsWith("info: three"));
}

TEST_F(LogTest, OnlyTheLastHundredWait) {
  for (int i = 0; i < 250; ++i) {
    LogInfo(std::to_string(i));
  }
  LogToFile(folder_ / "log");
  EXPECT_THAT(Lines("log"), SizeIs(100));
  EXPECT_THAT(Lines("log").front(), EndsWith("info: 150"));
}

}  // namespace
}  // namespace reverie
