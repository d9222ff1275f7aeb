// How well distributions foretold what came, and how well one number ranks another.
//
// Each of the N x D numbers y has for prediction a mixture of K Gaussians, whose weights all D numbers of a row share:
//
//   p(y) = sum_k w_k N(y; mean_k, std_k^2)        F(y) = sum_k w_k Phi((y - mean_k) / std_k)        sum_k w_k = 1
//
// A std of 0 is all of a component's mass at its mean: it has no density, which the log densities are then not asked
// for. Everything is float64 and on the CPU; tensors of other types throw std::logic_error.
//
// Sources: Gneiting and Raftery 2007, Strictly Proper Scoring Rules, section 4.2 (CRPS); Grimit et al. 2006 (that of
// mixtures); Kuleshov et al. 2018 (calibration error).
#ifndef REVERIE_MODELS_SCORES_H_
#define REVERIE_MODELS_SCORES_H_

#include "reverie/core/tensor.h"

namespace reverie {

struct GaussianMixtures {
  torch::Tensor mean, std;   // [K, N, D]
  torch::Tensor log_weight;  // [K, N]; undefined: all are equal
};

// log sum_k w_k prod_d N(y_d; mean_kd, std_kd^2) of each row: y [N, D] -> [N].
torch::Tensor LogDensityOfRows(const GaussianMixtures& predicted, const torch::Tensor& y);
// log p(y) of each number by itself: [N, D] -> [N, D].
torch::Tensor LogDensity(const GaussianMixtures& predicted, const torch::Tensor& y);
// F(y): [N, D] -> [N, D]. A number that lies on a mean with std 0 has half of that component's mass below it. Not a
// number where a mean or std is not one.
torch::Tensor Cdf(const GaussianMixtures& predicted, const torch::Tensor& y);
// F^-1(level), by bisection to 2^-32 of where it can lie: -> [N, D].
torch::Tensor Quantile(const GaussianMixtures& predicted, double level);
// The continuous ranked probability score, int (F(x) - [y <= x])^2 dx, in the unit of y; less is better:
// [N, D] -> [N, D]. Of one component with std 0 it is |mean - y|. Cost: O(K^2 N D), or
// where every std is 0 O(K log K N D).
torch::Tensor Crps(const GaussianMixtures& predicted, const torch::Tensor& y);

// Of levels F(y), of whatever shape and at least one, which are uniform on [0, 1] where the predictions are right; one
// that is not a number lies in no interval:
// the share of them in the central interval that `level` of the mass lies in;
double CentralCoverage(const torch::Tensor& levels, double level);
// the mean over 100 shares from 0 to 1 of how far the central coverage is from the share;
double CalibrationError(const torch::Tensor& levels);
// the largest distance of their distribution from the uniform one (Kolmogorov and Smirnov).
double DistanceFromUniform(const torch::Tensor& levels);

// The chance that one of `positive` [P] is greater than one of `negative` [Q], ties counting half; not a number where
// one of them is empty.
double Auroc(const torch::Tensor& positive, const torch::Tensor& negative);
// The correlation of the ranks of a [N] and b [N], ties sharing theirs; not a number where one of them does not vary.
double RankCorrelation(const torch::Tensor& a, const torch::Tensor& b);

}  // namespace reverie

#endif  // REVERIE_MODELS_SCORES_H_
