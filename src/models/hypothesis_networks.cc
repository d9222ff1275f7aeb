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

void HypothesisNetworks::Take(const std::vector<torch::Tensor>& weights, const std::vector<torch::Tensor>& biases) {
  for (size_t l = 0; l < weights.size(); ++l) {
    mlp_.weights()[l].copy_(weights[l]);
    mlp_.biases()[l].copy_(biases[l]);
  }
  packed_ = PackedMlp(mlp_, precision_);
}

void HypothesisNetworks::Take(const EnsembleMlp& from, const PriorFunctions& prior, const torch::Tensor& members) {
  const EnsembleMlp& g = prior.mlp();
  const size_t last = from.weights().size() - 1;
  for (size_t l = 0; l <= last; ++l) {
    const torch::Tensor weight = from.weights()[l].index_select(0, members);
    const torch::Tensor bias = from.biases()[l].index_select(0, members);
    const torch::Tensor beside = g.weights()[l].index_select(0, members) * (l == last ? prior.scale() : 1);
    const torch::Tensor bias_beside = g.biases()[l].index_select(0, members) * (l == last ? prior.scale() : 1);
    torch::Tensor both = mlp_.weights()[l];
    torch::Tensor both_biases = mlp_.biases()[l];
    both.zero_();
    const int64_t in = l == 0 ? 0 : weight.size(1);      // where the prior's inputs begin
    const int64_t out = l == last ? 0 : weight.size(2);  // and its outputs
    both.narrow(1, 0, weight.size(1)).narrow(2, 0, weight.size(2)).copy_(weight);
    both.narrow(1, in, beside.size(1)).narrow(2, out, beside.size(2)).add_(beside);
    both_biases.zero_();
    both_biases.narrow(2, 0, bias.size(2)).copy_(bias);
    both_biases.narrow(2, out, bias_beside.size(2)).add_(bias_beside);
  }
  packed_ = PackedMlp(mlp_, precision_);
}

}  // namespace reverie
