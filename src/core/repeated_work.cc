#include "reverie/core/repeated_work.h"

#include <utility>

#include "reverie/core/log.h"

#if REVERIE_WITH_CUDA
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#endif

namespace reverie {

#if REVERIE_WITH_CUDA

struct RepeatedWork::Graph {
  at::cuda::CUDAGraph graph;
};

void RepeatedWork::Capture(c10::function_ref<void()> work) {
  auto captured = std::make_unique<Graph>();
  for (const torch::Generator& generator : generators_) {
    captured->graph.register_generator_state(generator);
  }
  bool begun = false;
  try {
    const c10::cuda::CUDAStreamGuard side(c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device_.index()));
    captured->graph.capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
    begun = true;
    work();
    begun = false;
    captured->graph.capture_end();
  } catch (const std::exception& error) {
    if (begun) {
      try {
        captured->graph.capture_end();
      } catch (const std::exception&) {
        // That the capture is void is known already.
      }
    }
    const std::string reason = error.what();
    LogWarning(name_ + " cannot be captured as a CUDA graph and goes on operation by operation: " +
               reason.substr(0, reason.find('\n')));
    capturable_ = false;
    work();
    return;
  }
  if (!graph_) {
    LogInfo(name_ + ": captured as a CUDA graph");
  }
  graph_ = std::move(captured);
  graph_->graph.replay();
}

void RepeatedWork::Run(const std::vector<int64_t>& key, c10::function_ref<void()> work) {
  if (!capturable_) {
    work();
    return;
  }
  if (key != key_) {
    key_ = key;
    calls_ = 0;
  }
  switch (calls_) {
    case 0:
      ++calls_;
      work();
      return;
    case 1:
      ++calls_;
      Capture(work);
      return;
    default:
      graph_->graph.replay();
  }
}

#else

struct RepeatedWork::Graph {};

void RepeatedWork::Run(const std::vector<int64_t>&, c10::function_ref<void()> work) { work(); }

#endif

RepeatedWork::RepeatedWork(std::string name, const torch::Device& device, std::vector<torch::Generator> generators)
    : name_(std::move(name)), device_(device), generators_(std::move(generators)), capturable_(device.is_cuda()) {}
RepeatedWork::~RepeatedWork() = default;
RepeatedWork::RepeatedWork(RepeatedWork&&) noexcept = default;
RepeatedWork& RepeatedWork::operator=(RepeatedWork&&) noexcept = default;

}  // namespace reverie
