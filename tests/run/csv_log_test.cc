#include "reverie/run/csv_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <sstream>
#include <stdexcept>

#include "oracle.h"
#include "run/file_size_limit.h"

namespace reverie {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::ThrowsMessage;

std::string Text(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

Metrics Row(const std::vector<std::pair<std::string, double>>& values) {
  Metrics row;
  for (const auto& [name, value] : values) {
    row.Set(name, value);
  }
  return row;
}

class CsvLogTest : public testing::Test {
 protected:
  TemporaryFolder folder_;
  fs::path path_ = folder_.path() / "log.csv";
};

TEST_F(CsvLogTest, ANameThatAppearsLaterWidensTheFileAndLeavesEarlierRowsEmptyThere) {
  CsvLog log = CsvLog::Create(path_, {"a"});
  log.Append(10, Row({{"a", 1}}));
  log.Append(20, Row({{"b", 2}, {"a", 3}}));
  log.Append(30, Row({{"b", 4}}));
  EXPECT_EQ(Text(path_), "env_step,a,b\n10,1,\n20,3,2\n30,,4\n");
}

TEST_F(CsvLogTest, EveryRowIsInTheFileWhenAppendReturns) {
  CsvLog log = CsvLog::Create(path_, {"a"});
  EXPECT_EQ(Text(path_), "env_step,a\n");
  log.Append(1, Row({{"a", 0.5}}));
  EXPECT_EQ(Text(path_), "env_step,a\n1,0.5\n");
}

TEST_F(CsvLogTest, NumbersReadBackToTheSameDouble) {
  const std::vector<double> values = {0.1,     1.0 / 3,  -2.5e-300, 1e300, 123456789012345680.0,
                                      100'000, -1000000, 5e-324,    -0.0,  std::nextafter(1.0, 2.0)};
  CsvLog log = CsvLog::Create(path_, {"x"});
  for (const double value : values) {
    log.Append(0, Row({{"x", value}}));
  }
  std::istringstream lines(Text(path_));
  std::string line;
  std::getline(lines, line);
  for (const double value : values) {
    std::getline(lines, line);
    const double read = std::strtod(line.substr(2).c_str(), nullptr);
    EXPECT_EQ(read, value) << line;
    EXPECT_EQ(std::signbit(read), std::signbit(value)) << line;
  }
}

TEST_F(CsvLogTest, WholeNumbersAreWrittenAsSuchAndOthersByWord) {
  const double inf = std::numeric_limits<double>::infinity();
  CsvLog log = CsvLog::Create(path_, {});
  log.Append(100'000, Row({{"whole", 100'000}, {"inf", inf}, {"minus", -inf}, {"nan", std::nan("")}}));
  EXPECT_EQ(Text(path_), "env_step,whole,inf,minus,nan\n100000,100000,inf,-inf,nan\n");
}

TEST_F(CsvLogTest, ResumingCutsOffLaterRowsAndGoesOn) {
  {
    CsvLog log = CsvLog::Create(path_, {"a"});
    for (const int64_t step : {0, 100, 200, 300}) {
      log.Append(step, Row({{"a", static_cast<double>(step)}}));
    }
  }
  CsvLog log = CsvLog::Resume(path_, 200);
  log.Append(300, Row({{"a", -1}, {"b", 1}}));
  EXPECT_EQ(Text(path_), "env_step,a,b\n0,0,\n100,100,\n200,200,\n300,-1,1\n");
}

TEST_F(CsvLogTest, ResumingDropsALineThatWasNotWrittenToItsEnd) {
  std::ofstream(path_) << "env_step,a\n10,1\n20,";
  CsvLog log = CsvLog::Resume(path_, 1000);
  log.Append(20, Row({{"a", 2}}));
  EXPECT_EQ(Text(path_), "env_step,a\n10,1\n20,2\n");
}

TEST_F(CsvLogTest, ALogThatASpreadsheetProgramHasSavedGoesOnAsItWas) {
  std::ofstream(path_, std::ios::binary) << "\xef\xbb\xbf\"env_step\",\"a\"\r\n10,\"1\"\r\n\"20\",2\r\n30,3\r\n";
  CsvLog log = CsvLog::Resume(path_, 20);
  log.Append(30, Row({{"b", 4}}));
  EXPECT_EQ(Text(path_), "env_step,a,b\n10,1,\n20,2,\n30,,4\n");
}

TEST_F(CsvLogTest, ResumingRefusesARowThatDoesNotFitTheHeader) {
  std::ofstream(path_) << "env_step,a\n10,1\n20,2,3\n";
  EXPECT_THAT([&] { CsvLog::Resume(path_, 1000); }, ThrowsMessage<std::invalid_argument>(HasSubstr("log.csv:3: ")));
}

TEST_F(CsvLogTest, ResumingRefusesAStepThatIsNoNumberAlsoBeyondTheCut) {
  std::ofstream(path_) << "env_step,a\n10,1\n20,2\nx,3\n";
  EXPECT_THAT([&] { CsvLog::Resume(path_, 10); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("log.csv:4: env_step: expected a whole number, got x")));
}

TEST_F(CsvLogTest, ResumingRefusesAnotherKindOfFile) {
  std::ofstream(path_) << "step,a\n10,1\n";
  EXPECT_THAT([&] { CsvLog::Resume(path_, 1000); }, ThrowsMessage<std::invalid_argument>(HasSubstr("log.csv")));
}

TEST_F(CsvLogTest, ResumingRefusesMoreColumnsThanAnyLogHas) {
  std::ofstream(path_) << "env_step" << std::string(10'000, ',') << "\n";
  EXPECT_THAT([&] { CsvLog::Resume(path_, 1000); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("log.csv: has more than 10000 columns")));
}

TEST_F(CsvLogTest, ANameThatWouldBreakTheFileIsRefused) {
  CsvLog log = CsvLog::Create(path_, {});
  EXPECT_THROW(log.Append(0, Row({{"a,b", 1}})), std::logic_error);
}

TEST_F(CsvLogTest, ADiskWithoutRoomIsAnErrorThatNamesTheFile) {
  {
    CsvLog log = CsvLog::Create(path_, {"a"});
    const auto append = [&log](int64_t step) { log.Append(step, Row({{"a", 1}})); };
    {
      const FileSizeLimit limit(21);
      append(1);
      append(2);
      EXPECT_THAT([&] { append(3); },
                  ThrowsMessage<std::runtime_error>("cannot write " + path_.string() + ": File too large"));
    }
    EXPECT_THAT([&] { append(4); },
                ThrowsMessage<std::runtime_error>("cannot write " + path_.string() + " after the write that failed"));
  }
  EXPECT_EQ(Text(path_), "env_step,a\n1,1\n2,1\n3,");  // and nothing of it again, when there was room
}

TEST_F(CsvLogTest, WideningWithoutRoomLeavesTheFileAsItWas) {
  CsvLog log = CsvLog::Create(path_, {"a"});
  log.Append(1, Row({{"a", 1}}));
  const FileSizeLimit limit(20);
  EXPECT_THAT(
      [&] {
        log.Append(2, Row({{"a long name", 1}}));
      },
      ThrowsMessage<std::runtime_error>(HasSubstr(path_.string())));
  EXPECT_EQ(Text(path_), "env_step,a\n1,1\n");
  EXPECT_FALSE(fs::exists(path_.string() + ".partial"));
}

}  // namespace
}  // namespace reverie
