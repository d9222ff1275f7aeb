// Products and solves with matrices of a few dozen rows, as plain loops that the compiler makes for the processor at
// hand: Eigen's are those of the oldest one that the program runs on. Matrices are row-major doubles.
#ifndef REVERIE_SRC_CONTROL_RICCATI_KERNELS_H_
#define REVERIE_SRC_CONTROL_RICCATI_KERNELS_H_

#include <cstdint>

namespace reverie {

// C += A^T B of A [inner, rows], B [inner, columns], C [rows, columns], each with its distance from row to row. They do
// not overlap.
void AddTransposedProduct(const double* a, int64_t a_stride, const double* b, int64_t b_stride, double* c,
                          int64_t c_stride, int64_t inner, int64_t rows, int64_t columns);

// The Cholesky factor in place of the lower triangle of [size, size]. False where it is not positive definite or not
// finite.
bool FactoriseRows(double* matrix, int64_t size);

// y <- -(L L^T)^-1 y of the factor [size, size] and y [size, columns].
void SolveRowsNegated(const double* factor, int64_t size, double* y, int64_t columns);

// [size, size] is its mean with its transpose.
void Symmetrise(double* matrix, int64_t size);

bool AllFinite(const double* values, int64_t count);

}  // namespace reverie

#endif  // REVERIE_SRC_CONTROL_RICCATI_KERNELS_H_
