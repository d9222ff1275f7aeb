// Tensors as Eigen sees them. Eigen stays in the sources: no public header reads it.
#ifndef REVERIE_SRC_CONTROL_EIGEN_H_
#define REVERIE_SRC_CONTROL_EIGEN_H_

#include <Eigen/Cholesky>
#include <Eigen/Core>

#include "doubles.h"

namespace reverie {

using RowMatrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using MatrixMap = Eigen::Map<RowMatrix>;
using ConstMatrixMap = Eigen::Map<const RowMatrix>;
using VectorMap = Eigen::Map<Eigen::VectorXd>;
using ConstVectorMap = Eigen::Map<const Eigen::VectorXd>;

// The Cholesky factor L of a symmetric matrix in place of its lower triangle, which alone is read; false where it is
// not positive definite or not finite.
inline bool FactoriseInPlace(Eigen::Ref<Eigen::MatrixXd> matrix) {
  const Eigen::LLT<Eigen::Ref<Eigen::MatrixXd>> factor(matrix);
  return factor.info() == Eigen::Success && matrix.diagonal().allFinite();
}

// y <- (L L^T)^-1 y.
template <class Factor, class Matrix>
void SolveByFactor(const Factor& factor, Matrix&& y) {
  factor.template triangularView<Eigen::Lower>().solveInPlace(y);
  factor.template triangularView<Eigen::Lower>().transpose().solveInPlace(y);
}

}  // namespace reverie

#endif  // REVERIE_SRC_CONTROL_EIGEN_H_
