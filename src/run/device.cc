#include "reverie/run/device.h"

#include <torch/cuda.h>

#include <algorithm>
#include <stdexcept>

#include "reverie/core/log.h"

namespace reverie {

bool IsDeviceText(const std::string& text) {
  if (text == "auto" || text == "cpu" || text == "cuda") {
    return true;
  }
  const std::string prefix = "cuda:";
  return text.starts_with(prefix) && text.size() > prefix.size() && text.size() <= prefix.size() + 3 &&
         std::all_of(text.begin() + static_cast<std::ptrdiff_t>(prefix.size()), text.end(),
                     [](unsigned char c) { return std::isdigit(c) != 0; });
}

torch::Device ChooseDevice(const std::string& text) {
  if (!IsDeviceText(text)) {
    throw std::invalid_argument("device: expected auto, cpu, cuda or cuda:INDEX, got " + text);
  }
  if (text == "cpu") {
    return torch::kCPU;
  }
  const auto gpus = torch::cuda::is_available() ? static_cast<int64_t>(torch::cuda::device_count()) : 0;
  if (text == "auto") {
    if (gpus > 0) {
      LogInfo("device auto: cuda:0, the first of " + std::to_string(gpus) + " usable GPUs");
      return {torch::kCUDA, 0};
    }
    LogInfo(REVERIE_WITH_CUDA ? "device auto: the CPU, because no usable GPU was found"
                              : "device auto: the CPU, because this program was built without CUDA");
    return torch::kCPU;
  }
  const int64_t index = text == "cuda" ? 0 : std::stoll(text.substr(5));
  if (index >= gpus) {
    throw std::invalid_argument("device: " + text + " was asked for, but " +
                                (REVERIE_WITH_CUDA ? "there are " + std::to_string(gpus) + " usable GPUs"
                                                   : std::string("this program was built without CUDA")));
  }
  return {torch::kCUDA, static_cast<c10::DeviceIndex>(index)};
}

}  // namespace reverie
