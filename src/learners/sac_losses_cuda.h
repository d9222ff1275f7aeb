// The functions of sac_losses.h on a GPU: over pointers to device memory, one launch each, under the promises of
// nn/kernels_cuda.h.
#ifndef REVERIE_SRC_LEARNERS_SAC_LOSSES_CUDA_H_
#define REVERIE_SRC_LEARNERS_SAC_LOSSES_CUDA_H_

#include <cstdint>

#include "core/cuda_stream.h"

namespace reverie::cuda {

struct CriticLossArguments {
  const float* transitions;  // the first row's reward
  int64_t stride;            // from one row's to the next one's
  const float *q, *next_q, *next_log_prob, *alpha;
  float *q_grad, *loss, *q_mean;
  int64_t rows;
  float discount;
};
void CriticLoss(const CriticLossArguments& arguments, CudaStream stream);

struct ActorLossArguments {
  const float *q, *log_prob, *alpha;
  float *q_grad, *log_prob_grad, *loss, *entropy;
  int64_t rows;
};
void ActorLoss(const ActorLossArguments& arguments, CudaStream stream);

void AlphaLoss(const float* log_alpha, const float* entropy, double target_entropy, float* grad, float* loss,
               CudaStream stream);

}  // namespace reverie::cuda

#endif  // REVERIE_SRC_LEARNERS_SAC_LOSSES_CUDA_H_
