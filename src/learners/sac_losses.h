// The pieces of SAC's update between its networks; sac_learner.h has the formulas. Internal to the learner.
//
// Float32 on one device, no gradients recorded, nothing copied to the host. All but CriticLossTowards allocate nothing:
// one loop each on the CPU, one kernel each on a GPU. Those throw as nn/kernels.h does.
#ifndef REVERIE_SRC_LEARNERS_SAC_LOSSES_H_
#define REVERIE_SRC_LEARNERS_SAC_LOSSES_H_

#include "reverie/data/transitions.h"

namespace reverie {

// The critics' loss sum_i 0.5 mean w (Q_i - y)^2 with y = r + discount (1 - terminated) (min Q' - alpha log pi').
// q, next_q [2, B, 1]; next_log_prob [B]; alpha []. Writes its gradient by q into q_grad [2, B, 1], its value into
// loss [] and the mean of q into q_mean [].
void CriticLoss(const TransitionBatch& batch, const torch::Tensor& q, const torch::Tensor& next_q,
                const torch::Tensor& next_log_prob, const torch::Tensor& alpha, double discount, torch::Tensor& q_grad,
                torch::Tensor& loss, torch::Tensor& q_mean);

// The same loss with y [B] given.
void CriticLossTowards(const TransitionBatch& batch, const torch::Tensor& q, const torch::Tensor& y,
                       torch::Tensor& q_grad, torch::Tensor& loss, torch::Tensor& q_mean);

// The actor's loss mean alpha log pi - min_i Q_i. q [2, B, 1]; log_prob [B]; alpha []. Writes its gradients by q into
// q_grad [2, B, 1] and by each log_prob into log_prob_grad [], its value into loss [] and -mean log pi into entropy [].
void ActorLoss(const torch::Tensor& q, const torch::Tensor& log_prob, const torch::Tensor& alpha, torch::Tensor& q_grad,
               torch::Tensor& log_prob_grad, torch::Tensor& loss, torch::Tensor& entropy);

// Alpha's loss -log_alpha (target_entropy - entropy) into loss [] and its gradient into grad [1]. log_alpha [1].
void AlphaLoss(const torch::Tensor& log_alpha, const torch::Tensor& entropy, double target_entropy, torch::Tensor& grad,
               torch::Tensor& loss);

}  // namespace reverie

#endif  // REVERIE_SRC_LEARNERS_SAC_LOSSES_H_
