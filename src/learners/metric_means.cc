#include "reverie/learners/metric_means.h"

#include <cmath>
#include <stdexcept>
#include <utility>

namespace reverie {

MetricMeans::MetricMeans(std::string whose, std::vector<std::string> names, const torch::Device& device)
    : whose_(std::move(whose)),
      names_(std::move(names)),
      sums_(torch::zeros({static_cast<int64_t>(names_.size())}, torch::device(device))) {}

std::vector<double> MetricMeans::FiniteMeans(int64_t update) const {
  const torch::Tensor means = (sums_ / static_cast<double>(updates_)).cpu();
  std::vector<double> values(means.data_ptr<float>(), means.data_ptr<float>() + means.numel());
  for (size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) {
      throw std::runtime_error(whose_ + " " + names_[i] + " is not finite at update " + std::to_string(update));
    }
  }
  return values;
}

Metrics MetricMeans::Drain(int64_t update) {
  Metrics metrics;
  if (updates_ == 0) {
    return metrics;
  }
  const std::vector<double> means = FiniteMeans(update);
  for (size_t i = 0; i < names_.size(); ++i) {
    metrics.Set(names_[i], means[i]);
  }
  sums_.zero_();
  updates_ = 0;
  return metrics;
}

void MetricMeans::VisitState(StateVisitor& state) {
  state("sums", sums_);
  state("drained_updates", updates_);
}

}  // namespace reverie
