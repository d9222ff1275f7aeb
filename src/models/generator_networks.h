// How a generator's networks are asked for draws. Internal to the models.
#ifndef REVERIE_SRC_MODELS_GENERATOR_NETWORKS_H_
#define REVERIE_SRC_MODELS_GENERATOR_NETWORKS_H_

#include <ATen/core/grad_mode.h>

#include "reverie/nn/ensemble_mlp.h"

namespace reverie {

// x [E, B, in] -> [E, B, out], differentiable in x and not in the weights.
inline torch::Tensor Ask(const EnsembleMlp& network, const torch::Tensor& x) {
  const bool plain = at::GradMode::is_enabled() || x.scalar_type() != torch::kFloat32;
  return plain ? network.Forward(x) : network.Infer(x);
}

}  // namespace reverie

#endif  // REVERIE_SRC_MODELS_GENERATOR_NETWORKS_H_
