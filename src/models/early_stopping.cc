#include "early_stopping.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>

namespace reverie {
namespace {

constexpr double kImproved = 0.01;

}  // namespace

EarlyStopping::EarlyStopping(const EnsembleMlp& mlp, int64_t patience, StoppingScale scale)
    : mlp_(mlp),
      patience_(patience),
      scale_(scale),
      best_parameters_(mlp.shape().ParameterCount(), mlp.weights().front().device()),
      best_(mlp.shape(), best_parameters_),
      best_error_(torch::full({mlp.shape().members}, std::numeric_limits<float>::infinity(),
                              torch::device(mlp.weights().front().device()))) {}

bool EarlyStopping::Note(const torch::Tensor& error) {
  const torch::Tensor improved =
      error < (scale_ == StoppingScale::kRatio ? best_error_ * (1 - kImproved) : best_error_ - kImproved);
  best_error_ = torch::where(improved, error, best_error_);
  const torch::Tensor gate = improved.view({-1, 1, 1});
  for (size_t l = 0; l < mlp_.weights().size(); ++l) {
    best_.weights()[l].copy_(torch::where(gate, mlp_.weights()[l], best_.weights()[l]));
    best_.biases()[l].copy_(torch::where(gate, mlp_.biases()[l], best_.biases()[l]));
  }
  // How many members improved, not a number where an error is none.
  const double improvements = (improved.sum() + 0 * error.sum()).item<double>();
  since_improvement_ = improvements > 0 ? 0 : since_improvement_ + 1;
  return std::isfinite(improvements);
}

void EarlyStopping::RestoreBest() {
  for (size_t l = 0; l < mlp_.weights().size(); ++l) {
    torch::Tensor weight = mlp_.weights()[l];
    torch::Tensor bias = mlp_.biases()[l];
    weight.copy_(best_.weights()[l]);
    bias.copy_(best_.biases()[l]);
  }
}

}  // namespace reverie
