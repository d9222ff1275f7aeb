#include "reverie/nn/parameters.h"

#include <ATen/ATen.h>

#include <stdexcept>
#include <utility>

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

Adam::Adam(FlatParameters& parameters, double learning_rate, std::vector<DecaySegment> decay)
    : values_(parameters.values()),
      grads_(parameters.grads()),
      first_moment_(torch::zeros_like(values_)),
      second_moment_(torch::zeros_like(values_)),
      step_(torch::zeros({}, values_.options())),
      learning_rate_(learning_rate),
      decay_(std::move(decay)) {}

void Adam::Step() {
  AdamStep({.learning_rate = learning_rate_}, decay_, step_, values_, grads_, first_moment_, second_moment_, {}, 0);
}

void Adam::StepWithTarget(FlatParameters& target, double tau) {
  AdamStep({.learning_rate = learning_rate_}, decay_, step_, values_, grads_, first_moment_, second_moment_,
           target.values(), tau);
}

void Adam::VisitState(StateVisitor& state) {
  state("first_moment", first_moment_);
  state("second_moment", second_moment_);
  state("step", step_);
}

}  // namespace reverie
