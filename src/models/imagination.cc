#include "imagination.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/gpu.h"
#include "core/vectorize.h"
#include "imagination_cuda.h"
#include "imagination_math.h"

namespace reverie {
namespace {

// Rows that are worth a thread of their own.
constexpr int64_t kGrainRows = 512;
// Rows of a tile, which lays them out so that loops run over whole vectors whatever their width is.
constexpr int64_t kTileRows = 16;

REVERIE_CLONES void StandardiseRow(const float* __restrict from, const float* __restrict mean,
                                   const float* __restrict std, float* __restrict to, int64_t n) {
  for (int64_t j = 0; j < n; ++j) {
    to[j] = Standardised(from[j], mean[j], std[j]);
  }
}

// In: the mean in `target`. Out: the draw.
REVERIE_CLONES void DrawTile(float* __restrict target, const float* __restrict raw, const float* __restrict noise,
                             const float* __restrict l_max, const float* __restrict l_min,
                             const float* __restrict offset, const float* __restrict scale, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    target[i] = DrawTarget(target[i], raw[i], noise[i],
                           {.l_max = l_max[i], .l_min = l_min[i], .offset = offset[i], .scale = scale[i]});
  }
}

REVERIE_CLONES bool FiniteRow(const float* __restrict x, int64_t n) {
  int bad = 0;
  for (int64_t j = 0; j < n; ++j) {
    bad |= IsFinite(x[j]) ? 0 : 1;
  }
  return bad == 0;
}

}  // namespace

void DealInputs(const torch::Tensor& obs, const torch::Tensor& action, const torch::Tensor& order,
                const torch::Tensor& mean, const torch::Tensor& std, torch::Tensor& inputs) {
  const cuda::DealArguments a{.obs = obs.data_ptr<float>(),
                              .action = action.data_ptr<float>(),
                              .mean = mean.data_ptr<float>(),
                              .std = std.data_ptr<float>(),
                              .order = order.data_ptr<int64_t>(),
                              .inputs = inputs.data_ptr<float>(),
                              .rows = obs.size(0),
                              .slots = inputs.size(0) * inputs.size(1),
                              .obs_dim = obs.size(1),
                              .act_dim = action.size(1),
                              .obs_stride = obs.stride(0),
                              .action_stride = action.stride(0)};
  if (!obs.is_cpu()) {
    OnGpu(obs, [&](auto stream) { cuda::DealInputs(a, stream); });
    return;
  }
  at::parallel_for(0, a.slots, kGrainRows, [&](int64_t begin, int64_t end) {
    const FlushSubnormals flush;
    for (int64_t slot = begin; slot < end; ++slot) {
      const int64_t row = a.order[slot % a.rows];
      float* input = a.inputs + slot * (a.obs_dim + a.act_dim);
      StandardiseRow(a.obs + row * a.obs_stride, a.mean, a.std, input, a.obs_dim);
      StandardiseRow(a.action + row * a.action_stride, a.mean + a.obs_dim, a.std + a.obs_dim, input + a.obs_dim,
                     a.act_dim);
    }
  });
}

void DrawTargets(const torch::Tensor& output, const torch::Tensor& noise, const torch::Tensor& order,
                 const TargetDecoder& decoder, const torch::Tensor& obs, ModelSample& sample) {
  const cuda::DrawArguments a{.output = output.data_ptr<float>(),
                              .noise = noise.data_ptr<float>(),
                              .obs = obs.data_ptr<float>(),
                              .max_log_var = decoder.max_log_var.data_ptr<float>(),
                              .min_log_var = decoder.min_log_var.data_ptr<float>(),
                              .offset = decoder.offset.data_ptr<float>(),
                              .scale = decoder.scale.data_ptr<float>(),
                              .order = order.data_ptr<int64_t>(),
                              .next_obs = sample.next_obs.data_ptr<float>(),
                              .reward = sample.reward.defined() ? sample.reward.data_ptr<float>() : nullptr,
                              .hypothesis = sample.hypothesis.data_ptr<int64_t>(),
                              .rows = obs.size(0),
                              .share = noise.size(1),
                              .obs_dim = obs.size(1),
                              .dim = noise.size(2),
                              .obs_stride = obs.stride(0),
                              .next_obs_stride = sample.next_obs.stride(0),
                              .reward_stride = sample.reward.defined() ? sample.reward.stride(0) : 0,
                              .add_obs = decoder.add_obs};
  if (!obs.is_cpu()) {
    OnGpu(obs, [&](auto stream) { cuda::DrawTargets(a, stream); });
    return;
  }
  const int64_t dim = a.dim;
  const int64_t tiles = at::divup(a.rows, kTileRows);
  at::parallel_for(0, tiles, kGrainRows / kTileRows, [&](int64_t first, int64_t last) {
    const FlushSubnormals flush;
    const int64_t tile_size = kTileRows * dim;
    thread_local std::vector<float> scratch;
    scratch.resize(static_cast<size_t>(6 * tile_size));
    float* target = scratch.data();
    float* raw = target + tile_size;
    float* l_max = raw + tile_size;
    float* l_min = l_max + tile_size;
    float* offset = l_min + tile_size;
    float* scale = offset + tile_size;
    for (int64_t i = 0; i < kTileRows; ++i) {
      std::copy_n(a.max_log_var, dim, l_max + i * dim);
      std::copy_n(a.min_log_var, dim, l_min + i * dim);
      std::copy_n(a.offset, dim, offset + i * dim);
      std::copy_n(a.scale, dim, scale + i * dim);
    }
    for (int64_t tile = first; tile < last; ++tile) {
      const int64_t begin = tile * kTileRows;
      const int64_t count = std::min(kTileRows, a.rows - begin);
      for (int64_t i = 0; i < count; ++i) {
        const float* from = a.output + (begin + i) * 2 * dim;
        std::copy_n(from, dim, target + i * dim);
        std::copy_n(from + dim, dim, raw + i * dim);
      }
      DrawTile(target, raw, a.noise + begin * dim, l_max, l_min, offset, scale, count * dim);
      for (int64_t i = 0; i < count; ++i) {
        const int64_t row = a.order[begin + i];
        const float* drawn = target + i * dim;
        const float* base = a.obs + row * a.obs_stride;
        float* next_obs = a.next_obs + row * a.next_obs_stride;
        for (int64_t d = 0; d < a.obs_dim; ++d) {
          next_obs[d] = a.add_obs ? base[d] + drawn[d] : drawn[d];
        }
        if (a.reward != nullptr) {
          a.reward[row * a.reward_stride] = drawn[a.obs_dim];
        }
        a.hypothesis[row] = (begin + i) / a.share;
      }
    }
  });
}

void FiniteRows(const torch::Tensor& x, torch::Tensor& finite) {
  const float* from = x.data_ptr<float>();
  bool* to = finite.data_ptr<bool>();
  if (!x.is_cpu()) {
    OnGpu(x, [&](auto stream) { cuda::FiniteRows(from, to, x.size(0), x.size(1), x.stride(0), stream); });
    return;
  }
  at::parallel_for(0, x.size(0), kGrainRows, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      to[i] = FiniteRow(from + i * x.stride(0), x.size(1));
    }
  });
}

}  // namespace reverie
