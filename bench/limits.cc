// What the machine can do at most: rates of plain matrix products, and on a GPU the cost of a launch.
#include <ATen/ATen.h>
#include <benchmark/benchmark.h>
#include <torch/cuda.h>

#include "reverie/core/repeated_work.h"
#include "reverie/run/device.h"

namespace reverie {
namespace {

// [m, k] x [k, n] on one device. Items are floating-point operations.
void Products(benchmark::State& state, int64_t m, int64_t k, int64_t n, const torch::Device& device) {
  const int64_t products = device.is_cuda() ? 100 : 1;
  const torch::Tensor a = torch::randn({m, k}, torch::device(device));
  const torch::Tensor b = torch::randn({k, n}, torch::device(device));
  torch::Tensor c = torch::empty({m, n}, torch::device(device));
  for (auto _ : state) {
    for (int64_t i = 0; i < products; ++i) {
      at::mm_out(c, a, b);
    }
    if (device.is_cuda()) {
      torch::cuda::synchronize();
    }
  }
  state.SetItemsProcessed(state.iterations() * products * 2 * m * k * n);
}

// Arguments: m, k, n, threads.
void Gemm(benchmark::State& state) {
  UseThreads(state.range(3));
  Products(state, state.range(0), state.range(1), state.range(2), torch::kCPU);
}
BENCHMARK(Gemm)
    ->ArgNames({"m", "k", "n", "threads"})
    ->ArgsProduct({{256}, {256}, {256}, {1, 2}})
    ->ArgsProduct({{8192}, {200}, {200}, {1, 2}})
    ->UseRealTime();

// A captured graph of one addition to one number. Items are launches.
void GraphLaunch(benchmark::State& state) {
  constexpr int64_t kLaunches = 1000;
  const torch::Device device(torch::kCUDA, 0);
  torch::Tensor number = torch::zeros({}, torch::device(device));
  RepeatedWork work("a launch", device);
  for (auto _ : state) {
    for (int64_t i = 0; i < kLaunches; ++i) {
      work.Run({}, [&] { number.add_(1); });
    }
    torch::cuda::synchronize();
  }
  state.SetItemsProcessed(state.iterations() * kLaunches);
}

const bool kRegistered = [] {
  if (torch::cuda::device_count() > 0) {
    const auto products = [](const char* name, int64_t m, int64_t k, int64_t n) {
      benchmark::RegisterBenchmark(name, [=](benchmark::State& state) {
        Products(state, m, k, n, torch::Device(torch::kCUDA, 0));
      })->UseRealTime();
    };
    products("Gemm/m:256/k:256/n:256/cuda", 256, 256, 256);
    products("Gemm/m:20000/k:200/n:200/cuda", 20'000, 200, 200);
    products("Gemm/m:8192/k:8192/n:8192/cuda", 8192, 8192, 8192);
    benchmark::RegisterBenchmark("GraphLaunch/cuda", GraphLaunch)->UseRealTime();
  }
  return true;
}();

}  // namespace
}  // namespace reverie
