#include "reverie/models/hypothesis_networks.h"

#include <ATen/ATen.h>

namespace reverie {

HypothesisNetworks::HypothesisNetworks(const MlpShape& shape, Precision precision, const torch::Device& device)
    : precision_(precision),
      parameters_(shape.ParameterCount(), device),
      mlp_(shape, parameters_),
      packed_(mlp_, precision) {}

void HypothesisNetworks::Take(const EnsembleMlp& from, const torch::Tensor& members) {
  for (size_t l = 0; l < from.weights().size(); ++l) {
    torch::Tensor weight = mlp_.weights()[l];
    torch::Tensor bias = mlp_.biases()[l];
    at::index_select_out(weight, from.weights()[l], 0, members);
    at::index_select_out(bias, from.biases()[l], 0, members);
  }
  packed_ = PackedMlp(mlp_, precision_);
}

}  // namespace reverie
