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
