#include "reverie/core/version.h"

#include <ATen/detail/CUDAHooksInterface.h>
#include <mujoco/mujoco.h>
#include <torch/version.h>

#include "reverie_version.h"

namespace reverie {

std::string Version() { return REVERIE_VERSION; }

std::string GitRevision() { return REVERIE_GIT_REVISION; }

std::vector<std::pair<std::string, std::string>> LibraryVersions() {
  std::string cuda = "no";
#if REVERIE_WITH_CUDA
  const auto version = at::detail::getCUDAHooks().versionCUDART();  // 1000 major + 10 minor
  cuda = "yes (" + std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10) + ")";
#endif
  return {{"LibTorch", TORCH_VERSION},
          {"CUDA", cuda},
          {"MuJoCo", mj_versionString()},
          {"yaml-cpp", REVERIE_YAML_CPP_VERSION},
          {"spdlog", REVERIE_SPDLOG_VERSION}};
}

}  // namespace reverie
