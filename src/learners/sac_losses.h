// The pieces of SAC's update between its networks; sac_learner.h has the formulas. Internal to the learner.
//
// Float32 on one device, no gradients recorded, nothing copied to the host; on the CPU one loop each, without
// allocation.
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

// mean min_i Q_i of q [2, B, 1] into value [], and the gradient of minus that into q_grad [2, B, 1].
void MinQ(const torch::Tensor& q, torch::Tensor& q_grad, torch::Tensor& value);

}  // namespace reverie

#endif  // REVERIE_SRC_LEARNERS_SAC_LOSSES_H_
