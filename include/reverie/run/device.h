// Choosing where tensors live.
#ifndef REVERIE_RUN_DEVICE_H_
#define REVERIE_RUN_DEVICE_H_

#include <string>

#include "reverie/core/tensor.h"

namespace reverie {

// "auto", "cpu", "cuda" or "cuda:INDEX".
bool IsDeviceText(const std::string& text);

// auto takes the first GPU where there is a usable one, else the CPU, and logs what it took and why.
// Throws std::invalid_argument where cuda is asked for and there is no such GPU: never silently the CPU.
torch::Device ChooseDevice(const std::string& text);

}  // namespace reverie

#endif  // REVERIE_RUN_DEVICE_H_
