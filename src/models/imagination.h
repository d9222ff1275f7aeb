// The passes over memory around the ensemble's networks when rows are imagined. Internal to the models.
//
// float32 on one device, no gradients recorded; they keep the promises of nn/kernels.h on the CPU and on a GPU (one
// kernel each) and throw as those do. B rows are dealt to M hypotheses, S = ceil(B / M) slots each: slot s of the M S
// belongs to hypothesis s / S and to row order[s mod B]; what slots from B on hold is not looked at.
#ifndef REVERIE_SRC_MODELS_IMAGINATION_H_
#define REVERIE_SRC_MODELS_IMAGINATION_H_

#include "reverie/models/dynamics_model.h"

namespace reverie {

// inputs [M, S, obs_dim + act_dim] = ((obs, action)[row of the slot] - mean) / std. order [B] int64.
void DealInputs(const torch::Tensor& obs, const torch::Tensor& action, const torch::Tensor& order,
                const torch::Tensor& mean, const torch::Tensor& std, torch::Tensor& inputs);

// What turns an output of the network into a target of D numbers.
struct TargetDecoder {
  torch::Tensor max_log_var, min_log_var;  // [1, D], the soft bounds of the log-variance
  torch::Tensor offset, scale;             // [D], y becomes scale y + offset
  bool add_obs = true;                     // whether its first obs_dim numbers are added to obs
};

// A draw mu + exp(l / 2) noise for every row, from output [M, S, 2 D] (mu, then raw l) and noise [M, S, D], written to
// the row's place in `sample`.
void DrawTargets(const torch::Tensor& output, const torch::Tensor& noise, const torch::Tensor& order,
                 const TargetDecoder& decoder, const torch::Tensor& obs, ModelSample& sample);

// finite [B] bool: all numbers of the row are finite. x [B, n], its columns contiguous.
void FiniteRows(const torch::Tensor& x, torch::Tensor& finite);

}  // namespace reverie

#endif  // REVERIE_SRC_MODELS_IMAGINATION_H_
