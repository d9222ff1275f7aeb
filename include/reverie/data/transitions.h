// Transitions, one packed float32 row each.
//
//   row = [obs | action | next_obs | reward | terminated | truncated | log_weight]
//
// A minibatch is then one gather, and [obs | action] one slice of it. terminated and truncated are 0 or 1 and never
// merged; exp(log_weight) scales the row's critic loss (log_weight 0 for real rows; kept as a logarithm because exp(-u
// / T) of a large uncertainty u underflows). Actions are in [-1, 1].
#ifndef REVERIE_DATA_TRANSITIONS_H_
#define REVERIE_DATA_TRANSITIONS_H_

#include <cstdint>
#include <utility>

#include "reverie/core/tensor.h"

namespace reverie {

struct TransitionLayout {
  int64_t obs_dim = 0;
  int64_t act_dim = 0;

  int64_t width() const { return 2 * obs_dim + act_dim + 4; }
};

// B packed rows, [B, width] float32 on one device, and their columns as views (aliases, not copies).
struct TransitionBatch {
  TransitionLayout layout;
  torch::Tensor rows;

  // Uninitialised rows.
  static TransitionBatch Empty(const TransitionLayout& layout, int64_t size, const torch::Device& device) {
    return {layout, torch::empty({size, layout.width()}, torch::device(device))};
  }

  int64_t size() const { return rows.size(0); }
  torch::Tensor obs() const { return Columns(0, layout.obs_dim); }
  torch::Tensor action() const { return Columns(layout.obs_dim, layout.act_dim); }
  torch::Tensor obs_action() const { return Columns(0, layout.obs_dim + layout.act_dim); }
  torch::Tensor next_obs() const { return Columns(layout.obs_dim + layout.act_dim, layout.obs_dim); }
  torch::Tensor next_obs_reward() const { return Columns(layout.obs_dim + layout.act_dim, layout.obs_dim + 1); }
  torch::Tensor reward() const { return Scalar(0); }      // [B]
  torch::Tensor terminated() const { return Scalar(1); }  // [B]
  torch::Tensor truncated() const { return Scalar(2); }   // [B]
  torch::Tensor log_weight() const { return Scalar(3); }  // [B]

 private:
  torch::Tensor Columns(int64_t begin, int64_t count) const { return rows.narrow(1, begin, count); }
  torch::Tensor Scalar(int64_t index) const { return rows.select(1, 2 * layout.obs_dim + layout.act_dim + index); }
};

}  // namespace reverie

#endif  // REVERIE_DATA_TRANSITIONS_H_
