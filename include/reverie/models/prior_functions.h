// Randomised prior functions (Osband, Aslanides and Cassirer 2018): a network beside each member of an ensemble that is
// drawn once and never trained.
//
//   f_i(z) = mu_i(z) + scale g_i(z)
//
// mu_i learns what the data say less scale g_i; where there are none, members differ as their g_i do. g's weights are
// normal with std sqrt(2 / in) (He et al. 2015), its biases 0, so that for inputs of deviation 1 its outputs' is
// about 1.
#ifndef REVERIE_MODELS_PRIOR_FUNCTIONS_H_
#define REVERIE_MODELS_PRIOR_FUNCTIONS_H_

#include "reverie/core/state.h"
#include "reverie/nn/ensemble_mlp.h"

namespace reverie {

class PriorFunctions {
 public:
  // shape: that of the members, its output D alone.
  PriorFunctions(const MlpShape& shape, double scale, const Rng& rng, const torch::Device& device);

  // scale g_i at z [B, in] or [E, B, in]: [E, B, D]. Differentiable in z in the caller's gradient mode.
  torch::Tensor operator()(const torch::Tensor& z) const;

  double scale() const { return scale_; }
  const EnsembleMlp& mlp() const { return mlp_; }  // g

  void VisitState(StateVisitor& state) { state("parameters", parameters_.values()); }

 private:
  double scale_;
  FlatParameters parameters_;
  EnsembleMlp mlp_;
};

}  // namespace reverie

#endif  // REVERIE_MODELS_PRIOR_FUNCTIONS_H_
