#include "sac_losses_cuda.h"

#include "core/kernel.cuh"
#include "sac_losses_math.h"

namespace reverie::cuda {
namespace {

// A minibatch is a row or two for each thread of one block.

__global__ void CriticKernel(const __grid_constant__ CriticLossArguments a) {
  const float alpha = *a.alpha;
  double loss_sum = 0;
  double q_sum = 0;
  for (int64_t i = threadIdx.x; i < a.rows; i += kBlock) {
    const float* row = a.transitions + i * a.stride;
    const float q1 = a.q[i];
    const float q2 = a.q[a.rows + i];
    const CriticTerms terms = CriticTermsOf({.reward = row[0],
                                             .terminated = row[1],
                                             .log_weight = row[3],
                                             .q1 = q1,
                                             .q2 = q2,
                                             .next_q1 = a.next_q[i],
                                             .next_q2 = a.next_q[a.rows + i],
                                             .next_log_prob = a.next_log_prob[i]},
                                            alpha, a.discount, static_cast<float>(a.rows));
    a.q_grad[i] = terms.grad1;
    a.q_grad[a.rows + i] = terms.grad2;
    loss_sum += static_cast<double>(terms.loss);
    q_sum += static_cast<double>(q1 + q2);
  }
  loss_sum = BlockSum<1>(loss_sum);
  q_sum = BlockSum<1>(q_sum);
  if (threadIdx.x == 0) {
    *a.loss = static_cast<float>(0.5 * loss_sum);
    *a.q_mean = static_cast<float>(q_sum / static_cast<double>(2 * a.rows));
  }
}

__global__ void ActorKernel(const __grid_constant__ ActorLossArguments a) {
  const auto count = static_cast<double>(a.rows);
  const auto share = static_cast<float>(-1 / count);
  double min_q_sum = 0;
  double log_prob_sum = 0;
  for (int64_t i = threadIdx.x; i < a.rows; i += kBlock) {
    const ActorTerms terms = ActorTermsOf(a.q[i], a.q[a.rows + i], share);
    a.q_grad[i] = terms.grad1;
    a.q_grad[a.rows + i] = terms.grad2;
    min_q_sum += static_cast<double>(terms.min_q);
    log_prob_sum += static_cast<double>(a.log_prob[i]);
  }
  min_q_sum = BlockSum<1>(min_q_sum);
  log_prob_sum = BlockSum<1>(log_prob_sum);
  if (threadIdx.x == 0) {
    const auto alpha = static_cast<double>(*a.alpha);
    *a.log_prob_grad = static_cast<float>(alpha / count);
    *a.entropy = static_cast<float>(-log_prob_sum / count);
    *a.loss = static_cast<float>((alpha * log_prob_sum - min_q_sum) / count);
  }
}

__global__ void AlphaKernel(const float* log_alpha, const float* entropy, double target_entropy, float* grad,
                            float* loss) {
  if (threadIdx.x == 0) {
    const auto excess = static_cast<float>(static_cast<double>(*entropy) - target_entropy);
    *grad = excess;
    *loss = *log_alpha * excess;
  }
}

}  // namespace

void CriticLoss(const CriticLossArguments& arguments, CudaStream stream) {
  Launch("CriticLoss", CriticKernel, 1, stream, arguments);
}

void ActorLoss(const ActorLossArguments& arguments, CudaStream stream) {
  Launch("ActorLoss", ActorKernel, 1, stream, arguments);
}

void AlphaLoss(const float* log_alpha, const float* entropy, double target_entropy, float* grad, float* loss,
               CudaStream stream) {
  Launch("AlphaLoss", AlphaKernel, 1, stream, log_alpha, entropy, target_entropy, grad, loss);
}

}  // namespace reverie::cuda
