#include "imagination.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/gpu.h"
#include "imagination_cuda.h"
#include "imagination_math.h"
#include "nn/vectorize.h"

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
                             const float* __restrict target_mean, const float* __restrict target_std, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    target[i] = DrawTarget(target[i], raw[i], noise[i],
                           {.l_max = l_max[i], .l_min = l_min[i], .mean = target_mean[i], .std = target_std[i]});
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
  const int64_t rows = obs.size(0);
  const int64_t obs_dim = obs.size(1);
  const int64_t act_dim = action.size(1);
  const int64_t width = obs_dim + act_dim;
  const int64_t slots = inputs.size(0) * inputs.size(1);
  const float* observations = obs.data_ptr<float>();
  const float* actions = action.data_ptr<float>();
  const int64_t* row_of = order.data_ptr<int64_t>();
  const float* means = mean.data_ptr<float>();
  const float* stds = std.data_ptr<float>();
  float* to = inputs.data_ptr<float>();
  if (!obs.is_cpu()) {
    const cuda::DealArguments arguments{.obs = observations,
                                        .action = actions,
                                        .mean = means,
                                        .std = stds,
                                        .order = row_of,
                                        .inputs = to,
                                        .rows = rows,
                                        .slots = slots,
                                        .obs_dim = obs_dim,
                                        .act_dim = act_dim,
                                        .obs_stride = obs.stride(0),
                                        .action_stride = action.stride(0)};
    OnGpu(obs, [&](auto stream) { cuda::DealInputs(arguments, stream); });
    return;
  }
  at::parallel_for(0, slots, kGrainRows, [&](int64_t begin, int64_t end) {
    for (int64_t slot = begin; slot < end; ++slot) {
      const int64_t row = row_of[slot % rows];
      float* input = to + slot * width;
      StandardiseRow(observations + row * obs.stride(0), means, stds, input, obs_dim);
      StandardiseRow(actions + row * action.stride(0), means + obs_dim, stds + obs_dim, input + obs_dim, act_dim);
    }
  });
}

void DrawTargets(const torch::Tensor& output, const torch::Tensor& noise, const torch::Tensor& order,
                 const TargetDecoder& decoder, const torch::Tensor& obs, ModelSample& sample) {
  const int64_t rows = obs.size(0);
  const int64_t obs_dim = obs.size(1);
  const int64_t dim = noise.size(2);
  const int64_t share = noise.size(1);
  const float* outputs = output.data_ptr<float>();
  const float* noises = noise.data_ptr<float>();
  const int64_t* row_of = order.data_ptr<int64_t>();
  const float* observations = obs.data_ptr<float>();
  float* next_obs = sample.next_obs.data_ptr<float>();
  float* reward = sample.reward.defined() ? sample.reward.data_ptr<float>() : nullptr;
  const int64_t reward_stride = sample.reward.defined() ? sample.reward.stride(0) : 0;
  int64_t* member = sample.member.data_ptr<int64_t>();
  const auto numbers = [](const torch::Tensor& t) { return t.defined() ? t.data_ptr<float>() : nullptr; };
  const float* upper = numbers(decoder.max_log_var);
  const float* lower = numbers(decoder.min_log_var);
  const float* target_mean = numbers(decoder.target_mean);
  const float* target_std = numbers(decoder.target_std);
  if (!obs.is_cpu()) {
    const cuda::DrawArguments arguments{.output = outputs,
                                        .noise = noises,
                                        .obs = observations,
                                        .max_log_var = upper,
                                        .min_log_var = lower,
                                        .target_mean = target_mean,
                                        .target_std = target_std,
                                        .order = row_of,
                                        .next_obs = next_obs,
                                        .reward = reward,
                                        .member = member,
                                        .rows = rows,
                                        .share = share,
                                        .obs_dim = obs_dim,
                                        .dim = dim,
                                        .obs_stride = obs.stride(0),
                                        .next_obs_stride = sample.next_obs.stride(0),
                                        .reward_stride = reward_stride,
                                        .add_obs = decoder.add_obs};
    OnGpu(obs, [&](auto stream) { cuda::DrawTargets(arguments, stream); });
    return;
  }
  const int64_t tiles = at::divup(rows, kTileRows);
  at::parallel_for(0, tiles, kGrainRows / kTileRows, [&](int64_t first, int64_t last) {
    const int64_t tile_size = kTileRows * dim;
    thread_local std::vector<float> scratch;
    scratch.resize(static_cast<size_t>(6 * tile_size));
    float* target = scratch.data();
    float* raw = target + tile_size;
    float* l_max = raw + tile_size;
    float* l_min = l_max + tile_size;
    float* mean = l_min + tile_size;
    float* std = mean + tile_size;
    for (int64_t i = 0; i < kTileRows; ++i) {
      std::copy_n(upper, dim, l_max + i * dim);
      std::copy_n(lower, dim, l_min + i * dim);
      if (target_std != nullptr) {
        std::copy_n(target_mean, dim, mean + i * dim);
        std::copy_n(target_std, dim, std + i * dim);
      } else {
        std::fill_n(mean + i * dim, dim, 0.0F);
        std::fill_n(std + i * dim, dim, 1.0F);
      }
    }
    for (int64_t tile = first; tile < last; ++tile) {
      const int64_t begin = tile * kTileRows;
      const int64_t count = std::min(kTileRows, rows - begin);
      for (int64_t i = 0; i < count; ++i) {
        const float* from = outputs + (begin + i) * 2 * dim;
        std::copy_n(from, dim, target + i * dim);
        std::copy_n(from + dim, dim, raw + i * dim);
      }
      DrawTile(target, raw, noises + begin * dim, l_max, l_min, mean, std, count * dim);
      for (int64_t i = 0; i < count; ++i) {
        const int64_t slot = begin + i;
        const int64_t row = row_of[slot];
        const float* drawn = target + i * dim;
        const float* base = observations + row * obs.stride(0);
        float* next = next_obs + row * sample.next_obs.stride(0);
        for (int64_t d = 0; d < obs_dim; ++d) {
          next[d] = decoder.add_obs ? base[d] + drawn[d] : drawn[d];
        }
        if (reward != nullptr) {
          reward[row * reward_stride] = drawn[obs_dim];
        }
        member[row] = slot / share;
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
