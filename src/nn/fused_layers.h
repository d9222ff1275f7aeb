// The networks of nn/layer_norm_mlp.h in float32 on the CPU, with a backward pass of their own.
//
// Blocks of rows pass through all layers while they are in a core's cache, forwards and backwards, and the threads
// share the blocks of all members. Between two matrix products everything is one pass over memory
// (layer_norm_kernels.h). Products go by laid-out weights (block.h), which are kept as long as the weights stay as they
// are. The same numbers come out for any number of threads. The plain pass in layer_norm_mlp.cc is its twin.
#ifndef REVERIE_SRC_NN_FUSED_LAYERS_H_
#define REVERIE_SRC_NN_FUSED_LAYERS_H_

#include <algorithm>
#include <memory>
#include <vector>

#include "block.h"
#include "layer_norm_kernels.h"
#include "reverie/core/tensor.h"

namespace reverie {

class FusedWeights;

class FusedLayers {
 public:
  // The best packing of float32 on this processor.
  static Packing BestFloatPacking() { return std::min(BestPacking(), Packing::kAvx512); }

  // leaves W_1, b_1, ...: [E, in, out], [E, 1, out] float32 on the CPU. Who changes them in place does so in a way that
  // their version tells, and not while another thread is in a pass.
  explicit FusedLayers(std::vector<torch::Tensor> leaves, Packing packing = BestFloatPacking());

  // What happens between the products, and which numbers are dropped there: of each hidden layer, epsilon being that of
  // the layer after it; [K] int64 each, undefined where none are.
  struct Passes {
    std::vector<HiddenPass> hidden;
    std::vector<torch::Tensor> dropped;
  };

  // x [E, B, in] float32 on the CPU, what goes into the first product. Returns [E, B, out]. Differentiable once, in x
  // and in the leaves, in the caller's gradient mode; gradients that nobody asks for are not computed. Several threads
  // may pass at once. Throws std::logic_error where x has other sizes.
  torch::Tensor Forward(const torch::Tensor& x, const Passes& passes) const;

 private:
  std::shared_ptr<FusedWeights> weights_;
};

}  // namespace reverie

#endif  // REVERIE_SRC_NN_FUSED_LAYERS_H_
