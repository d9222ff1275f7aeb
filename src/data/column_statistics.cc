#include "reverie/data/column_statistics.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <stdexcept>

namespace reverie {
namespace {

// Rows that are float64 at once: all of a large buffer's would take twice its memory.
constexpr int64_t kRowsAtOnce = 1 << 14;
constexpr double kLeastShare = 1e-6;
constexpr double kLeastMagnitude = 1e-6;

// The mean over the rows of f(rows in float64), [n] float64.
template <class F>
torch::Tensor MeanOf(const torch::Tensor& rows, const F& f) {
  torch::Tensor sum = torch::zeros({rows.size(1)}, rows.options().dtype(torch::kFloat64));
  for (int64_t begin = 0; begin < rows.size(0); begin += kRowsAtOnce) {
    const int64_t count = std::min(kRowsAtOnce, rows.size(0) - begin);
    sum.add_(f(rows.narrow(0, begin, count).to(torch::kFloat64)).sum(0));
  }
  return sum.div_(static_cast<double>(rows.size(0)));
}

}  // namespace

torch::Tensor ColumnMagnitudes(const torch::Tensor& rows) {
  if (rows.size(0) == 0) {
    throw std::logic_error("statistics of columns of no rows");
  }
  const auto [least, most] = at::aminmax(rows, 0, /*keepdim=*/false);
  return torch::maximum(least.abs(), most.abs());
}

ColumnStatistics StatisticsOfColumns(const torch::Tensor& rows, const torch::Tensor& magnitudes) {
  if (rows.size(0) == 0) {
    throw std::logic_error("statistics of columns of no rows");
  }
  const torch::Tensor mean = MeanOf(rows, [](const torch::Tensor& part) { return part; });
  torch::Tensor std = MeanOf(rows, [&](const torch::Tensor& part) { return (part - mean).square(); }).sqrt();
  std.masked_fill_(std <= kLeastShare * magnitudes.to(torch::kFloat64).clamp_min(kLeastMagnitude), 0);
  return {.mean = mean.to(torch::kFloat32), .std = std.to(torch::kFloat32)};
}

ColumnStatistics StatisticsOfColumns(const torch::Tensor& rows) {
  return StatisticsOfColumns(rows, ColumnMagnitudes(rows));
}

torch::Tensor ColumnUnits(const torch::Tensor& std) { return std.masked_fill(std == 0, 1); }

}  // namespace reverie
