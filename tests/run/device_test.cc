#include "reverie/run/device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/cuda.h>

#include <ATen/Parallel.h>

#include <fstream>
#include <stdexcept>

#include "oracle.h"
#include "reverie/core/log.h"

namespace reverie {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

TEST(Device, NamesAreExactlyThoseOfTheContract) {
  for (const char* text : {"auto", "cpu", "cuda", "cuda:0", "cuda:7", "cuda:15"}) {
    EXPECT_TRUE(IsDeviceText(text)) << text;
  }
  for (const char* text : {"", "gpu", "CPU", "cpu:0", "cuda:", "cuda:-1", "cuda:x", "cuda:01", "cuda:128", "cuda:0 "}) {
    EXPECT_FALSE(IsDeviceText(text)) << text;
    EXPECT_THROW(ChooseDevice(text), std::invalid_argument) << text;
  }
}

TEST(Device, TheCpuIsTakenWhereItIsAskedFor) { EXPECT_EQ(ChooseDevice("cpu"), torch::Device(torch::kCPU)); }

TEST(Device, AGpuThatIsNotThereIsRefusedWithTheReason) {
  const c10::DeviceIndex gpus = torch::cuda::device_count();
  const std::string beyond = "cuda:" + std::to_string(gpus);
  EXPECT_THAT([&] { ChooseDevice(beyond); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("device: " + beyond + " was asked for, but ")));
  if (gpus == 0) {
    EXPECT_THROW(ChooseDevice("cuda"), std::invalid_argument);
  }
}

TEST(Device, AutoLogsWhatItTook) {
  const TemporaryFolder folder;
  LogToFile(folder.path() / "log.txt");
  const torch::Device device = ChooseDevice("auto");
  StopLogToFile();
  std::ifstream file(folder.path() / "log.txt");
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  EXPECT_THAT(text, HasSubstr(device.is_cpu() ? "device auto: took the CPU: " : "device auto: took " + device.str()));
}

TEST(Device, ThreadsAreThoseAskedFor) {
  for (const int threads : {1, 3, 2}) {
    UseThreads(threads);
    EXPECT_EQ(at::get_num_threads(), threads);
  }
}

TEST(Device, MemoryOfTheCpuIsNotCountedByDevice) { EXPECT_EQ(PeakDeviceMib(torch::kCPU), std::nullopt); }

}  // namespace
}  // namespace reverie
