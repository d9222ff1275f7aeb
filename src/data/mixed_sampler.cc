#include "reverie/data/mixed_sampler.h"

#include <cmath>

namespace reverie {

int64_t MixedSampler::RealRows(int64_t batch_size) const {
  if (model_ == nullptr || model_->size() == 0) {
    return batch_size;
  }
  return static_cast<int64_t>(std::floor(static_cast<double>(batch_size) * real_ratio_));
}

void MixedSampler::SampleInto(TransitionBatch& batch, torch::Generator& generator) const {
  const int64_t real_rows = RealRows(batch.size());
  const int64_t model_rows = batch.size() - real_rows;
  if (real_rows > 0) {
    real_.SampleInto(batch.rows.narrow(0, 0, real_rows), generator);
  }
  if (model_rows > 0) {
    const torch::Tensor rows = batch.rows.narrow(0, real_rows, model_rows);
    model_->SampleInto(rows, generator);
    torch::Tensor log_weight = TransitionBatch{batch.layout, rows}.log_weight();
    log_weight.sub_(torch::logsumexp(log_weight, 0) - std::log(static_cast<double>(model_rows)));
  }
}

}  // namespace reverie
