// Linear dynamics, quadratic costs and linear controllers over T steps of n states and m controls.
//
//   x_{t+1} = A_t x_t + B_t u_t + f_t                                                         t = 0 .. T-1
//   l_t(x, u) = 1/2 x^T Q_t x + u^T S_t x + 1/2 u^T R_t u + q_t^T x + r_t^T u + c_t           t = 0 .. T-1
//   l_T(x)    = 1/2 x^T Q_T x + q_T^T x + c_T
//   u_t = K_t x_t + k_t
//   V_t(x) = 1/2 x^T P_t x + p_t^T x + s_t, the cost from step t on
//
// All tensors are float64, contiguous, on the CPU.
#ifndef REVERIE_CONTROL_LINEAR_QUADRATIC_H_
#define REVERIE_CONTROL_LINEAR_QUADRATIC_H_

#include <cstdint>

#include "reverie/core/tensor.h"

namespace reverie {

struct LinearDynamics {
  torch::Tensor a;  // A [T, n, n]
  torch::Tensor b;  // B [T, n, m]
  torch::Tensor f;  // [T, n]

  // Zeros.
  static LinearDynamics Of(int64_t horizon, int64_t states, int64_t controls);
};

struct QuadraticCost {
  torch::Tensor xx;  // Q [T + 1, n, n], symmetric
  torch::Tensor ux;  // S [T, m, n]
  torch::Tensor uu;  // R [T, m, m], symmetric
  torch::Tensor x;   // q [T + 1, n]
  torch::Tensor u;   // r [T, m]
  torch::Tensor c;   // [T + 1]

  // Zeros.
  static QuadraticCost Of(int64_t horizon, int64_t states, int64_t controls);
};

struct LinearGains {
  torch::Tensor feedback;     // K [T, m, n]
  torch::Tensor feedforward;  // k [T, m]
};

struct QuadraticValue {
  torch::Tensor xx;  // P [T + 1, n, n], symmetric
  torch::Tensor x;   // p [T + 1, n]
  torch::Tensor c;   // s [T + 1]
};

}  // namespace reverie

#endif  // REVERIE_CONTROL_LINEAR_QUADRATIC_H_
