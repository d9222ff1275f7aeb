// What sac_losses.h does to one row, for the loops of sac_losses.cc and the kernels of sac_losses.cu.
#ifndef REVERIE_SRC_LEARNERS_SAC_LOSSES_MATH_H_
#define REVERIE_SRC_LEARNERS_SAC_LOSSES_MATH_H_

#include <cmath>

#include "reverie/core/host_device.h"

namespace reverie {

// What a transition's row says to the critics: its columns from the reward on.
struct CriticRow {
  float reward, terminated, log_weight;
  float q1, q2, next_q1, next_q2, next_log_prob;
};
struct CriticTerms {
  float grad1, grad2, loss;  // twice the row's share of the loss
};
REVERIE_HOST_DEVICE inline CriticTerms CriticTermsOf(const CriticRow& row, float alpha, float discount, float rows) {
  const float weight = std::exp(row.log_weight) / rows;
  const float smaller = row.next_q2 < row.next_q1 ? row.next_q2 : row.next_q1;
  const float target = row.reward + discount * (1.0F - row.terminated) * (smaller - alpha * row.next_log_prob);
  const float error1 = row.q1 - target;
  const float error2 = row.q2 - target;
  return {.grad1 = weight * error1, .grad2 = weight * error2, .loss = weight * (error1 * error1 + error2 * error2)};
}

// share: the gradient by the smaller of the two, -1 / rows.
struct ActorTerms {
  float grad1, grad2, min_q;
};
REVERIE_HOST_DEVICE inline ActorTerms ActorTermsOf(float q1, float q2, float share) {
  const bool first_is_min = q1 <= q2;
  return {.grad1 = first_is_min ? share : 0.0F, .grad2 = first_is_min ? 0.0F : share, .min_q = first_is_min ? q1 : q2};
}

}  // namespace reverie

#endif  // REVERIE_SRC_LEARNERS_SAC_LOSSES_MATH_H_
