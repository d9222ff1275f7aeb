#include "reverie/data/normalizer.h"

#include "reverie/data/column_statistics.h"

namespace reverie {

Normalizer::Normalizer(int64_t dim, const torch::Device& device)
    : mean_(torch::zeros({dim}, torch::device(device))), std_(torch::ones({dim}, torch::device(device))) {}

void Normalizer::Fit(const torch::Tensor& rows) {
  const ColumnStatistics columns = StatisticsOfColumns(rows);
  mean_.copy_(columns.mean);
  std_.copy_(ColumnUnits(columns.std));
}

void Normalizer::VisitState(StateVisitor& state) {
  state("mean", mean_);
  state("std", std_);
}

}  // namespace reverie
