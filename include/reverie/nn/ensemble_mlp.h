// Multi-layer perceptrons, E of them side by side as batched matrix products.
//
//   h_0 = x;  h_l = f(h_{l-1} W_l + b_l);  y = h_{L-1} W_L + b_L        for every member on its own
//
// One class serves the dynamics ensemble (E = 7), the twin critics (E = 2) and the actor (E = 1). It has three forward
// passes: a plain one that autograd can differentiate, one that records a tape for the hand-written backward pass of
// the learners, and one that keeps nothing. Tests hold them against each other.
#ifndef REVERIE_NN_ENSEMBLE_MLP_H_
#define REVERIE_NN_ENSEMBLE_MLP_H_

#include <cstdint>
#include <vector>

#include "reverie/core/tensor.h"
#include "reverie/nn/parameters.h"

namespace reverie {

enum class Activation { kRelu, kSilu };

struct MlpShape {
  int64_t members = 1;
  std::vector<int64_t> widths;  // input, hidden ..., output
  Activation activation = Activation::kRelu;

  int64_t layers() const { return static_cast<int64_t>(widths.size()) - 1; }
  int64_t ParameterCount() const;
};

// What `widths` are of a network with those hidden layers.
std::vector<int64_t> Widths(int64_t inputs, const std::vector<int64_t>& hidden, int64_t outputs);

// The plain pass, in the type of x: [B, in], shared by the members, or [E, B, in]; weights[l] [E, in_l, out_l],
// biases[l] [E, 1, out_l]. Returns [E, B, out]. Differentiable in everything.
torch::Tensor MlpForward(const torch::Tensor& x, const std::vector<torch::Tensor>& weights,
                         const std::vector<torch::Tensor>& biases, Activation activation);

class EnsembleMlp {
 public:
  // Takes its parameters from `parameters` (borrowed: must outlive this): per layer the weight, then the bias.
  EnsembleMlp(MlpShape shape, FlatParameters& parameters);

  // Weights uniform in +-sqrt(6 / (in + out)), biases 0 (Glorot and Bengio 2010).
  void InitXavierUniform(torch::Generator& generator);
  // Weights normal with std 1 / (2 sqrt(in)), truncated at two std; biases 0 (PETS' and MBPO's ensembles).
  void InitTruncatedNormal(torch::Generator& generator);
  // Weights with orthonormal rows or columns, whichever are fewer, biases 0 (Saxe et al. 2014).
  void InitOrthogonal(torch::Generator& generator);

  // x as MlpForward takes it.
  torch::Tensor Forward(const torch::Tensor& x) const { return MlpForward(x, weights_, biases_, shape_.activation); }

  // As Forward, without gradients. On the CPU blocks of rows pass through all layers while they are in cache, and the
  // threads share the blocks of all members evenly.
  torch::Tensor Infer(const torch::Tensor& x) const;
  void Infer(const torch::Tensor& x, torch::Tensor& output) const;  // into [E, B, out] contiguous

  // Workspace of one recorded forward pass; reused as long as the number of rows stays the same.
  struct Tape {
    int64_t rows = -1;
    torch::Tensor input;                // [E, B, in], may be a broadcast view
    std::vector<torch::Tensor> hidden;  // [E, B, out_l] after the activation; the last is the output
    std::vector<torch::Tensor> slope;   // [E, B, out_l] the activation's derivative (SiLU; ReLU's shows in `hidden`)
    std::vector<torch::Tensor> grad;    // [E, B, out_l] of the loss by what goes into the activation

    const torch::Tensor& output() const { return hidden.back(); }
  };

  // As Forward, without gradients, recorded on `tape`. The result aliases the tape.
  const torch::Tensor& Forward(const torch::Tensor& x, Tape& tape) const;

  // Writes the gradients of a loss into the parameters' block (overwriting), given grad [E, B, out] of it by the
  // output.
  void Backward(const torch::Tensor& grad, Tape& tape);

  // Writes every member's gradient by the input's columns [begin, end) into input_grad [E, B, end - begin]. The
  // parameters' gradients stay as they are.
  void InputGradient(const torch::Tensor& grad, Tape& tape, int64_t begin, int64_t end,
                     torch::Tensor& input_grad) const;

  const MlpShape& shape() const { return shape_; }
  const std::vector<torch::Tensor>& weights() const { return weights_; }
  const std::vector<torch::Tensor>& biases() const { return biases_; }
  std::vector<torch::Tensor> parameters() const;  // all of both
  const std::vector<torch::Tensor>& weight_grads() const { return weight_grads_; }
  const std::vector<torch::Tensor>& bias_grads() const { return bias_grads_; }

 private:
  void Prepare(Tape& tape, int64_t rows) const;
  // From the gradient by layer l's output to that by what goes into layer l-1's activation, and its sum over rows where
  // bias_grad is defined.
  const torch::Tensor& BackThrough(int64_t layer, const torch::Tensor& grad, const torch::Tensor& bias_grad,
                                   Tape& tape) const;

  MlpShape shape_;
  std::vector<torch::Tensor> weights_, biases_;  // [E, in, out], [E, 1, out]
  std::vector<torch::Tensor> weight_grads_, bias_grads_;
};

// An EnsembleMlp that autograd differentiates by its parameters, as leaves which add to their gradients.
class TrainableMlp {
 public:
  TrainableMlp(MlpShape shape, FlatParameters& parameters);

  // The plain pass, in the type of x.
  torch::Tensor Forward(const torch::Tensor& x) const {
    return MlpForward(x, weights_, biases_, mlp_.shape().activation);
  }

  EnsembleMlp& mlp() { return mlp_; }
  const EnsembleMlp& mlp() const { return mlp_; }
  const std::vector<torch::Tensor>& weights() const { return weights_; }  // leaves, [E, in, out]
  const std::vector<torch::Tensor>& biases() const { return biases_; }    // leaves, [E, 1, out]
  std::vector<torch::Tensor> leaves() const;                              // all, weight before bias, layer by layer

 private:
  EnsembleMlp mlp_;
  std::vector<torch::Tensor> weights_, biases_;
};

// An L2 factor for the weights of each layer, for an optimiser of `parameters`, which are the network's. The biases
// have none.
std::vector<DecaySegment> DecayPerLayer(const EnsembleMlp& mlp, const FlatParameters& parameters,
                                        const std::vector<double>& factors);

// How exact the products of a PackedMlp are at least. What is coarser than float32 takes a CPU with AMX; elsewhere, and
// on a GPU, all are kFloat32.
enum class Precision {
  kFloat32,
  kBf16x2,  // each number as the sum of two bfloat16 ones: a product is within 2^-15 of the exact one
  kBf16,    // each number rounded to bfloat16: within 2^-7
};
bool HasCoarserPrecision();  // this CPU

// An EnsembleMlp's networks as they are, laid out once for many forward passes on the CPU.
//
// With AVX2 or AVX-512 every weight matrix stands as panels of up to three vectors of columns, row after row: a panel
// stays in the first-level cache while a block of rows passes, and is read in the order in which it lies (Goto and van
// de Geijn 2008). A general product lays the weights out anew each time, which shows where a block has a few hundred
// rows. With AMX they stand as tiles of bfloat16 numbers, three of which make up one of float32, and six products one
// as exact as float32's (Henry, Tang and Heinecke 2019). Elsewhere, and on a GPU, it is EnsembleMlp::Infer.
class PackedMlp {
 public:
  // Shares the weights of `mlp`. Whoever changes them makes a new one.
  explicit PackedMlp(const EnsembleMlp& mlp, Precision precision = Precision::kFloat32);

  // EnsembleMlp::Infer, within rounding by the precision.
  torch::Tensor Infer(const torch::Tensor& x) const;

 private:
  EnsembleMlp mlp_;
  Precision precision_;
  std::vector<torch::Tensor> packed_, biases_;  // [E, bytes], [E, whole vectors]; none where mlp_ infers
};

}  // namespace reverie

#endif  // REVERIE_NN_ENSEMBLE_MLP_H_
