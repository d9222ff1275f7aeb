#include "reverie/data/mixed_sampler.h"

#include <algorithm>
#include <cmath>

namespace reverie {
namespace {

// log_weight [n], any stride, less its log-mean-exp.
void ScaleToMeanOne(torch::Tensor log_weight) {
  const int64_t n = log_weight.size(0);
  if (!log_weight.is_cpu()) {
    log_weight.sub_(torch::logsumexp(log_weight, 0) - std::log(static_cast<double>(n)));
    return;
  }
  float* weight = log_weight.data_ptr<float>();
  const int64_t stride = log_weight.stride(0);
  float largest = weight[0];
  for (int64_t i = 1; i < n; ++i) {
    largest = std::max(largest, weight[i * stride]);
  }
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    sum += std::exp(static_cast<double>(weight[i * stride] - largest));
  }
  const auto shift = largest + static_cast<float>(std::log(sum / static_cast<double>(n)));
  for (int64_t i = 0; i < n; ++i) {
    weight[i * stride] -= shift;
  }
}

}  // namespace

int64_t MixedSampler::RealRows(int64_t batch_size) const {
  if (model_ == nullptr || model_->size() == 0) {
    return batch_size;
  }
  return static_cast<int64_t>(std::floor(static_cast<double>(batch_size) * real_ratio_));
}

void MixedSampler::SampleInto(TransitionBatch& batch, torch::Generator& generator) {
  if (!index_.defined() || index_.size(0) < batch.size()) {
    index_ = torch::empty({batch.size()}, batch.rows.options().dtype(torch::kInt64));
  }
  const int64_t real_rows = RealRows(batch.size());
  const int64_t model_rows = batch.size() - real_rows;
  if (real_rows > 0) {
    real_.SampleInto(batch.rows.narrow(0, 0, real_rows), index_.narrow(0, 0, real_rows), generator);
  }
  if (model_rows > 0) {
    const torch::Tensor rows = batch.rows.narrow(0, real_rows, model_rows);
    model_->SampleInto(rows, index_.narrow(0, real_rows, model_rows), generator);
    ScaleToMeanOne(TransitionBatch{batch.layout, rows}.log_weight());
  }
}

}  // namespace reverie
