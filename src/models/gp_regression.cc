#include "reverie/models/gp_regression.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/optim/lbfgs.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <stdexcept>

namespace reverie {
namespace {

// On the diagonal of K_zz, times s_f^2.
constexpr double kJitter = 1e-6;
// The walls.
constexpr double kLongest = 100;
constexpr double kMostSignalToNoise = 1000;
constexpr double kSteepness = 30;
constexpr int64_t kConditionedAtOnce = 8192;

torch::Tensor Lengths(const torch::Tensor& theta) { return torch::exp(theta.slice(0, 0, -2)); }
torch::Tensor SignalVariance(const torch::Tensor& theta) { return torch::exp(2 * theta.select(0, theta.size(0) - 2)); }
torch::Tensor NoiseStd(const torch::Tensor& theta) { return torch::exp(theta.select(0, theta.size(0) - 1)); }

// The lower factor, or nothing.
std::optional<torch::Tensor> Factor(const torch::Tensor& matrix) {
  const auto [factor, info] = at::linalg_cholesky_ex(matrix);
  return info.item<int32_t>() == 0 && torch::isfinite(factor).all().item<bool>() ? std::optional(factor) : std::nullopt;
}

torch::Tensor Solve(const torch::Tensor& lower, const torch::Tensor& right) {
  return at::linalg_solve_triangular(lower, right, /*upper=*/false);
}

torch::Tensor SolveTransposed(const torch::Tensor& lower, const torch::Tensor& right) {
  return at::linalg_solve_triangular(lower.mT(), right, /*upper=*/true);
}

torch::Tensor WithDiagonal(const torch::Tensor& matrix, const torch::Tensor& added) {
  return matrix + added * torch::eye(matrix.size(0), matrix.options());
}

std::optional<torch::Tensor> FactorOfInducing(const torch::Tensor& z, const torch::Tensor& theta) {
  return Factor(WithDiagonal(RbfKernel(z, z, theta), kJitter * SignalVariance(theta)));
}

// L of K_zz, V = L^-1 K_zx / s_n, and the factor of I + V V^T.
struct SparseFactors {
  torch::Tensor zz, v, inner;
};

std::optional<SparseFactors> FactorsOf(const torch::Tensor& x, const torch::Tensor& z, const torch::Tensor& theta) {
  const std::optional<torch::Tensor> zz = FactorOfInducing(z, theta);
  if (!zz) {
    return std::nullopt;
  }
  const torch::Tensor v = Solve(*zz, RbfKernel(z, x, theta)) / NoiseStd(theta);
  const std::optional<torch::Tensor> inner = Factor(WithDiagonal(v.mm(v.t()), torch::ones({}, v.options())));
  return inner ? std::optional(SparseFactors{*zz, v, *inner}) : std::nullopt;
}

// The walls, differentiable.
torch::Tensor Walls(const torch::Tensor& theta) {
  const torch::Tensor lengths = theta.slice(0, 0, -2) / std::log(kLongest);
  const torch::Tensor signal_to_noise =
      (theta.select(0, theta.size(0) - 2) - theta.select(0, theta.size(0) - 1)) / std::log(kMostSignalToNoise);
  return lengths.pow(kSteepness).sum() + signal_to_noise.pow(kSteepness);
}

struct Stopped {};

}  // namespace

torch::Tensor RbfKernel(const torch::Tensor& a, const torch::Tensor& b, const torch::Tensor& theta) {
  const torch::Tensor lengths = Lengths(theta);
  const torch::Tensor from = a / lengths;
  const torch::Tensor to = b / lengths;
  const torch::Tensor squares = from.square().sum(-1, /*keepdim=*/true) + to.square().sum(-1).unsqueeze(-2);
  const torch::Tensor distances = (squares - 2 * torch::matmul(from, to.mT())).clamp_min(0);
  return SignalVariance(theta) * torch::exp(-0.5 * distances);
}

std::optional<GpLikelihood> GpNegativeLogLikelihood(const torch::Tensor& x, const torch::Tensor& y,
                                                    const torch::Tensor& theta) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor k = RbfKernel(x, x, theta);
  const torch::Tensor noise_variance = NoiseStd(theta).square();
  const std::optional<torch::Tensor> factor = Factor(WithDiagonal(k, noise_variance));
  if (!factor) {
    return std::nullopt;
  }
  const torch::Tensor inverse = at::cholesky_inverse(*factor);
  const torch::Tensor beta = inverse.mv(y);
  const auto rows = static_cast<double>(y.size(0));
  const torch::Tensor value =
      0.5 * y.dot(beta) + factor->diagonal().log().sum() + 0.5 * rows * std::log(2 * std::numbers::pi);
  const torch::Tensor weights = inverse - torch::outer(beta, beta);
  const torch::Tensor weighted = weights * k;
  // sum_ij w_ij (z_i - z_j)^2 / 2 = z^2 . w 1 - z^T w z, for each input z in units of its length.
  const torch::Tensor z = x / Lengths(theta);
  const torch::Tensor by_length = torch::mv(z.square().t(), weighted.sum(1)) - (z * weighted.mm(z)).sum(0);
  return GpLikelihood{.value = value.item<double>(),
                      .gradient = torch::cat({by_length, weighted.sum().view({1}),
                                              (noise_variance * weights.diagonal().sum()).view({1})})};
}

std::optional<GpLikelihood> SparseGpNegativeBound(const torch::Tensor& x, const torch::Tensor& y,
                                                  const torch::Tensor& z, const torch::Tensor& theta) {
  const torch::AutoGradMode with_gradients(true);
  const torch::Tensor leaf = theta.detach().clone().requires_grad_();
  const std::optional<SparseFactors> factors = FactorsOf(x, z, leaf);
  if (!factors) {
    return std::nullopt;
  }
  const auto rows = static_cast<double>(y.size(0));
  const torch::Tensor noise_std = NoiseStd(leaf);
  const torch::Tensor c = Solve(factors->inner, torch::mv(factors->v, y).unsqueeze(1)) / noise_std;
  const torch::Tensor value = 0.5 * rows * (std::log(2 * std::numbers::pi) + 2 * torch::log(noise_std)) +
                              factors->inner.diagonal().log().sum() +
                              0.5 * (y.square().sum() / noise_std.square() - c.square().sum()) +
                              0.5 * (rows * SignalVariance(leaf) / noise_std.square() - factors->v.square().sum());
  return GpLikelihood{.value = value.item<double>(), .gradient = torch::autograd::grad({value}, {leaf})[0]};
}

torch::Tensor GreedyInducingRows(const torch::Tensor& x, int64_t m, const torch::Tensor& theta) {
  // A pivoted Cholesky factorisation of K, of which column i is what point i adds.
  const torch::NoGradGuard no_grad;
  const double all = SignalVariance(theta).item<double>();
  torch::Tensor left = torch::full({x.size(0)}, all, x.options());  // the conditional variances
  torch::Tensor columns = torch::zeros({m, x.size(0)}, x.options());
  std::vector<int64_t> chosen;
  for (int64_t i = 0; i < std::min(m, x.size(0)); ++i) {
    const int64_t next = left.argmax().item<int64_t>();
    const double variance = left[next].item<double>();
    if (variance <= kJitter * all) {
      break;
    }
    const torch::Tensor before = columns.narrow(0, 0, i);
    const torch::Tensor covariance =
        RbfKernel(x.narrow(0, next, 1), x, theta)[0] - torch::mv(before.t(), before.select(1, next));
    columns[i].copy_(covariance / std::sqrt(variance));
    left = (left - columns[i].square()).clamp_min(0);
    left[next] = 0;
    chosen.push_back(next);
  }
  return torch::tensor(chosen, torch::dtype(torch::kInt64).device(x.device()));
}

std::optional<GpFit> FitGp(const std::function<std::optional<GpLikelihood>(const torch::Tensor& theta)>& likelihood,
                           const torch::Tensor& theta, int64_t iterations, const std::function<bool()>& stop) {
  const torch::Tensor leaf = theta.detach().clone().requires_grad_();
  std::optional<GpFit> best;
  torch::optim::LBFGS optimizer(
      {leaf},
      torch::optim::LBFGSOptions(/*lr=*/1).max_iter(iterations).history_size(20).line_search_fn("strong_wolfe"));
  const auto evaluate = [&] {
    const torch::AutoGradMode with_gradients(true);
    const torch::Tensor walls = Walls(leaf);
    torch::Tensor gradient = torch::autograd::grad({walls}, {leaf})[0];
    const torch::NoGradGuard no_grad;
    torch::Tensor value = walls.detach();
    // Where the likelihood does not exist the walls are high, and lead back.
    if (const std::optional<GpLikelihood> said = likelihood(leaf.detach())) {
      value = value + said->value;
      gradient = gradient + said->gradient;
      const double sum = value.item<double>();
      if (std::isfinite(sum) && (!best || sum < best->value)) {
        best = GpFit{.theta = leaf.detach().clone(), .value = sum};
      }
    }
    leaf.mutable_grad() = gradient;
    if (stop()) {
      throw Stopped();
    }
    return value;
  };
  try {
    optimizer.step(evaluate);
  } catch (const Stopped&) {
    return std::nullopt;
  }
  if (!best) {
    throw std::runtime_error("the likelihood of a Gaussian process exists for none of its parameters that were tried");
  }
  const torch::NoGradGuard no_grad;
  best->value -= Walls(best->theta).item<double>();
  return best;
}

torch::Tensor FourierFeatures::Of(const torch::Tensor& x, const torch::Tensor& theta) const {
  const torch::Tensor scaled = (frequencies / Lengths(theta)).to(x.scalar_type());
  const torch::Tensor angles = torch::matmul(x, scaled.t()) + phases.to(x.scalar_type());
  const torch::Tensor scale = torch::sqrt(2 * SignalVariance(theta) / static_cast<double>(phases.size(0)));
  return scale.to(x.scalar_type()) * torch::cos(angles);
}

torch::Tensor ConditionDraws(const torch::Tensor& x, const torch::Tensor& y, const torch::Tensor& theta,
                             const FourierFeatures& features, const torch::Tensor& w, const torch::Tensor& noise) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor noise_std = NoiseStd(theta);
  const std::optional<torch::Tensor> factor = Factor(WithDiagonal(RbfKernel(x, x, theta), noise_std.square()));
  if (!factor) {
    throw std::runtime_error("the covariance of a Gaussian process' rows is not positive definite");
  }
  return at::cholesky_solve(y.unsqueeze(1) - features.Of(x, theta).mm(w) - noise_std * noise, *factor);
}

torch::Tensor ConditionSparseDraws(const torch::Tensor& x, const torch::Tensor& y, const torch::Tensor& z,
                                   const torch::Tensor& theta, const FourierFeatures& features, const torch::Tensor& w,
                                   const torch::Tensor& noise) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor noise_std = NoiseStd(theta);
  const std::optional<torch::Tensor> zz = FactorOfInducing(z, theta);
  // V V^T and V y / s_n with V = L^-1 K_zx / s_n, some rows at a time.
  torch::Tensor products = torch::zeros({z.size(0), z.size(0)}, x.options());
  torch::Tensor projected = torch::zeros({z.size(0)}, x.options());
  for (int64_t begin = 0; zz && begin < x.size(0); begin += kConditionedAtOnce) {
    const int64_t size = std::min(kConditionedAtOnce, x.size(0) - begin);
    const torch::Tensor v = Solve(*zz, RbfKernel(z, x.narrow(0, begin, size), theta)) / noise_std;
    products.addmm_(v, v.t());
    projected.addmv_(v, y.narrow(0, begin, size));
  }
  const std::optional<torch::Tensor> inner =
      zz ? Factor(WithDiagonal(products, torch::ones({}, x.options()))) : std::nullopt;
  if (!inner) {
    throw std::runtime_error("the covariance of a Gaussian process' inducing points is not positive definite");
  }
  // u = L u', u' ~ N(B^-1 V y / s_n, B^-1), B = I + V V^T: the best q(u) (Titsias 2009, equation 10).
  const torch::Tensor c = Solve(*inner, projected.unsqueeze(1)) / noise_std;
  const torch::Tensor whitened = SolveTransposed(*inner, c + noise);
  return SolveTransposed(*zz, whitened - Solve(*zz, features.Of(z, theta).mm(w)));
}

}  // namespace reverie
