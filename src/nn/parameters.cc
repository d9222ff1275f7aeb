#include "reverie/nn/parameters.h"

#include <ATen/ATen.h>

#include <stdexcept>

namespace reverie {

FlatParameters::FlatParameters(int64_t count, const torch::Device& device)
    : values_(torch::zeros({count}, torch::device(device))), grads_(torch::zeros({count}, torch::device(device))) {}

FlatParameters::View FlatParameters::Take(at::IntArrayRef sizes) {
  const int64_t count = c10::multiply_integers(sizes);
  if (taken_ + count > values_.numel()) {
    throw std::logic_error("FlatParameters: more taken than declared");
  }
  const int64_t begin = taken_;
  taken_ += count;
  return {values_.narrow(0, begin, count).view(sizes), grads_.narrow(0, begin, count).view(sizes)};
}

Adam::Adam(FlatParameters& parameters, double learning_rate)
    : values_(parameters.values()),
      grads_(parameters.grads()),
      first_moment_(torch::zeros_like(values_)),
      second_moment_(torch::zeros_like(values_)),
      step_(torch::zeros({}, values_.options())),
      learning_rate_(learning_rate) {}

void Adam::Step() {
  constexpr double kBeta1 = 0.9;
  constexpr double kBeta2 = 0.999;
  constexpr double kEpsilon = 1e-8;
  step_.add_(1);
  at::_fused_adam_(values_, grads_, first_moment_, second_moment_, /*max_exp_avg_sqs=*/{}, step_, learning_rate_,
                   kBeta1, kBeta2, /*weight_decay=*/0, kEpsilon, /*amsgrad=*/false, /*maximize=*/false);
}

void Adam::VisitState(StateVisitor& state) {
  state("first_moment", first_moment_);
  state("second_moment", second_moment_);
  state("step", step_);
}

}  // namespace reverie
