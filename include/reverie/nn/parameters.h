// Flat parameter storage, and Adam over it.
#ifndef REVERIE_NN_PARAMETERS_H_
#define REVERIE_NN_PARAMETERS_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "reverie/core/state.h"
#include "reverie/core/tensor.h"
#include "reverie/nn/adam.h"
#include "reverie/nn/kernels.h"

namespace reverie {

// One contiguous block of values and one of gradients, handed out piece by piece as views: an optimiser step or a
// target update is one pass over memory, however many layers there are.
class FlatParameters {
 public:
  // Zeros. count: how many numbers Take will hand out in all. options: a device, for float32 there, or a float type
  // and a device; an optimiser takes float32.
  FlatParameters(int64_t count, const torch::TensorOptions& options);

  struct View {
    torch::Tensor value;
    torch::Tensor grad;

    // The value as a leaf that autograd differentiates by, which adds to `grad`. It shares the value's memory.
    torch::Tensor Leaf() const;
  };

  // The next `sizes` numbers, contiguous. Throws std::logic_error where the block has fewer left.
  View Take(at::IntArrayRef sizes);

  // [count]; the views alias them.
  torch::Tensor& values() { return values_; }
  const torch::Tensor& values() const { return values_; }
  torch::Tensor& grads() { return grads_; }
  const torch::Tensor& grads() const { return grads_; }

 private:
  torch::Tensor values_;
  torch::Tensor grads_;
  int64_t taken_ = 0;
};

// Writes the gradients of loss [] by `leaves`, and by nothing else, into the blocks that they lie in, overwriting
// those. Frees the loss's graph.
void BackPropagate(const torch::Tensor& loss, const std::vector<FlatParameters*>& blocks,
                   const std::vector<torch::Tensor>& leaves);

// The same, adding to the gradients that are there.
void AccumulateGradients(const torch::Tensor& loss, const std::vector<torch::Tensor>& leaves);

// Adam (Kingma and Ba 2015, algorithm 1) on a flat block:
//   m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  p -= lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)
// with b1 = 0.9, b2 = 0.999, eps = 1e-8 unless others are given, where g includes the L2 decay. One fused pass; nothing
// is synchronised.
class Adam {
 public:
  // Borrows the block, which must outlive this. decay: what is added to the gradient, g += factor p, segment by segment
  // in their order.
  Adam(FlatParameters& parameters, double learning_rate, std::vector<DecaySegment> decay = {})
      : Adam(parameters, AdamConstants{.learning_rate = learning_rate}, std::move(decay)) {}
  Adam(FlatParameters& parameters, const AdamConstants& constants, std::vector<DecaySegment> decay = {});

  // One step along -grads.
  void Step();

  // Forgets all steps: the moments are zero again.
  void Reset();

  // The same, then target += tau (values - target) in the same pass. target: another block of that length.
  void StepWithTarget(FlatParameters& target, double tau);

  void VisitState(StateVisitor& state);

 private:
  torch::Tensor values_;
  torch::Tensor grads_;
  torch::Tensor first_moment_;
  torch::Tensor second_moment_;
  torch::Tensor step_;  // [], steps so far
  AdamConstants constants_;
  std::vector<DecaySegment> decay_;
};

}  // namespace reverie

#endif  // REVERIE_NN_PARAMETERS_H_
