// Which device a run uses, decided once and said aloud.
#ifndef REVERIE_RUN_DEVICE_H_
#define REVERIE_RUN_DEVICE_H_

#include <cstdint>
#include <optional>
#include <string>

#include "reverie/core/tensor.h"

namespace reverie {

// "auto", "cpu", "cuda" or "cuda:INDEX".
bool IsDeviceText(const std::string& text);

// How many GPUs this build could use; none of them is touched.
int64_t GpuCount();

// The device that `text` means, with its index: "cuda" is cuda:0. A GPU is taken only after a small computation on it
// gave the right answer.
//
// "auto" takes the first GPU where it is usable and the CPU otherwise, and logs which and why. "cuda" and "cuda:INDEX"
// throw std::invalid_argument saying why where that GPU cannot be used, never silently the CPU; so does other text.
torch::Device ChooseDevice(const std::string& text);

// Has LibTorch's CPU operations use that many threads, at least 1, and the same numbers come out of them every time:
// call it before the first of them.
void UseThreads(int64_t threads);

// MiB that tensors on the device took at most so far; empty for the CPU.
std::optional<double> PeakDeviceMib(const torch::Device& device);

}  // namespace reverie

#endif  // REVERIE_RUN_DEVICE_H_
