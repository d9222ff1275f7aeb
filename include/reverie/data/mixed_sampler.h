// Minibatches in which real and imagined transitions are mixed in a fixed ratio (Janner et al. 2019, appendix C: inside
// each batch, not batch by batch).
#ifndef REVERIE_DATA_MIXED_SAMPLER_H_
#define REVERIE_DATA_MIXED_SAMPLER_H_

#include <vector>

#include "reverie/core/repeated_work.h"
#include "reverie/data/replay_buffer.h"

namespace reverie {

// Draws floor(B real_ratio) rows from `real` and the rest from `model`; all from `real` while `model` is empty or where
// there is none. The imagined rows' weights exp(log_weight) are scaled to mean 1 over those of the batch. Borrows the
// buffers; allocates only where a batch is larger than those before.
class MixedSampler {
 public:
  explicit MixedSampler(const ReplayBuffer& real) : real_(real) {}
  MixedSampler(const ReplayBuffer& real, const ReplayBuffer& model, double real_ratio)
      : real_(real), model_(&model), real_ratio_(real_ratio) {}

  // Real rows in a batch of that size.
  int64_t RealRows(int64_t batch_size) const;

  // Fills `batch`: real rows first.
  void SampleInto(TransitionBatch& batch, torch::Generator& generator);

  // What a captured SampleInto depends on (core/repeated_work.h).
  std::vector<int64_t> Key(int64_t batch_size) const {
    return {AddressOf(real_.storage()), model_ == nullptr ? 0 : AddressOf(model_->storage()), RealRows(batch_size)};
  }

 private:
  const ReplayBuffer& real_;
  const ReplayBuffer* model_ = nullptr;
  double real_ratio_ = 1;
  torch::Tensor index_;  // [B] int64, places of the rows drawn
};

}  // namespace reverie

#endif  // REVERIE_DATA_MIXED_SAMPLER_H_
