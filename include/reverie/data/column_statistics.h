// Mean and standard deviation of the columns of data, which learned models standardise by.
//
//   mean_j = 1/N sum_i x_ij,   std_j = sqrt(1/N sum_i (x_ij - mean_j)^2)
//
// A column that does not vary has std 0: its deviation is at most 1e-6 of its magnitude m_j, which is what float32
// leaves of a constant after some arithmetic. m_j is at least 1e-6, so that what a simulation leaves of a zero does not
// vary either.
#ifndef REVERIE_DATA_COLUMN_STATISTICS_H_
#define REVERIE_DATA_COLUMN_STATISTICS_H_

#include "reverie/core/tensor.h"

namespace reverie {

struct ColumnStatistics {
  torch::Tensor mean, std;  // [n] float32
};

// The largest |x_ij| of each column: rows [N, n] float32, N >= 1 -> [n] float32.
torch::Tensor ColumnMagnitudes(const torch::Tensor& rows);

// Of rows [N, n] float32, N >= 1, on their device; computed in float64. `magnitudes` [n] float32 are the m_j: those of
// the rows, or where the rows are differences of other numbers, the latter's. Cost: three passes over the rows, and
// memory for some thousand of them in float64. Nothing is copied to the host. Throws std::logic_error where N is 0.
ColumnStatistics StatisticsOfColumns(const torch::Tensor& rows, const torch::Tensor& magnitudes);
ColumnStatistics StatisticsOfColumns(const torch::Tensor& rows);

// What to divide a column's deviations by: its std, and 1 where it does not vary. [n] -> [n].
torch::Tensor ColumnUnits(const torch::Tensor& std);

}  // namespace reverie

#endif  // REVERIE_DATA_COLUMN_STATISTICS_H_
