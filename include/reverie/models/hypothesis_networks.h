// The networks that a model predicts with: M weight sets of one shape, one for each hypothesis, whatever they are draws
// of. They are laid out for many steps from one fit to the next.
#ifndef REVERIE_MODELS_HYPOTHESIS_NETWORKS_H_
#define REVERIE_MODELS_HYPOTHESIS_NETWORKS_H_

#include "reverie/models/prior_functions.h"
#include "reverie/nn/ensemble_mlp.h"

namespace reverie {

class HypothesisNetworks {
 public:
  // shape.members is M. The weights are zero at first.
  HypothesisNetworks(const MlpShape& shape, Precision precision, const torch::Device& device);

  // Takes the weights of members [M] int64 of `from`, which has the same layers.
  void Take(const EnsembleMlp& from, const torch::Tensor& members);
  // Takes weights [M, in, out] and biases [M, 1, out], layer by layer.
  void Take(const std::vector<torch::Tensor>& weights, const std::vector<torch::Tensor>& biases);
  // The first with the prior functions added to the first outputs. Each layer is then both networks' side by side: the
  // hidden ones have as many units as both.
  void Take(const EnsembleMlp& from, const PriorFunctions& prior, const torch::Tensor& members);

  // x [M, B, in] or [B, in], which all see -> [M, B, out], without gradients, by the layout for it.
  torch::Tensor Infer(const torch::Tensor& x) const { return packed_.Infer(x); }
  // The same weights, for whoever differentiates or writes them.
  const EnsembleMlp& mlp() const { return mlp_; }

 private:
  Precision precision_;
  FlatParameters parameters_;
  EnsembleMlp mlp_;
  PackedMlp packed_;
};

}  // namespace reverie

#endif  // REVERIE_MODELS_HYPOTHESIS_NETWORKS_H_
