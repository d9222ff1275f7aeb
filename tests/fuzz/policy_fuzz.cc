// The reader of policy.json: a policy that acts and is written back, or std::runtime_error.
#include <stdexcept>

#include "input_file.h"
#include "reverie/policies/export.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace reverie;
  const std::filesystem::path path = InputFile({reinterpret_cast<const char*>(data), size}, "policy.json");
  try {
    const FrozenPolicy policy = ReadPolicyJson(path);
    policy.Mean(torch::zeros({1, policy.obs_dim()}));
    WritePolicyJson(policy, path);
    ReadPolicyJson(path);
  } catch (const std::runtime_error&) {
  }
  return 0;
}
