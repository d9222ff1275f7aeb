#include "reverie/run/tensorboard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <stdexcept>

#include "oracle.h"
#include "run/file_size_limit.h"

namespace reverie {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

Metrics Loss(double value) {
  Metrics metrics;
  metrics.Set("sac/loss", value);
  return metrics;
}

TEST(Crc32c, MatchesTheCheckValueOfItsDefinition) {
  // The "check" of CRC-32/ISCSI, and RFC 3720's example of 32 bytes of zeros.
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283U);
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8a9136aaU);
}

TEST(TensorBoardWriter, TensorBoardReadsBackTagsStepsValuesAndTimes) {
  const TemporaryFolder folder;
  TensorBoardWriter writer(folder.path());
  for (int64_t i = 0; i < 300; ++i) {
    // Steps and lengths on both sides of every size of a varint up to four bytes.
    Metrics metrics = Loss(static_cast<double>(i) / 7 - 3);
    metrics.Set("time/" + std::string(static_cast<size_t>(i), 'n'), static_cast<double>(i));
    writer.Append(i * i * i, metrics);
  }
  const double now = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  EXPECT_EQ(RunPython("run/tensorboard_oracle.py", folder.path(), "values . " + std::to_string(now)), 0);
}

TEST(TensorBoardWriter, NonFiniteValuesAreKept) {
  const TemporaryFolder folder;
  TensorBoardWriter writer(folder.path());
  writer.Append(1, Loss(std::numeric_limits<double>::quiet_NaN()));
  writer.Append(2, Loss(-std::numeric_limits<double>::infinity()));
  EXPECT_EQ(RunPython("run/tensorboard_oracle.py", folder.path(), "non_finite ."), 0);
}

TEST(TensorBoardWriter, AfterARestartTheStepsBeyondItAreThoseOfTheNewFile) {
  const TemporaryFolder folder;
  {
    TensorBoardWriter writer(folder.path());
    for (int64_t step = 0; step <= 500; step += 100) {
      writer.Append(step, Loss(1));
    }
  }
  TensorBoardWriter writer(folder.path(), 301);
  writer.Append(400, Loss(2));
  EXPECT_EQ(RunPython("run/tensorboard_oracle.py", folder.path(), "restart ."), 0);
}

TEST(TensorBoardWriter, AClockThatIsBehindFoldsNothingBack) {
  const TemporaryFolder folder;
  double now = 0;
  const auto clock = [&now] { return now; };
  // A machine whose clock is right; one a year behind, which is set back further while it writes; one that is hours
  // behind the first; one whose clock is right again.
  int64_t step = 0;
  for (const std::vector<double>& times : std::vector<std::vector<double>>{
           {1.7e9, 1.7e9 + 1000}, {1.67e9, 1.66e9}, {1.69999e9, 1.69999e9 + 500}, {1.71e9, 1.71e9 + 1000}}) {
    now = times[0];
    TensorBoardWriter writer(folder.path(), step == 0 ? std::nullopt : std::optional(step + 1), clock);
    for (const double time : times) {
      now = time;
      ++step;
      writer.Append(step, Loss(static_cast<double>(step)));
    }
    writer.Append(step + 1, Loss(-1));  // beyond the checkpoint that the next one goes on from
  }
  EXPECT_EQ(RunPython("run/tensorboard_oracle.py", folder.path(), "clocks ."), 0);
}

TEST(TensorBoardWriter, ADamagedFileIsGoneOnFrom) {
  const TemporaryFolder folder;
  const auto clock = [] { return 1.7e9; };
  for (int64_t step = 1; step <= 3; ++step) {
    std::filesystem::path path;
    {
      TensorBoardWriter writer(folder.path(), step, clock);
      writer.Append(step, Loss(static_cast<double>(step)));
      path = writer.path();
    }
    std::ofstream(path, std::ios::binary | std::ios::app) << std::string(static_cast<size_t>(7 * step), '\xff');
  }
  EXPECT_EQ(RunPython("run/tensorboard_oracle.py", folder.path(), "damaged ."), 0);
}

TEST(TensorBoardWriter, ADiskWithoutRoomIsAnErrorThatNamesTheFile) {
  const TemporaryFolder folder;
  TensorBoardWriter writer(folder.path());
  const FileSizeLimit limit(100);
  EXPECT_THAT(
      [&] {
        for (int64_t step = 0; step < 100; ++step) {
          writer.Append(step, Loss(1));
        }
      },
      ThrowsMessage<std::runtime_error>(HasSubstr(writer.path().string())));
}

TEST(TensorBoardWriter, AFolderThatIsNotThereIsAnError) {
  const TemporaryFolder folder;
  EXPECT_THAT([&] { TensorBoardWriter(folder.path() / "missing"); },
              ThrowsMessage<std::runtime_error>(HasSubstr("missing")));
}

}  // namespace
}  // namespace reverie
