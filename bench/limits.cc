// What the machine can do at most: rates of plain matrix products.
#include <ATen/ATen.h>
#include <benchmark/benchmark.h>

#include "reverie/run/device.h"

namespace reverie {
namespace {

// [m, k] x [k, n]; arguments: m, k, n, threads. Items are floating-point operations.
void Gemm(benchmark::State& state) {
  UseThreads(state.range(3));
  const torch::Tensor a = torch::randn({state.range(0), state.range(1)});
  const torch::Tensor b = torch::randn({state.range(1), state.range(2)});
  torch::Tensor c = torch::empty({state.range(0), state.range(2)});
  for (auto _ : state) {
    at::mm_out(c, a, b);
  }
  state.SetItemsProcessed(state.iterations() * 2 * state.range(0) * state.range(1) * state.range(2));
}
BENCHMARK(Gemm)
    ->ArgNames({"m", "k", "n", "threads"})
    ->ArgsProduct({{256}, {256}, {256}, {1, 2}})
    ->ArgsProduct({{8192}, {200}, {200}, {1, 2}})
    ->UseRealTime();

}  // namespace
}  // namespace reverie
