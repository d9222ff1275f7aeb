// A teacher that goes some way towards its pupil, so that the pupil learns in the states that it will itself lead to,
// while mistakes that cost much are not made.
//
//   pi_lambda(. | x) = argmin over pi of  E_pi[Q(x, u)] - H(pi) + lambda KL(pi || N(mu, S))
//
// with the cost Q(x, u) = 1/2 (u - u*)^T Q_uu (u - u*) of an action u followed by the expert's own, and the pupil's
// action N(mu, S). It is the Gaussian
//
//   precision   (Q_uu + lambda S^-1) / (1 + lambda)
//   mean        (Q_uu + lambda S^-1)^-1 (Q_uu u* + lambda S^-1 mu),      inside the bounds: the least there
//
// lambda 0 is the expert, infinity the pupil. The divergence counts at the present step alone, as what the pupil will
// observe is not known. Source: Kahn, Zhang, Levine and Abbeel 2017 (PLATO), equation 3.
#ifndef REVERIE_CONTROL_ADAPTIVE_TEACHER_H_
#define REVERIE_CONTROL_ADAPTIVE_TEACHER_H_

#include "reverie/core/tensor.h"

namespace reverie {

// Its mean in [-1, 1], [m]. expert u*, which may lie beyond, and pupil mu [m], curvature Q_uu and pupil_precision S^-1
// [m, m], symmetric; all float64 on the CPU. Where the sum of the two is not positive definite, or a number not finite,
// it is the expert's action, clipped. Throws std::invalid_argument where a shape does not fit or lambda is negative.
torch::Tensor AdaptedAction(const torch::Tensor& expert, const torch::Tensor& curvature, const torch::Tensor& pupil,
                            const torch::Tensor& pupil_precision, double lambda);

}  // namespace reverie

#endif  // REVERIE_CONTROL_ADAPTIVE_TEACHER_H_
