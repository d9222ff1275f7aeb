// Multi-layer perceptrons with layer normalisation and dropout, E of them side by side, for autograd.
//
//   h_0 = x;   h_l = f(drop_l(n_l(h_{l-1}) W_l + b_l));   y = drop_L(n_L(h_{L-1}) W_L + b_L)
//   n_l(h) = (h - mean h) / sqrt(var h + eps_l)      over a row's numbers, without a scale and an offset to be learned
//
// f is the SiLU. The normalisation bounds the Jacobian dy / dx, which products of Jacobians through many imagined steps
// ask for: |dn_l / dh| <= 1 / sqrt(eps_l).
// Source: Ba, Kiros and Hinton 2016 (layer normalisation); without its parameters as in the code of DHMBPO.
#ifndef REVERIE_NN_LAYER_NORM_MLP_H_
#define REVERIE_NN_LAYER_NORM_MLP_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "reverie/core/tensor.h"
#include "reverie/nn/parameters.h"

namespace reverie {

struct LayerNormMlpShape {
  int64_t members = 1;
  std::vector<int64_t> widths;  // input, hidden ..., output
  // Of each layer, in its order: eps_l, 0 for no normalisation, and the share of its outputs that training drops.
  std::vector<double> epsilon;
  std::vector<double> dropout;

  size_t layers() const { return widths.size() - 1; }
  int64_t ParameterCount() const;
};

class FusedLayers;

class LayerNormMlp {
 public:
  // Takes its parameters from `parameters` (borrowed: must outlive this): per layer the weight, then the bias. Throws
  // std::logic_error where epsilon or dropout do not say one number for each layer.
  LayerNormMlp(LayerNormMlpShape shape, FlatParameters& parameters);
  // Of these parameters, W_1, b_1, ...: [E, in, out], [E, 1, out], which it shares.
  LayerNormMlp(LayerNormMlpShape shape, std::vector<torch::Tensor> leaves);

  // Weights normal with std sqrt(2 / in) (He et al. 2015), biases normal with std 1 / (2 sqrt(in)).
  void InitHeNormal(torch::Generator& generator);
  // The last layer's weights and biases 0: the network says 0 everywhere.
  void ZeroLastLayer();

  // x [B, in], shared by the members, or [E, B, in] -> [E, B, out], in the type of x, without dropout.
  // Differentiable in x and in the leaves, in the caller's gradient mode; once where a fused pass with a backward pass
  // of its own does it, on the CPU in float32.
  torch::Tensor Forward(const torch::Tensor& x) const { return Forward(x, nullptr); }
  // The same in training: each number is dropped with its layer's probability, the others grow by 1 / (1 - p).
  torch::Tensor Forward(const torch::Tensor& x, torch::Generator& generator) const { return Forward(x, &generator); }

  const LayerNormMlpShape& shape() const { return shape_; }
  const std::vector<torch::Tensor>& leaves() const { return leaves_; }  // W_1, b_1, ...: [E, in, out], [E, 1, out]

 private:
  void Prepare();
  torch::Tensor Forward(const torch::Tensor& x, torch::Generator* generator) const;
  // h [E, B, in].
  torch::Tensor PlainForward(torch::Tensor h, torch::Generator* generator) const;
  torch::Tensor FusedForward(const torch::Tensor& h, torch::Generator* generator) const;

  LayerNormMlpShape shape_;
  std::vector<torch::Tensor> leaves_;
  std::shared_ptr<FusedLayers> fused_;  // on the CPU in float32
};

}  // namespace reverie

#endif  // REVERIE_NN_LAYER_NORM_MLP_H_
