// SolveBoxQp with the memory that it needs kept, for the recursions that ask for one program after the other.
#ifndef REVERIE_SRC_CONTROL_BOX_QP_SOLVER_H_
#define REVERIE_SRC_CONTROL_BOX_QP_SOLVER_H_

#include <Eigen/Core>
#include <cstdint>
#include <vector>

#include "eigen.h"
#include "reverie/control/box_qp.h"

namespace reverie {

class BoxQpSolver {
 public:
  explicit BoxQpSolver(int64_t size);

  // x: the start, and the solution afterwards. Only the lower triangle of `hessian` is read.
  BoxQpStatus Solve(const Eigen::Ref<const Eigen::MatrixXd>& hessian, const Eigen::Ref<const Eigen::VectorXd>& gradient,
                    const Eigen::Ref<const Eigen::VectorXd>& low, const Eigen::Ref<const Eigen::VectorXd>& high,
                    Eigen::Ref<Eigen::VectorXd> x);

  // Of the last solution.
  const std::vector<Eigen::Index>& free() const { return free_; }  // in increasing order
  int64_t iterations() const { return iterations_; }
  // H_ff^-1 y of the free variables, in place: y [free().size(), columns].
  template <class Matrix>
  void SolveFree(Matrix&& y) const {
    const auto n = static_cast<Eigen::Index>(free_.size());
    SolveByFactor(factor_.topLeftCorner(n, n), y);
  }

 private:
  bool Factorise(const Eigen::Ref<const Eigen::MatrixXd>& hessian);
  double Value(const Eigen::Ref<const Eigen::MatrixXd>& hessian, const Eigen::Ref<const Eigen::VectorXd>& gradient,
               const Eigen::VectorXd& x);

  std::vector<Eigen::Index> free_, now_free_;
  Eigen::MatrixXd factor_;  // lower triangle of H_ff's, in its first rows and columns
  Eigen::VectorXd product_, slope_, step_, candidate_;
  int64_t iterations_ = 0;
};

}  // namespace reverie

#endif  // REVERIE_SRC_CONTROL_BOX_QP_SOLVER_H_
