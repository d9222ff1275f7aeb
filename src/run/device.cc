#include "reverie/run/device.h"

#include <ATen/Parallel.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <torch/cuda.h>

#include <algorithm>
#include <cstdlib>
#include <stdexcept>

#include "reverie/core/log.h"

namespace reverie {
namespace {

// Why the GPU of that index cannot be used; empty where it can.
std::string WhyNotCuda([[maybe_unused]] int index) {
#if REVERIE_WITH_CUDA
  const int64_t count = GpuCount();
  if (count == 0) {
    return "no GPU with a working driver was found";
  }
  if (index >= count) {
    return "there are " + std::to_string(count) + " GPUs, cuda:0 to cuda:" + std::to_string(count - 1);
  }
  try {
    const torch::Device device(torch::kCUDA, static_cast<c10::DeviceIndex>(index));
    const auto sum = torch::arange(4, torch::TensorOptions(device).dtype(torch::kFloat32)).sum().item<float>();
    return sum == 6.0F ? "" : "its arithmetic is wrong";
  } catch (const std::exception& error) {
    const std::string text = error.what();
    return text.substr(0, text.find('\n'));
  }
#else
  return "this build is without CUDA";
#endif
}

}  // namespace

int64_t GpuCount() {
#if REVERIE_WITH_CUDA
  return torch::cuda::device_count();
#else
  return 0;
#endif
}

bool IsDeviceText(const std::string& text) {
  if (text == "auto" || text == "cpu" || text == "cuda") {
    return true;
  }
  const std::string prefix = "cuda:";
  if (!text.starts_with(prefix)) {
    return false;
  }
  // Two digits at most: LibTorch's device index is a signed byte.
  const std::string index = text.substr(prefix.size());
  return (index.size() == 1 || (index.size() == 2 && index[0] != '0')) &&
         std::all_of(index.begin(), index.end(), [](char c) { return c >= '0' && c <= '9'; });
}

torch::Device ChooseDevice(const std::string& text) {
  if (!IsDeviceText(text)) {
    throw std::invalid_argument("device: " + text + ": expected auto, cpu, cuda or cuda:INDEX");
  }
  if (text == "cpu") {
    return torch::kCPU;
  }
  const size_t colon = text.find(':');
  const int index = colon == std::string::npos ? 0 : std::stoi(text.substr(colon + 1));
  const std::string why_not = WhyNotCuda(index);
  const torch::Device cuda(torch::kCUDA, static_cast<c10::DeviceIndex>(index));
  if (text != "auto") {
    if (!why_not.empty()) {
      throw std::invalid_argument("device: " + text + " was asked for, but " + why_not);
    }
    return cuda;
  }
  if (why_not.empty()) {
    LogInfo("device auto: took " + cuda.str() + ", the first GPU");
    return cuda;
  }
  LogInfo("device auto: took the CPU: " + why_not);
  return torch::kCPU;
}

void UseThreads(int64_t threads) {
  // On several threads MKL's products otherwise differ in their last bit from one run to the next. It reads the
  // variable when it is first called.
  setenv("MKL_CBWR", "AUTO", /*overwrite=*/0);
  at::set_num_threads(static_cast<int>(threads));
}

std::optional<double> PeakDeviceMib(const torch::Device& device) {
  if (device.is_cpu()) {
    return std::nullopt;
  }
  const auto stats = c10::getDeviceAllocator(device.type())->getDeviceStats(device.index());
  constexpr size_t kAllPools = 0;
  return static_cast<double>(stats.allocated_bytes[kAllPools].peak) / (1024.0 * 1024.0);
}

}  // namespace reverie
