#include "reverie/control/lqr.h"

#include <Eigen/Eigenvalues>
#include <Eigen/LU>
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "box_qp_solver.h"
#include "eigen.h"
#include "riccati_kernels.h"
#include "shapes.h"

namespace reverie {
namespace {

// One of T vectors of a tensor.
ConstVectorMap VectorAt(const torch::Tensor& tensor, int64_t t) {
  return {tensor.data_ptr<double>() + t * tensor.stride(0), tensor.size(1)};
}

void RequireShapes(const LinearDynamics& dynamics, const QuadraticCost& cost, const LqrOptions& options) {
  if (!dynamics.b.defined() || dynamics.b.dim() != 3) {
    throw std::invalid_argument("dynamics.b is not [T, n, m]");
  }
  const int64_t horizon = dynamics.b.size(0);
  const int64_t n = dynamics.b.size(1);
  const int64_t m = dynamics.b.size(2);
  RequireDynamics(dynamics, horizon, n, m);
  RequireCost(cost, horizon, n, m);
  if (options.low.defined() || options.high.defined()) {
    RequireDoubles("options.low", options.low, {horizon, m});
    RequireDoubles("options.high", options.high, {horizon, m});
  }
  if (options.dynamics_hessian.defined()) {
    RequireDoubles("options.dynamics_hessian", options.dynamics_hessian, {horizon, n, n + m, n + m});
  }
}

void MakeResult(int64_t horizon, int64_t n, int64_t m, LqrResult* result) {
  MakeDoubles(&result->gains.feedback, {horizon, m, n});
  MakeDoubles(&result->gains.feedforward, {horizon, m});
  MakeDoubles(&result->value.xx, {horizon + 1, n, n});
  MakeDoubles(&result->value.x, {horizon + 1, n});
  MakeDoubles(&result->value.c, {horizon + 1});
  MakeDoubles(&result->quu, {horizon, m, m});
  MakeDoubles(&result->qu, {horizon, m});
  result->status = LqrStatus::kSolved;
  result->failed_at = -1;
  result->linear_change = result->quadratic_change = 0;
}

// The last step that is done and whose value is not finite; -1 where all are.
int64_t LastNotFinite(const LqrResult& result) {
  const int64_t first = result.failed_at + 1;
  const auto finite = [](const torch::Tensor& tensor, int64_t from, int64_t steps) {
    const int64_t size = tensor.stride(0);
    return AllFinite(tensor.data_ptr<double>() + from * size, steps * size);
  };
  const auto value_is = [&](int64_t from, int64_t steps) {
    return finite(result.value.xx, from, steps) && finite(result.value.x, from, steps) &&
           finite(result.value.c, from, steps);
  };
  const int64_t horizon = result.quu.size(0);
  if (value_is(first, horizon - first)) {
    return std::isfinite(result.linear_change) && std::isfinite(result.quadratic_change) ? -1 : first;
  }
  int64_t t = horizon - 1;
  while (value_is(t, 1)) {
    --t;
  }
  return t;
}

}  // namespace

const char* Text(LqrStatus status) {
  switch (status) {
    case LqrStatus::kSolved:
      return "solved";
    case LqrStatus::kNotPositiveDefinite:
      return "the cost of the controls is not positive definite";
    case LqrStatus::kNotFinite:
      return "a number is not finite";
    case LqrStatus::kNotStabilisable:
      return "no controller that this cost asks for brings every state to rest";
    case LqrStatus::kInaccurate:
      return "the Riccati equation is not solved to 1e-8";
  }
  return "";
}

// What one step of the recursion needs, for z = [x; u] of n + m numbers.
struct LqrSolver::Workspace {
  Workspace(int64_t states, int64_t controls)
      : n(states),
        m(controls),
        f(At(n * z())),
        p_f(At(n * z())),
        h(At(z() * z())),
        g(At(z())),
        next(At(n)),
        factor(At(m * m)),
        gains(At(m * (n + 1))),
        change(At(m * n)),
        change_u(At(m)),
        low(m),
        high(m),
        k(m),
        box(m) {}

  int64_t z() const { return n + m; }
  static size_t At(int64_t size) { return static_cast<size_t>(size); }

  // Q's second and first derivatives at step t, from P and p of t + 1.
  void Expand(const LinearDynamics& dynamics, const QuadraticCost& cost, const LqrOptions& options, int64_t t,
              const QuadraticValue& value);
  // K and k of step t.
  LqrStatus Minimise(const LqrOptions& options, int64_t t);
  // With bounds: the rows of K of the controls that are free, from those of Q_ux in `gains`.
  LqrStatus MinimiseInBox();
  // P, p and s of step t.
  void Propagate(const LinearDynamics& dynamics, const QuadraticCost& cost, int64_t t, QuadraticValue* value);
  void Keep(int64_t t, LqrResult* result) const;

  int64_t n, m;
  std::vector<double> f;         // [A B], [n, n + m]
  std::vector<double> p_f;       // P [A B]
  std::vector<double> h;         // [[Q_xx, Q_ux^T], [Q_ux, Q_uu]], [n + m, n + m]
  std::vector<double> g;         // [Q_x; Q_u]
  std::vector<double> next;      // p + P f, [n]
  std::vector<double> factor;    // of the regularised Q_uu, [m, m]
  std::vector<double> gains;     // [K k], [m, n + 1]
  std::vector<double> change;    // Q_uu K + Q_ux, [m, n]
  std::vector<double> change_u;  // Q_uu k + Q_u, [m]
  Eigen::VectorXd low, high, k;
  BoxQpSolver box;
};

void LqrSolver::Workspace::Expand(const LinearDynamics& dynamics, const QuadraticCost& cost, const LqrOptions& options,
                                  int64_t t, const QuadraticValue& value) {
  const double* a = dynamics.a.data_ptr<double>() + t * n * n;
  const double* b = dynamics.b.data_ptr<double>() + t * n * m;
  const double* p = value.xx.data_ptr<double>() + (t + 1) * n * n;
  for (int64_t i = 0; i < n; ++i) {
    std::copy_n(a + i * n, n, &f[At(i * z())]);
    std::copy_n(b + i * m, m, &f[At(i * z() + n)]);
  }
  std::copy_n(value.x.data_ptr<double>() + (t + 1) * n, n, next.data());
  AddTransposedProduct(dynamics.f.data_ptr<double>() + t * n, 1, p, n, next.data(), n, n, 1, n);
  std::fill(p_f.begin(), p_f.end(), 0.0);
  AddTransposedProduct(p, n, f.data(), z(), p_f.data(), z(), n, n, z());

  const double* xx = cost.xx.data_ptr<double>() + t * n * n;
  const double* ux = cost.ux.data_ptr<double>() + t * m * n;
  const double* uu = cost.uu.data_ptr<double>() + t * m * m;
  for (int64_t i = 0; i < n; ++i) {
    std::copy_n(xx + i * n, n, &h[At(i * z())]);
    for (int64_t j = 0; j < m; ++j) {
      h[At(i * z() + n + j)] = ux[j * n + i];
    }
  }
  for (int64_t i = 0; i < m; ++i) {
    std::copy_n(ux + i * n, n, &h[At((n + i) * z())]);
    std::copy_n(uu + i * m, m, &h[At((n + i) * z() + n)]);
  }
  AddTransposedProduct(f.data(), z(), p_f.data(), z(), h.data(), z(), n, z(), z());
  std::copy_n(cost.x.data_ptr<double>() + t * n, n, g.data());
  std::copy_n(cost.u.data_ptr<double>() + t * m, m, &g[At(n)]);
  AddTransposedProduct(next.data(), 1, f.data(), z(), g.data(), z(), n, 1, z());
  if (options.dynamics_hessian.defined()) {
    AddTransposedProduct(next.data(), 1, options.dynamics_hessian.data_ptr<double>() + t * n * z() * z(), z() * z(),
                         h.data(), z() * z(), n, 1, z() * z());
  }
}

LqrStatus LqrSolver::Workspace::Minimise(const LqrOptions& options, int64_t t) {
  for (int64_t i = 0; i < m; ++i) {
    std::copy_n(&h[At((n + i) * z())], n, &gains[At(i * (n + 1))]);
    gains[At(i * (n + 1) + n)] = g[At(n + i)];
    std::copy_n(&h[At((n + i) * z() + n)], m, &factor[At(i * m)]);
  }
  if (options.state_regularisation != 0) {
    for (int64_t i = 0; i < n; ++i) {
      const double* row = &f[At(i * z())];  // B^T B and B^T A
      for (int64_t j = 0; j < m; ++j) {
        const double scaled = options.state_regularisation * row[n + j];
        for (int64_t c = 0; c < m; ++c) {
          factor[At(j * m + c)] += scaled * row[n + c];
        }
        for (int64_t c = 0; c < n; ++c) {
          gains[At(j * (n + 1) + c)] += scaled * row[c];
        }
      }
    }
  }
  for (int64_t i = 0; i < m; ++i) {
    factor[At(i * m + i)] += options.control_regularisation;
  }

  if (options.low.defined()) {
    low = VectorAt(options.low, t);
    high = VectorAt(options.high, t);
    if (const LqrStatus status = MinimiseInBox(); status != LqrStatus::kSolved) {
      return status;
    }
  } else {
    if (!FactoriseRows(factor.data(), m)) {
      return AllFinite(h.data(), z() * z()) ? LqrStatus::kNotPositiveDefinite : LqrStatus::kNotFinite;
    }
    SolveRowsNegated(factor.data(), m, gains.data(), n + 1);
  }
  return AllFinite(gains.data(), m * (n + 1)) ? LqrStatus::kSolved : LqrStatus::kNotFinite;
}

LqrStatus LqrSolver::Workspace::MinimiseInBox() {
  const Eigen::Map<const Eigen::MatrixXd> quu(factor.data(), m, m);
  switch (box.Solve(quu, ConstVectorMap(&g[At(n)], m), low, high, k)) {  // from the k of step t + 1
    case BoxQpStatus::kNotPositiveDefinite:
      return LqrStatus::kNotPositiveDefinite;
    case BoxQpStatus::kNotFinite:
      return LqrStatus::kNotFinite;
    default:
      break;
  }
  const auto free = static_cast<int64_t>(box.free().size());
  for (int64_t i = 0; i < free; ++i) {  // they come in increasing order
    std::copy_n(&gains[At(box.free()[At(i)] * (n + 1))], n + 1, &gains[At(i * (n + 1))]);
  }
  box.SolveFree(MatrixMap(gains.data(), free, n + 1));
  for (int64_t i = m - 1, from = free - 1; i >= 0; --i) {
    double* row = &gains[At(i * (n + 1))];
    if (from >= 0 && box.free()[At(from)] == i) {
      for (int64_t j = 0; j < n; ++j) {
        row[j] = -gains[At(from * (n + 1) + j)];
      }
      --from;
    } else {
      std::fill_n(row, n, 0.0);
    }
    row[n] = k[i];
  }
  return LqrStatus::kSolved;
}

void LqrSolver::Workspace::Propagate(const LinearDynamics& dynamics, const QuadraticCost& cost, int64_t t,
                                     QuadraticValue* value) {
  const double* quu = &h[At(n * z() + n)];
  const double* qux = &h[At(n * z())];
  for (int64_t i = 0; i < m; ++i) {
    std::copy_n(qux + i * z(), n, &change[At(i * n)]);
  }
  AddTransposedProduct(quu, z(), gains.data(), n + 1, change.data(), n, m, m, n);
  std::copy_n(&g[At(n)], m, change_u.data());
  AddTransposedProduct(&gains[At(n)], n + 1, quu, z(), change_u.data(), m, m, 1, m);

  // P = Q_xx + K^T (Q_uu K + Q_ux) + Q_ux^T K,  p = Q_x + K^T (Q_uu k + Q_u) + Q_ux^T k
  double* p = value->xx.data_ptr<double>() + t * n * n;
  double* p_x = value->x.data_ptr<double>() + t * n;
  for (int64_t i = 0; i < n; ++i) {
    std::copy_n(&h[At(i * z())], n, p + i * n);
  }
  AddTransposedProduct(gains.data(), n + 1, change.data(), n, p, n, m, n, n);
  AddTransposedProduct(qux, z(), gains.data(), n + 1, p, n, m, n, n);
  Symmetrise(p, n);
  std::copy_n(g.data(), n, p_x);
  AddTransposedProduct(change_u.data(), 1, gains.data(), n + 1, p_x, n, m, 1, n);
  AddTransposedProduct(&gains[At(n)], n + 1, qux, z(), p_x, n, m, 1, n);

  double* s = value->c.data_ptr<double>();
  const double* offset = dynamics.f.data_ptr<double>() + t * n;
  const double* next_x = value->x.data_ptr<double>() + (t + 1) * n;
  s[t] = cost.c.data_ptr<double>()[t] + s[t + 1];
  for (int64_t i = 0; i < n; ++i) {
    s[t] += 0.5 * offset[i] * (next_x[i] + next[At(i)]);
  }
  for (int64_t i = 0; i < m; ++i) {
    s[t] += 0.5 * gains[At(i * (n + 1) + n)] * (g[At(n + i)] + change_u[At(i)]);
  }
}

void LqrSolver::Workspace::Keep(int64_t t, LqrResult* result) const {
  double* feedback = result->gains.feedback.data_ptr<double>() + t * m * n;
  double* feedforward = result->gains.feedforward.data_ptr<double>() + t * m;
  double* quu = result->quu.data_ptr<double>() + t * m * m;
  double* qu = result->qu.data_ptr<double>() + t * m;
  for (int64_t i = 0; i < m; ++i) {
    std::copy_n(&gains[At(i * (n + 1))], n, feedback + i * n);
    feedforward[i] = gains[At(i * (n + 1) + n)];
    std::copy_n(&h[At((n + i) * z() + n)], m, quu + i * m);
    qu[i] = g[At(n + i)];
    result->linear_change += feedforward[i] * qu[i];
    result->quadratic_change += feedforward[i] * (change_u[At(i)] - qu[i]);
  }
}

LqrSolver::LqrSolver() = default;
LqrSolver::~LqrSolver() = default;

void LqrSolver::Solve(const LinearDynamics& dynamics, const QuadraticCost& cost, const LqrOptions& options,
                      LqrResult* result) {
  RequireShapes(dynamics, cost, options);
  const int64_t horizon = dynamics.b.size(0);
  const int64_t n = dynamics.b.size(1);
  const int64_t m = dynamics.b.size(2);
  if (workspace_ == nullptr || workspace_->n != n || workspace_->m != m) {
    workspace_ = std::make_unique<Workspace>(n, m);
  }
  MakeResult(horizon, n, m, result);
  Workspace& at = *workspace_;
  at.k.setZero();
  std::copy_n(cost.xx.data_ptr<double>() + horizon * n * n, n * n,
              result->value.xx.data_ptr<double>() + horizon * n * n);
  std::copy_n(cost.x.data_ptr<double>() + horizon * n, n, result->value.x.data_ptr<double>() + horizon * n);
  result->value.c.data_ptr<double>()[horizon] = cost.c.data_ptr<double>()[horizon];
  for (int64_t t = horizon - 1; t >= 0; --t) {
    at.Expand(dynamics, cost, options, t, result->value);
    result->status = at.Minimise(options, t);
    if (result->status != LqrStatus::kSolved) {
      result->failed_at = t;
      break;
    }
    at.Propagate(dynamics, cost, t, &result->value);
    at.Keep(t, result);
  }
  if (const int64_t t = LastNotFinite(*result); t >= 0) {
    result->status = LqrStatus::kNotFinite;
    result->failed_at = t;
  }
}

LqrResult SolveLqr(const LinearDynamics& dynamics, const QuadraticCost& cost, const LqrOptions& options) {
  LqrSolver solver;
  LqrResult result;
  solver.Solve(dynamics, cost, options, &result);
  return result;
}

namespace {

constexpr int kMostDoublings = 60;
constexpr double kDoublingTolerance = 1e-14;  // relative change of P
constexpr double kSymmetryTolerance = 1e-10;  // relative
constexpr int kMostNewtonSteps = 10;
constexpr double kResidualTolerance = 1e-8;
constexpr double kLeastDecay = 1e-6;  // what rounding, and differences, make of a modulus of 1

torch::Tensor ToTensor(const Eigen::MatrixXd& matrix) {
  torch::Tensor tensor = torch::empty({matrix.rows(), matrix.cols()}, torch::kFloat64);
  MatrixMap(tensor.data_ptr<double>(), matrix.rows(), matrix.cols()) = matrix;
  return tensor;
}

Eigen::MatrixXd ToMatrix(const torch::Tensor& tensor) {
  return ConstMatrixMap(tensor.data_ptr<double>(), tensor.size(0), tensor.size(1));
}

void RequireSymmetric(const char* name, const Eigen::MatrixXd& matrix) {
  if ((matrix - matrix.transpose()).norm() > kSymmetryTolerance * matrix.norm()) {
    throw std::invalid_argument(std::string(name) + " is not symmetric");
  }
}

Eigen::VectorXd Moduli(const Eigen::MatrixXd& matrix) {
  Eigen::VectorXd moduli = Eigen::EigenSolver<Eigen::MatrixXd>(matrix, false).eigenvalues().cwiseAbs();
  std::sort(moduli.begin(), moduli.end(), std::greater<>());
  return moduli;
}

struct Dare {
  // -(R + B^T P B)^-1 (S + B^T P A), if that can be inverted.
  std::optional<Eigen::MatrixXd> Gain(const Eigen::MatrixXd& p) const {
    const Eigen::LLT<Eigen::MatrixXd> quu(r + b.transpose() * p * b);
    if (quu.info() != Eigen::Success) {
      return std::nullopt;
    }
    return -quu.solve(s + b.transpose() * p * a);
  }

  // P of acting by that gain, from the sum over all steps of its cost; none where it does not come to rest.
  std::optional<Eigen::MatrixXd> Cost(const Eigen::MatrixXd& k) const {
    Eigen::MatrixXd power = a + b * k;
    Eigen::MatrixXd sum = q + k.transpose() * r * k + k.transpose() * s + s.transpose() * k;
    for (int i = 0; i < kMostDoublings; ++i) {
      const Eigen::MatrixXd more = power.transpose() * sum * power;
      sum += more;
      power = (power * power).eval();
      if (more.norm() <= std::numeric_limits<double>::epsilon() * sum.norm()) {
        return 0.5 * (sum + sum.transpose());
      }
    }
    return std::nullopt;
  }

  // Of the equation with the gain of p, relative to the largest of its terms.
  double Residual(const Eigen::MatrixXd& p, const Eigen::MatrixXd& k) const {
    const Eigen::MatrixXd moved = a.transpose() * p * a;
    const Eigen::MatrixXd saved = (s + b.transpose() * p * a).transpose() * k;
    return (q + moved + saved - p).norm() / std::max({p.norm(), q.norm(), moved.norm()});
  }

  const Eigen::MatrixXd &a, &b, &q, &r, &s;
};

}  // namespace

DareResult SolveDare(const torch::Tensor& a_tensor, const torch::Tensor& b_tensor, const torch::Tensor& q_tensor,
                     const torch::Tensor& r_tensor, const torch::Tensor& s_tensor) {
  if (!b_tensor.defined() || b_tensor.dim() != 2) {
    throw std::invalid_argument("b is not [n, m]");
  }
  const int64_t n = b_tensor.size(0);
  const int64_t m = b_tensor.size(1);
  RequireDoubles("a", a_tensor, {n, n});
  RequireDoubles("b", b_tensor, {n, m});
  RequireDoubles("q", q_tensor, {n, n});
  RequireDoubles("r", r_tensor, {m, m});
  const Eigen::MatrixXd a = ToMatrix(a_tensor);
  const Eigen::MatrixXd b = ToMatrix(b_tensor);
  const Eigen::MatrixXd q = ToMatrix(q_tensor);
  const Eigen::MatrixXd r = ToMatrix(r_tensor);
  Eigen::MatrixXd s = Eigen::MatrixXd::Zero(m, n);
  if (s_tensor.defined()) {
    RequireDoubles("s", s_tensor, {m, n});
    s = ToMatrix(s_tensor);
  }
  RequireSymmetric("q", q);
  RequireSymmetric("r", r);
  if (!a.allFinite() || !b.allFinite() || !q.allFinite() || !r.allFinite() || !s.allFinite()) {
    return {.status = LqrStatus::kNotFinite};
  }
  const Eigen::LLT<Eigen::MatrixXd> r_factor(r);
  if (r_factor.info() != Eigen::Success) {
    return {.status = LqrStatus::kNotPositiveDefinite};
  }
  // Without the cross term: u = v - R^-1 S x.
  Eigen::MatrixXd a_k = a - b * r_factor.solve(s);
  Eigen::MatrixXd g = b * r_factor.solve(b.transpose());
  Eigen::MatrixXd p = q - s.transpose() * r_factor.solve(s);
  bool converged = false;
  for (int i = 0; i < kMostDoublings && !converged && p.allFinite(); ++i) {
    const Eigen::PartialPivLU<Eigen::MatrixXd> w(Eigen::MatrixXd::Identity(n, n) + g * p);
    const Eigen::MatrixXd w_a = w.solve(a_k);  // (I + G P)^-1 A
    const Eigen::MatrixXd w_g = w.solve(g);    // (I + G P)^-1 G, symmetric
    const Eigen::MatrixXd change = a_k.transpose() * p * w_a;
    g += a_k * w_g * a_k.transpose();
    a_k = (a_k * w_a).eval();
    p += change;
    p = (0.5 * (p + p.transpose())).eval();
    g = (0.5 * (g + g.transpose())).eval();
    converged = change.norm() <= kDoublingTolerance * p.norm();
  }
  if (!converged || !p.allFinite()) {
    return {.status = LqrStatus::kNotStabilisable};
  }
  const Dare equation{.a = a, .b = b, .q = q, .r = r, .s = s};
  std::optional<Eigen::MatrixXd> gain = equation.Gain(p);
  if (!gain) {
    return {.status = LqrStatus::kNotPositiveDefinite};
  }
  if (!(Moduli(a + b * *gain)[0] < 1 - kLeastDecay)) {
    return {.status = LqrStatus::kNotStabilisable};
  }
  // Where R is small beside Q the doubling is inexact; Newton's steps do not keep its error.
  double residual = equation.Residual(p, *gain);
  for (int i = 0; i < kMostNewtonSteps && residual > 0; ++i) {
    const std::optional<Eigen::MatrixXd> better = equation.Cost(*gain);
    const std::optional<Eigen::MatrixXd> its_gain = better ? equation.Gain(*better) : std::nullopt;
    const double its_residual = its_gain ? equation.Residual(*better, *its_gain) : residual;
    if (!(its_residual < residual)) {
      break;
    }
    p = *better;
    gain = its_gain;
    residual = its_residual;
  }
  return {.status = residual <= kResidualTolerance ? LqrStatus::kSolved : LqrStatus::kInaccurate,
          .p = ToTensor(p),
          .k = ToTensor(*gain),
          .moduli = ToTensor(Moduli(a + b * *gain)).flatten()};
}

}  // namespace reverie
