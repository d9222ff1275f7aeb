// The device that a test of a binary that runs twice (tests/CMakeLists.txt) is to use.
#ifndef REVERIE_TESTS_DEVICE_H_
#define REVERIE_TESTS_DEVICE_H_

#include <gtest/gtest.h>
#include <torch/cuda.h>
#include <torch/types.h>

#include <cstdlib>
#include <string>

namespace reverie {

inline torch::Device TestDevice() {
  const char* name = std::getenv("REVERIE_TEST_DEVICE");
  return name == nullptr ? torch::Device(torch::kCPU) : torch::Device(std::string(name));
}

// A fixture whose tests are skipped where their device is not there.
template <class Base>
class OnTestDevice : public Base {
 protected:
  void SetUp() override {
    if (device_.is_cuda() && torch::cuda::device_count() == 0) {
      GTEST_SKIP() << "no GPU";
    }
  }

  torch::Device device_ = TestDevice();
};

}  // namespace reverie

#endif  // REVERIE_TESTS_DEVICE_H_
