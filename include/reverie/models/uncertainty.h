// How uncertain an ensemble of Gaussians is at a point.
//
// With mu_i, var_i [B, D] the members' predictions, every measure gives u [B]:
//   max_aleatoric   max_i |sqrt(var_i)|_2                                   (MOPO: Yu et al. 2020)
//   ensemble_std    |std_i(mu_i)|_2, population deviation over members
//   max_pairwise    max_{i<j} |mu_i - mu_j|_2                               (MOReL: Kidambi et al. 2020)
//   jensen_renyi    H2(mixture) - mean_i H2(N_i), H2(p) = -log int p^2      (closed form for Gaussians)
//   one_vs_rest     KL(N_drawn || moment-matched Gaussian of the others)    (M2AC: Pan et al. 2020)
#ifndef REVERIE_MODELS_UNCERTAINTY_H_
#define REVERIE_MODELS_UNCERTAINTY_H_

#include <string>
#include <utility>
#include <vector>

#include "reverie/core/tensor.h"
#include "reverie/models/dynamics_model.h"

namespace reverie {

enum class UncertaintyMeasure { kMaxAleatoric, kEnsembleStd, kMaxPairwise, kJensenRenyi, kOneVsRest };

std::vector<std::pair<std::string, UncertaintyMeasure>> EnumNames(UncertaintyMeasure);

// Whether a measure looks at the members' variances, without which it says nothing.
bool NeedsVariance(UncertaintyMeasure measure);

// prediction: [M, B, D] with M >= 2, already on the scale wanted. member [B] int64: the one drawn for each row, an
// index into M (read by one_vs_rest alone). A dimension with variance 0 in every member and one mean adds nothing. Not
// supported: jensen_renyi and one_vs_rest of deterministic members, which have no densities. Returns [B] float32, at
// least 0 up to rounding, with finite derivatives also where the members agree. Cost: O(M B D), the pairwise ones O(M^2
// B D). Throws std::logic_error where M < 2.
torch::Tensor Uncertainty(UncertaintyMeasure measure, const GaussianPrediction& prediction,
                          const torch::Tensor& member);

}  // namespace reverie

#endif  // REVERIE_MODELS_UNCERTAINTY_H_
