// The linear-quadratic regulator: the one backward recursion of the house, and its fixed point.
#ifndef REVERIE_CONTROL_LQR_H_
#define REVERIE_CONTROL_LQR_H_

#include <cstdint>
#include <functional>
#include <memory>

#include "reverie/control/linear_quadratic.h"

namespace reverie {

enum class LqrStatus {
  kSolved,
  kNotPositiveDefinite,  // Q_uu of a step, with bounds that of its free controls: no least cost in u
  kNotFinite,            // a number of the problem, or one that came of it
  kNotStabilisable,      // of SolveDare: no controller brings every state to rest, or the cost does not ask for one
  kInaccurate,           // of SolveDare: the equation is not solved to 1e-8
};

// "the cost of the controls is not positive definite", ...
const char* Text(LqrStatus status);

struct LqrOptions {
  // Levenberg-Marquardt terms for problems that are models of others (Tassa, Erez and Todorov 2012, section II.F): the
  // gains are those of Q_uu + mu_u I, or of V_xx + mu_x I in Q_uu and Q_ux; the value is that of the gains in the
  // problem as it is.
  double control_regularisation = 0;  // mu_u
  double state_regularisation = 0;    // mu_x

  // Bounds of u_t at x_t = 0, each [T, m] or none: x is then the distance to a trajectory. k_t is the least inside
  // them, and the rows of K_t of the controls that they clamp are zero (control/box_qp.h).
  torch::Tensor low, high;

  // Curvature of the dynamics, for differential dynamic programming: d2f_i / d[x; u]^2 [T, n, n + m, n + m], or none.
  torch::Tensor dynamics_hessian;
};

struct LqrResult {
  LqrStatus status = LqrStatus::kSolved;
  int64_t failed_at = -1;  // the step t of which the status speaks; steps after it are done, those before keep what
                           // they had
  LinearGains gains;
  QuadraticValue value;
  torch::Tensor quu;  // Q_uu [T, m, m], without regularisation
  torch::Tensor qu;   // Q_u [T, m]

  // What feedforward controls alpha k are expected to change the cost by from x_0 = 0:
  //   alpha sum_t k_t^T Q_u,t + alpha^2 / 2 sum_t k_t^T Q_uu,t k_t
  double linear_change = 0, quadratic_change = 0;
};

// The best controls of a linear-quadratic problem, by the Riccati recursion from V_T = l_T:
//
//   Q_xx = Q + A^T P A,          Q_ux = S + B^T P A,          Q_uu = R + B^T P B
//   Q_x = q + A^T (p + P f),     Q_u = r + B^T (p + P f)
//
//   K = -Q_uu^-1 Q_ux,           k = -Q_uu^-1 Q_u
//
//   P <- Q_xx + K^T Q_uu K + K^T Q_ux + Q_ux^T K
//   p <- Q_x + K^T Q_uu k + K^T Q_u + Q_ux^T k
//
// (P, p of t + 1 on the right). This long form of P and p is right for any K and k, also where bounds or a
// regularisation made them others than the least.
//
// Keeps what the recursion needs from call to call, and writes into a result that has the sizes already: no allocation
// then. Cost: O(T (n + m)^3).
class LqrSolver {
 public:
  LqrSolver();
  ~LqrSolver();
  LqrSolver(const LqrSolver&) = delete;
  LqrSolver& operator=(const LqrSolver&) = delete;

  // Throws std::invalid_argument where a tensor is not float64, contiguous, on the CPU and of the shape said.
  void Solve(const LinearDynamics& dynamics, const QuadraticCost& cost, const LqrOptions& options, LqrResult* result);

 private:
  struct Workspace;
  std::unique_ptr<Workspace> workspace_;
};

LqrResult SolveLqr(const LinearDynamics& dynamics, const QuadraticCost& cost, const LqrOptions& options = {});

struct DareResult {
  LqrStatus status = LqrStatus::kSolved;
  torch::Tensor p;       // P [n, n]: the cost from x on is 1/2 x^T P x
  torch::Tensor k;       // K [m, n]: u = K x
  torch::Tensor moduli;  // [n]: of the eigenvalues of A + B K, largest first
};

// The controller for all time that brings x_{t+1} = A x_t + B u_t to rest at the least sum of
// 1/2 x^T Q x + u^T S x + 1/2 u^T R u: the discrete algebraic Riccati equation
//
//   P = Q + A^T P A - (S + B^T P A)^T (R + B^T P B)^-1 (S + B^T P A)
// by structure-preserving doubling (Chu, Fan, Lin and Wang 2004), which squares the closed loop in every pass, and by
// Newton's method from there (Hewer 1971). Solved means that all moduli are below 1 - 1e-6 and that the equation holds
// to 1e-8 of the largest of its terms. A mode that does not rest by itself has to be seen by the cost.
// a [n, n], b [n, m], q [n, n] symmetric, r [m, m] symmetric and positive definite, else the status is
// kNotPositiveDefinite; s [m, n] or none; float64 on the CPU. Throws
// std::invalid_argument where a shape does not fit, or q or r is not symmetric. Cost: O(n^3) a pass, some ten of them.
DareResult SolveDare(const torch::Tensor& a, const torch::Tensor& b, const torch::Tensor& q, const torch::Tensor& r,
                     const torch::Tensor& s = {});

}  // namespace reverie

#endif  // REVERIE_CONTROL_LQR_H_
