#include <gtest/gtest.h>
#include <torch/cuda.h>

#include "reverie/run/device.h"

namespace reverie {
namespace {

class GpuDevice : public testing::Test {
 protected:
  void SetUp() override {
    if (torch::cuda::device_count() == 0) {
      GTEST_SKIP() << "no GPU";
    }
  }
};

TEST_F(GpuDevice, CudaAndAutoAreTheFirstGpuWithItsIndex) {
  EXPECT_EQ(ChooseDevice("cuda"), torch::Device(torch::kCUDA, 0));
  EXPECT_EQ(ChooseDevice("auto"), torch::Device(torch::kCUDA, 0));
}

TEST_F(GpuDevice, ThePeakOfItsMemoryRemembersWhatWasFreed) {
  const torch::Device device = ChooseDevice("cuda");
  constexpr int64_t kMib = 64;
  { const torch::Tensor block = torch::empty({kMib << 20}, torch::TensorOptions(device).dtype(torch::kUInt8)); }
  EXPECT_GE(PeakDeviceMib(device).value(), static_cast<double>(kMib));
}

}  // namespace
}  // namespace reverie
