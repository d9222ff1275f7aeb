#include "reverie/nn/parameters.h"

#include <ATen/ATen.h>

#include <stdexcept>
#include <utility>

namespace reverie {

FlatParameters::FlatParameters(int64_t count, const torch::TensorOptions& options)
    : values_(torch::zeros({count}, options)), grads_(torch::zeros({count}, options)) {}

FlatParameters::View FlatParameters::Take(at::IntArrayRef sizes) {
  const int64_t count = c10::multiply_integers(sizes);
  if (taken_ + count > values_.numel()) {
    throw std::logic_error("FlatParameters: more taken than declared");
  }
  const int64_t begin = taken_;
  taken_ += count;
  return {values_.narrow(0, begin, count).view(sizes), grads_.narrow(0, begin, count).view(sizes)};
}

torch::Tensor FlatParameters::View::Leaf() const {
  torch::Tensor leaf = value.detach().requires_grad_();
  leaf.mutable_grad() = grad;
  return leaf;
}

void BackPropagate(const torch::Tensor& loss, const std::vector<FlatParameters*>& blocks,
                   const std::vector<torch::Tensor>& leaves) {
  for (FlatParameters* block : blocks) {
    block->grads().zero_();
  }
  AccumulateGradients(loss, leaves);
}

void AccumulateGradients(const torch::Tensor& loss, const std::vector<torch::Tensor>& leaves) {
  loss.backward({}, /*retain_graph=*/false, /*create_graph=*/false, leaves);
}

Adam::Adam(FlatParameters& parameters, const AdamConstants& constants, std::vector<DecaySegment> decay)
    : values_(parameters.values()),
      grads_(parameters.grads()),
      first_moment_(torch::zeros_like(values_)),
      second_moment_(torch::zeros_like(values_)),
      step_(torch::zeros({}, values_.options())),
      constants_(constants),
      decay_(std::move(decay)) {}

void Adam::Step() { AdamStep(constants_, decay_, step_, values_, grads_, first_moment_, second_moment_, {}, 0); }

void Adam::Reset() {
  first_moment_.zero_();
  second_moment_.zero_();
  step_.zero_();
}

void Adam::StepWithTarget(FlatParameters& target, double tau) {
  AdamStep(constants_, decay_, step_, values_, grads_, first_moment_, second_moment_, target.values(), tau);
}

void Adam::VisitState(StateVisitor& state) {
  state("first_moment", first_moment_);
  state("second_moment", second_moment_);
  state("step", step_);
}

}  // namespace reverie
