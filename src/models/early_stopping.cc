#include "early_stopping.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>
#include <utility>

namespace reverie {
namespace {

constexpr double kImproved = 0.01;

}  // namespace

EarlyStopping::EarlyStopping(std::vector<torch::Tensor> parameters, int64_t patience, StoppingScale scale)
    : parameters_(std::move(parameters)),
      patience_(patience),
      scale_(scale),
      best_error_(torch::full({parameters_.front().size(0)}, std::numeric_limits<float>::infinity(),
                              torch::device(parameters_.front().device()))) {
  for (const torch::Tensor& parameter : parameters_) {
    best_.push_back(torch::zeros_like(parameter));
  }
}

bool EarlyStopping::Note(const torch::Tensor& error, bool counts) {
  const torch::Tensor improved =
      error < (scale_ == StoppingScale::kRatio ? best_error_ * (1 - kImproved) : best_error_ - kImproved);
  best_error_ = torch::where(improved, error, best_error_);
  const torch::Tensor gate = improved.view({-1, 1, 1});
  for (size_t i = 0; i < parameters_.size(); ++i) {
    best_[i].copy_(torch::where(gate, parameters_[i], best_[i]));
  }
  // How many members improved, not a number where an error is none.
  const double improvements = (improved.sum() + 0 * error.sum()).item<double>();
  since_improvement_ = improvements > 0 || !counts ? 0 : since_improvement_ + 1;
  return std::isfinite(improvements);
}

void EarlyStopping::RestoreBest() {
  for (size_t i = 0; i < parameters_.size(); ++i) {
    parameters_[i].copy_(best_[i]);
  }
}

}  // namespace reverie
