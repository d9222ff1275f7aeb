#include "reverie/control/box_qp.h"

#include <cmath>

#include "box_qp_solver.h"
#include "eigen.h"

namespace reverie {
namespace {

constexpr int64_t kMostIterations = 100;
constexpr double kLeastGradient = 1e-12;     // of the free variables
constexpr double kLeastImprovement = 1e-15;  // of the value, relative to its size
constexpr double kArmijo = 0.1;              // share of the expected improvement that a step has to bring
constexpr double kShorterStep = 0.6;
constexpr double kLeastStep = 1e-22;

}  // namespace

BoxQpSolver::BoxQpSolver(int64_t size)
    : factor_(size, size), product_(size), slope_(size), step_(size), candidate_(size) {
  free_.reserve(static_cast<size_t>(size));
  now_free_.reserve(static_cast<size_t>(size));
}

bool BoxQpSolver::Factorise(const Eigen::Ref<const Eigen::MatrixXd>& hessian) {
  const auto n = static_cast<Eigen::Index>(free_.size());
  for (Eigen::Index j = 0; j < n; ++j) {
    for (Eigen::Index i = j; i < n; ++i) {
      factor_(i, j) = hessian(free_[static_cast<size_t>(i)], free_[static_cast<size_t>(j)]);
    }
  }
  return FactoriseInPlace(factor_.topLeftCorner(n, n));
}

double BoxQpSolver::Value(const Eigen::Ref<const Eigen::MatrixXd>& hessian,
                          const Eigen::Ref<const Eigen::VectorXd>& gradient, const Eigen::VectorXd& x) {
  product_.noalias() = hessian.selfadjointView<Eigen::Lower>() * x;
  return 0.5 * x.dot(product_) + x.dot(gradient);
}

BoxQpStatus BoxQpSolver::Solve(const Eigen::Ref<const Eigen::MatrixXd>& hessian,
                               const Eigen::Ref<const Eigen::VectorXd>& gradient,
                               const Eigen::Ref<const Eigen::VectorXd>& low,
                               const Eigen::Ref<const Eigen::VectorXd>& high, Eigen::Ref<Eigen::VectorXd> x) {
  free_.clear();
  iterations_ = 0;
  if (!(low.array() <= high.array()).all()) {  // or not a number
    return BoxQpStatus::kNotFinite;
  }
  x = x.cwiseMax(low).cwiseMin(high);
  candidate_ = x;
  double value = Value(hessian, gradient, candidate_);
  if (!std::isfinite(value) || !hessian.allFinite()) {
    return BoxQpStatus::kNotFinite;
  }
  double before = value;
  bool whole_step = false;  // the last one, which the box did not cut
  for (; iterations_ < kMostIterations; ++iterations_) {
    slope_ = gradient + product_;  // of x: the last value that was asked for
    now_free_.clear();
    for (Eigen::Index i = 0; i < x.size(); ++i) {
      if (!(x[i] == low[i] && slope_[i] > 0) && !(x[i] == high[i] && slope_[i] < 0)) {
        now_free_.push_back(i);
      }
    }
    const bool changed = iterations_ == 0 || now_free_ != free_;
    free_ = now_free_;
    if (free_.empty()) {
      return BoxQpStatus::kAllClamped;
    }
    if (changed && !Factorise(hessian)) {
      return BoxQpStatus::kNotPositiveDefinite;
    }
    const auto n = static_cast<Eigen::Index>(free_.size());
    for (Eigen::Index i = 0; i < n; ++i) {
      step_[i] = -slope_[free_[static_cast<size_t>(i)]];
    }
    const bool gained = iterations_ == 0 || before - value >= kLeastImprovement * std::abs(before);
    if ((whole_step && !changed) || step_.head(n).norm() < kLeastGradient || !gained) {
      return BoxQpStatus::kSolved;
    }
    before = value;
    SolveFree(step_.head(n));
    // Newton's step in the free variables; its projection into the box is shortened until it improves enough.
    bool cut = false;
    const auto along = [&](double length) {
      candidate_ = x;
      cut = false;
      for (Eigen::Index i = 0; i < n; ++i) {
        const Eigen::Index at = free_[static_cast<size_t>(i)];
        const double to = x[at] + length * step_[i];
        candidate_[at] = std::min(std::max(to, low[at]), high[at]);
        cut = cut || candidate_[at] != to;
      }
      return Value(hessian, gradient, candidate_);
    };
    double length = 1;
    value = along(length);
    while (!(value <= before + kArmijo * (candidate_ - x).dot(slope_))) {
      length *= kShorterStep;
      if (length < kLeastStep) {
        return BoxQpStatus::kSolved;  // nothing is gained any more
      }
      value = along(length);
    }
    whole_step = length == 1 && !cut;
    x = candidate_;
  }
  return BoxQpStatus::kMaxIterations;
}

BoxQpResult SolveBoxQp(const torch::Tensor& hessian, const torch::Tensor& gradient, const torch::Tensor& low,
                       const torch::Tensor& high, const torch::Tensor& start) {
  const int64_t m = gradient.defined() ? gradient.numel() : 0;
  RequireDoubles("hessian", hessian, {m, m});
  for (const auto& [name, tensor] :
       {std::pair("gradient", &gradient), {"low", &low}, {"high", &high}, {"start", &start}}) {
    RequireDoubles(name, *tensor, {m});
  }
  BoxQpSolver solver(m);
  BoxQpResult result{.x = start.clone(), .free = torch::zeros(m, torch::kBool)};
  const auto vector = [m](const torch::Tensor& tensor) { return ConstVectorMap(tensor.data_ptr<double>(), m); };
  const Eigen::MatrixXd h = ConstMatrixMap(hessian.data_ptr<double>(), m, m);
  result.status =
      solver.Solve(h, vector(gradient), vector(low), vector(high), VectorMap(result.x.data_ptr<double>(), m));
  for (const Eigen::Index i : solver.free()) {
    result.free.data_ptr<bool>()[i] = true;
  }
  result.iterations = solver.iterations();
  return result;
}

}  // namespace reverie
