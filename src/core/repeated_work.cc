#include "reverie/core/repeated_work.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <optional>
#include <stdexcept>
#include <utility>

#include "reverie/core/log.h"
#include "reverie/core/text.h"

#if REVERIE_WITH_CUDA
#include <ATen/core/CachingHostAllocator.h>
#include <ATen/cuda/CUDAGeneratorImpl.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#endif

namespace reverie {
namespace {

constexpr const char* kCheckVariable = "REVERIE_CHECK_GRAPHS";

// How far a replay may be from the work, of what the work changed: sums may be taken in another order, and where Adam
// divides a gradient of next to nothing by its own size, that can turn single numbers round.
constexpr double kTolerance = 1e-2;
// What float32 leaves of a number is that much of it uncertain, however little the work changed it.
constexpr double kRounding = 1e-6;

int64_t CheckEvery() {
  const char* text = std::getenv(kCheckVariable);
  if (text == nullptr || *text == '\0') {
    return 0;
  }
  const std::optional<int64_t> every = ParseNumber<int64_t>(text);
  if (!every || *every < 1) {
    throw std::invalid_argument(std::string(kCheckVariable) + ": expected a positive integer, got " + text);
  }
  return *every;
}

std::string FirstLine(const std::string& text) { return text.substr(0, text.find('\n')); }

RepeatedWork::NamedTensors Copies(const RepeatedWork::NamedTensors& tensors) {
  RepeatedWork::NamedTensors copies;
  for (const auto& [name, tensor] : tensors) {
    copies[name] = tensor.clone();
  }
  return copies;
}

// |tensor - expected| / (|expected - before| + kRounding / kTolerance |expected|), Euclidean norms of float64 numbers;
// infinite where numbers that are not finite differ.
double Distance(const torch::Tensor& tensor, const torch::Tensor& expected, const torch::Tensor& before) {
  const torch::Tensor ours = tensor.to(torch::kFloat64);
  const torch::Tensor theirs = expected.to(torch::kFloat64);
  const torch::Tensor finite = theirs.isfinite();
  const torch::Tensor same = ours.eq(theirs).logical_or(ours.isnan().logical_and(theirs.isnan()));
  if (!same.logical_or(finite.logical_and(ours.isfinite())).all().item<bool>()) {
    return std::numeric_limits<double>::infinity();
  }
  const auto norm = [](const torch::Tensor& x) { return at::where(x.isfinite(), x, 0).norm().item<double>(); };
  const double apart = norm(ours - theirs);
  return apart == 0 ? 0 : apart / (norm(theirs - before.to(torch::kFloat64)) + kRounding / kTolerance * norm(theirs));
}

#if REVERIE_WITH_CUDA

// What throws here is no news: the capture has failed already.
template <class Call>
void Attempt(const Call& call) {
  try {
    call();
  } catch (const std::exception&) {
  }
}

class CudaGraph final : public Recording, private at::cuda::CUDAGraph {
 public:
  void Replay() override { replay(); }

 private:
  friend class CudaCapture;
};

// While it lives, work that is queued on the device's current stream, which it sets, is captured in `graph`.
class CudaCapture {
 public:
  CudaCapture(CudaGraph& graph, const torch::Device& device, const std::vector<torch::Generator>& generators)
      : graph_(graph), stream_(CaptureStream(device)) {
    for (const torch::Generator& generator : generators) {
      graph_.register_generator_state(generator);
    }
    try {
      graph_.capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
    } catch (const std::exception&) {
      Abandon();
      throw;
    }
  }

  void End() {
    graph_.capture_end();
    stream_.current_stream().synchronize();  // generators queued what a replay on another stream relies on
  }

  // Still on the stream of the capture, which alone can end it.
  ~CudaCapture() {
    if (!graph_.capture_ended_) {
      Abandon();
    }
  }
  CudaCapture(const CudaCapture&) = delete;
  CudaCapture& operator=(const CudaCapture&) = delete;

 private:
  // One for a process: each stream that anything was captured on keeps a workspace of the matrix products.
  static c10::cuda::CUDAStream CaptureStream(const torch::Device& device) {
    static std::map<c10::DeviceIndex, c10::cuda::CUDAStream> streams;
    const auto known = streams.find(device.index());
    return known != streams.end()
               ? known->second
               : streams.emplace(device.index(), c10::cuda::getStreamFromPool(false, device.index())).first->second;
  }

  // LibTorch ends a capture that has become invalid on the stream alone: allocators would go on to ask a graph that is
  // no more whether memory is its, and generators would refuse to draw.
  void Abandon() {
    Attempt([&] { graph_.capture_end(); });
    if (graph_.capture_ended_) {
      return;
    }
    for (const auto& [state, increment] : graph_.captured_generator_states_) {
      state->capturing_ = false;
    }
    const c10::DeviceIndex device = stream_.current_device().index();
    // Each may have been done by the call that failed, which then throws.
    at::HostAllocator* const host = at::getHostAllocator(at::kCUDA);
    Attempt([&] { c10::cuda::CUDACachingAllocator::endAllocateToPool(device, graph_.mempool_id_); });
    Attempt([&] { c10::cuda::CUDACachingAllocator::releasePool(device, graph_.mempool_id_); });
    Attempt([&] { host->end_allocate_to_pool(graph_.mempool_id_); });
    Attempt([&] { host->release_pool(graph_.mempool_id_); });
  }

  CudaGraph& graph_;
  c10::cuda::CUDAStreamGuard stream_;
};

class CudaRecorder final : public Recorder {
 public:
  CudaRecorder(const torch::Device& device, std::vector<torch::Generator> generators)
      : device_(device), generators_(std::move(generators)) {}

  std::unique_ptr<Recording> Record(c10::function_ref<void()> work) override {
    // A capture sets the seed and offset that graphs of the same generators read, and one may be replayed still.
    c10::cuda::getCurrentCUDAStream(device_.index()).synchronize();
    auto graph = std::make_unique<CudaGraph>();
    CudaCapture capture(*graph, device_, generators_);
    work();
    capture.End();
    return graph;
  }

 private:
  torch::Device device_;
  std::vector<torch::Generator> generators_;
};

#endif

std::unique_ptr<Recorder> RecorderOf([[maybe_unused]] const torch::Device& device,
                                     [[maybe_unused]] const std::vector<torch::Generator>& generators) {
#if REVERIE_WITH_CUDA
  if (device.is_cuda()) {
    return std::make_unique<CudaRecorder>(device, generators);
  }
#endif
  return nullptr;
}

}  // namespace

RepeatedWork::RepeatedWork(std::string name, std::unique_ptr<Recorder> recorder,
                           std::vector<torch::Generator> generators)
    : name_(std::move(name)),
      generators_(std::move(generators)),
      recorder_(std::move(recorder)),
      check_every_(recorder_ ? CheckEvery() : 0) {}

RepeatedWork::RepeatedWork(std::string name, const torch::Device& device, std::vector<torch::Generator> generators)
    : RepeatedWork(std::move(name), RecorderOf(device, generators), generators) {}

RepeatedWork::~RepeatedWork() = default;
RepeatedWork::RepeatedWork(RepeatedWork&&) noexcept = default;
RepeatedWork& RepeatedWork::operator=(RepeatedWork&&) noexcept = default;

void RepeatedWork::Run(const std::vector<int64_t>& key, c10::function_ref<void()> work,
                       c10::function_ref<NamedTensors()> changed) {
  if (!recorder_) {
    work();
    return;
  }
  if (key != key_) {
    key_ = key;
    calls_ = 0;
  }
  const int64_t calls = calls_++;
  if (calls == 0) {
    work();
  } else if (calls == 1) {
    RecordAndReplay(work);
  } else if (changed && check_every_ > 0 && ++replays_ % check_every_ == 0) {
    CheckedReplay(work, changed());
  } else {
    recording_->Replay();
  }
}

void RepeatedWork::RecordAndReplay(c10::function_ref<void()> work) {
  const bool first = !recording_;
  try {
    recording_ = recorder_->Record(work);
  } catch (const std::exception& error) {
    LogWarning(name_ +
               " cannot be captured as a CUDA graph and goes on operation by operation: " + FirstLine(error.what()));
    recorder_.reset();
    recording_.reset();
    work();
    return;
  }
  if (first) {
    LogInfo(name_ + ": captured as a CUDA graph");
  }
  recording_->Replay();
}

void RepeatedWork::CheckedReplay(c10::function_ref<void()> work, const NamedTensors& changed) {
  const torch::NoGradGuard no_grad;
  const NamedTensors before = Copies(changed);
  std::vector<torch::Tensor> streams;
  for (const torch::Generator& generator : generators_) {
    streams.push_back(generator.get_state());
  }
  work();
  const NamedTensors expected = Copies(changed);
  std::vector<torch::Tensor> expected_streams;
  for (size_t i = 0; i < generators_.size(); ++i) {
    expected_streams.push_back(generators_[i].get_state());
    generators_[i].set_state(streams[i]);
  }
  for (const auto& [name, tensor] : changed) {
    torch::Tensor(tensor).copy_(before.at(name));
  }
  recording_->Replay();
  const auto differs = [this](const std::string& what) {
    throw std::runtime_error(name_ + ": replay " + std::to_string(replays_) +
                             " of its CUDA graph differs from the work: " + what);
  };
  for (const auto& [name, tensor] : changed) {
    const double distance = Distance(tensor, expected.at(name), before.at(name));
    if (!(distance <= kTolerance)) {
      differs(Text(name, " by ", distance, " of what the work changed"));
    }
  }
  for (size_t i = 0; i < generators_.size(); ++i) {
    if (!generators_[i].get_state().equal(expected_streams[i])) {
      differs("random stream " + std::to_string(i) + " was drawn from another number of times");
    }
  }
}

}  // namespace reverie
