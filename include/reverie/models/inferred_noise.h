// The noise that would have made a model's step a real one (Heess et al. 2015).
//
//   xi = (y - mean_h(s, a)) / std_h(s, a)        y: the real target, mean_h and std_h: the Gaussian of hypothesis h
//
// It is for models whose noise moves the first noise_dim() numbers of the target, each by its own standard deviation,
// as those of models/registry.h do.
#ifndef REVERIE_MODELS_INFERRED_NOISE_H_
#define REVERIE_MODELS_INFERRED_NOISE_H_

#include "reverie/data/transitions.h"
#include "reverie/models/dynamics_model.h"

namespace reverie {

// Draws for a step of real rows: xi of each row for the hypothesis that `deal` [B] int64 deals it to (StepDraws), 0
// where the standard deviation is 0. A model without noise has none. No gradients are recorded. Cost: a prediction of
// every hypothesis for every row.
StepDraws InferNoise(const DynamicsModel& model, const TransitionBatch& real, const torch::Tensor& deal);

}  // namespace reverie

#endif  // REVERIE_MODELS_INFERRED_NOISE_H_
