#include "reverie/nn/rational_quadratic_spline.h"

#include <ATen/ATen.h>

#include <cmath>

namespace reverie {
namespace {

constexpr double kEnd = 5;
constexpr double kLeastBinShare = 1e-3;  // of a bin in the interval
constexpr double kLeastSlope = 1e-3;
constexpr double kLeastSquare = 1e-12;  // under a root, which has no derivative at 0

// Of the bin that each point lies in: its left knot, width, height, and the slopes at both ends.
struct Bin {
  torch::Tensor x, y, width, height, left_slope, right_slope;
};

// The inner knots and the sizes of bins [..., K] that raw ones stand for.
struct Axis {
  torch::Tensor sizes, starts;
};

Axis AxisOf(const torch::Tensor& raw) {
  const int64_t bins = raw.size(-1);
  const torch::Tensor shares =
      kLeastBinShare + (1 - kLeastBinShare * static_cast<double>(bins)) * torch::softmax(raw, -1);
  const torch::Tensor sizes = 2 * kEnd * shares;
  return {.sizes = sizes, .starts = sizes.cumsum(-1) - sizes - kEnd};
}

Bin BinOf(const torch::Tensor& point, const torch::Tensor& raw, bool of_values) {
  const int64_t bins = (raw.size(-1) + 1) / 3;
  const Axis x = AxisOf(raw.narrow(-1, 0, bins));
  const Axis y = AxisOf(raw.narrow(-1, bins, bins));
  // softplus of this is 1 - kLeastSlope where raw is 0.
  const double shift = std::log(std::expm1(1 - kLeastSlope));
  const torch::Tensor inner = kLeastSlope + at::softplus(raw.narrow(-1, 2 * bins, bins - 1) + shift);
  const torch::Tensor end = torch::ones_like(inner.narrow(-1, 0, 1));
  const torch::Tensor slopes = torch::cat({end, inner, end}, -1);
  const torch::Tensor index =
      ((of_values ? y : x).starts.slice(-1, 1) <= point.unsqueeze(-1)).sum(-1, /*keepdim=*/true);
  const auto of = [&](const torch::Tensor& each) { return each.gather(-1, index).squeeze(-1); };
  return {.x = of(x.starts),
          .y = of(y.starts),
          .width = of(x.sizes),
          .height = of(y.sizes),
          .left_slope = of(slopes),
          .right_slope = slopes.gather(-1, index + 1).squeeze(-1)};
}

// log of the slope at a share of a bin.
torch::Tensor LogSlope(const Bin& bin, const torch::Tensor& share) {
  const torch::Tensor mean_slope = bin.height / bin.width;
  const torch::Tensor rest = share * (1 - share);
  const torch::Tensor denominator = mean_slope + (bin.left_slope + bin.right_slope - 2 * mean_slope) * rest;
  const torch::Tensor numerator =
      bin.right_slope * share.square() + 2 * mean_slope * rest + bin.left_slope * (1 - share).square();
  return 2 * torch::log(mean_slope) + torch::log(numerator) - 2 * torch::log(denominator);
}

}  // namespace

Mapped Spline(const torch::Tensor& x, const torch::Tensor& raw) {
  const torch::Tensor within = x.abs() < kEnd;
  const torch::Tensor inside = torch::where(within, x, torch::zeros_like(x));
  const Bin bin = BinOf(inside, raw, /*of_values=*/false);
  const torch::Tensor share = ((inside - bin.x) / bin.width).clamp(0, 1);
  const torch::Tensor mean_slope = bin.height / bin.width;
  const torch::Tensor rest = share * (1 - share);
  const torch::Tensor value = bin.y + bin.height * (mean_slope * share.square() + bin.left_slope * rest) /
                                          (mean_slope + (bin.left_slope + bin.right_slope - 2 * mean_slope) * rest);
  return {.value = torch::where(within, value, x),
          .log_slope = torch::where(within, LogSlope(bin, share), torch::zeros_like(x))};
}

Mapped InverseSpline(const torch::Tensor& y, const torch::Tensor& raw) {
  const torch::Tensor within = y.abs() < kEnd;
  const torch::Tensor inside = torch::where(within, y, torch::zeros_like(y));
  const Bin bin = BinOf(inside, raw, /*of_values=*/true);
  const torch::Tensor mean_slope = bin.height / bin.width;
  const torch::Tensor bend = bin.left_slope + bin.right_slope - 2 * mean_slope;
  const torch::Tensor above = inside - bin.y;
  const torch::Tensor a = bin.height * (mean_slope - bin.left_slope) + above * bend;
  const torch::Tensor b = bin.height * bin.left_slope - above * bend;
  const torch::Tensor c = -mean_slope * above;
  // In the form that does not cancel.
  const torch::Tensor root = torch::sqrt((b.square() - 4 * a * c).clamp_min(kLeastSquare));
  const torch::Tensor share = (2 * c / (-b - root)).clamp(0, 1);
  return {.value = torch::where(within, bin.x + share * bin.width, y),
          .log_slope = torch::where(within, -LogSlope(bin, share), torch::zeros_like(y))};
}

}  // namespace reverie
