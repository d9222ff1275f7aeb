#include "reverie/models/uncertainty.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "fake_model.h"
#include "reverie/models/uncertainty_use.h"

namespace reverie {
namespace {

constexpr int64_t kMembers = 4, kRows = 6, kDims = 3;

// The formulas again, in float64, number by number.
struct Reference {
  const double (*mean)[kRows][kDims];
  const double (*var)[kRows][kDims];

  double LogOverlap(int64_t i, int64_t j, int64_t b) const {
    double log = 0;
    for (int64_t d = 0; d < kDims; ++d) {
      const double v = var[i][b][d] + var[j][b][d];
      const double delta = mean[i][b][d] - mean[j][b][d];
      log += -0.5 * delta * delta / v - 0.5 * std::log(2 * std::numbers::pi * v);
    }
    return log;
  }
  double operator()(UncertaintyMeasure measure, int64_t b, int64_t drawn) const {
    double result = 0;
    switch (measure) {
      case UncertaintyMeasure::kMaxAleatoric:
        for (int64_t i = 0; i < kMembers; ++i) {
          result = std::max(result, std::sqrt(var[i][b][0] + var[i][b][1] + var[i][b][2]));
        }
        return result;
      case UncertaintyMeasure::kEnsembleStd:
        for (int64_t d = 0; d < kDims; ++d) {
          double sum = 0;
          double squares = 0;
          for (int64_t i = 0; i < kMembers; ++i) {
            sum += mean[i][b][d];
            squares += mean[i][b][d] * mean[i][b][d];
          }
          result += squares / kMembers - sum / kMembers * sum / kMembers;
        }
        return std::sqrt(result);
      case UncertaintyMeasure::kMaxPairwise:
        for (int64_t i = 0; i < kMembers; ++i) {
          for (int64_t j = 0; j < i; ++j) {
            double squares = 0;
            for (int64_t d = 0; d < kDims; ++d) {
              squares += std::pow(mean[i][b][d] - mean[j][b][d], 2);
            }
            result = std::max(result, std::sqrt(squares));
          }
        }
        return result;
      case UncertaintyMeasure::kJensenRenyi: {
        double mixture = 0;
        for (int64_t i = 0; i < kMembers; ++i) {
          result += LogOverlap(i, i, b) / kMembers;
          for (int64_t j = 0; j < kMembers; ++j) {
            mixture += std::exp(LogOverlap(i, j, b)) / (kMembers * kMembers);
          }
        }
        return result - std::log(mixture);
      }
      case UncertaintyMeasure::kOneVsRest:
        for (int64_t d = 0; d < kDims; ++d) {
          double m = 0;
          double second = 0;
          for (int64_t i = 0; i < kMembers; ++i) {
            if (i != drawn) {
              m += mean[i][b][d] / (kMembers - 1);
              second += (var[i][b][d] + mean[i][b][d] * mean[i][b][d]) / (kMembers - 1);
            }
          }
          const double v = second - m * m;
          const double own = var[drawn][b][d];
          result += 0.5 * (std::log(v / own) + (own + std::pow(mean[drawn][b][d] - m, 2)) / v - 1);
        }
        return result;
    }
    return result;
  }
};

TEST(Uncertainty, EveryMeasureIsItsFormula) {
  torch::manual_seed(3);
  const torch::Tensor mean = torch::randn({kMembers, kRows, kDims}, torch::kFloat64);
  const torch::Tensor var = torch::rand({kMembers, kRows, kDims}, torch::kFloat64) + 0.1;
  const torch::Tensor member = torch::tensor({0, 1, 2, 3, 1, 0}, torch::kInt64);
  const Reference reference{reinterpret_cast<const double(*)[kRows][kDims]>(mean.data_ptr<double>()),
                            reinterpret_cast<const double(*)[kRows][kDims]>(var.data_ptr<double>())};
  for (const auto& [name, measure] : EnumNames(UncertaintyMeasure{})) {
    const torch::Tensor exact = Uncertainty(measure, {mean, var}, member);
    const torch::Tensor single = Uncertainty(measure, {mean.to(torch::kFloat32), var.to(torch::kFloat32)}, member);
    ASSERT_EQ(exact.dim(), 1);
    for (int64_t b = 0; b < kRows; ++b) {
      const double expected = reference(measure, b, member[b].item<int64_t>());
      EXPECT_NEAR(exact[b].item<double>(), expected, 1e-9) << name;
      EXPECT_NEAR(single[b].item<double>(), expected, 1e-4) << name;
    }
  }
}

TEST(Uncertainty, JensenRenyiIsTheIntegralItStandsFor) {
  // One dimension: int p^2 by the trapezium rule.
  const std::vector<double> mean{-1, 0.5, 2};
  const std::vector<double> var{0.3, 1.0, 0.6};
  const auto density = [&](size_t i, double x) {
    return std::exp(-0.5 * (x - mean[i]) * (x - mean[i]) / var[i]) / std::sqrt(2 * std::numbers::pi * var[i]);
  };
  double mixture = 0;
  std::vector<double> own(3, 0);
  const double step = 1e-3;
  for (double x = -20; x < 20; x += step) {
    double p = 0;
    for (size_t i = 0; i < 3; ++i) {
      p += density(i, x) / 3;
      own[i] += density(i, x) * density(i, x) * step;
    }
    mixture += p * p * step;
  }
  const double expected = -std::log(mixture) + (std::log(own[0]) + std::log(own[1]) + std::log(own[2])) / 3;
  const GaussianPrediction prediction{torch::tensor(mean, torch::kFloat64).view({3, 1, 1}),
                                      torch::tensor(var, torch::kFloat64).view({3, 1, 1})};
  EXPECT_NEAR(
      Uncertainty(UncertaintyMeasure::kJensenRenyi, prediction, torch::zeros({1}, torch::kInt64)).item<double>(),
      expected, 1e-6);
}

TEST(Uncertainty, GradientsAreFiniteWhereMembersAgree) {
  torch::manual_seed(4);
  const torch::Tensor one = torch::randn({1, 5, 3});
  const torch::Tensor var_of_one = torch::rand({1, 5, 3}) + 0.1;
  const torch::Tensor member = torch::zeros({5}, torch::kInt64);
  for (const auto& [name, measure] : EnumNames(UncertaintyMeasure{})) {
    torch::Tensor mean = one.repeat({4, 1, 1});
    mean.slice(1, 2).add_(0.1 * torch::randn({4, 3, 3}));  // two rows agree, three do not
    mean.requires_grad_();
    torch::Tensor var = var_of_one.repeat({4, 1, 1});
    var.select(2, 1).zero_();  // predicted exactly
    var.requires_grad_();
    Uncertainty(measure, {mean, var}, member).sum().backward();
    for (const torch::Tensor& grad : {mean.grad(), var.grad()}) {
      EXPECT_TRUE(!grad.defined() || torch::isfinite(grad).all().item<bool>()) << name << "\n" << grad;
    }
    if (mean.grad().defined()) {
      EXPECT_LT(mean.grad().slice(1, 0, 2).abs().max().item<double>(), 1e-5) << name;
      EXPECT_GT(mean.grad().slice(1, 2).abs().max().item<double>(), 1e-3) << name;
    }
  }
}

// A dimension that all members predict exactly leaves every measure as it is without that dimension.
TEST(Uncertainty, AKnownDimensionSaysNothing) {
  torch::manual_seed(5);
  const torch::Tensor mean = torch::randn({4, 6, 3});
  const torch::Tensor var = torch::rand({4, 6, 3}) + 0.1;
  const torch::Tensor member = torch::tensor({0, 1, 2, 3, 1, 0}, torch::kInt64);
  const torch::Tensor known = torch::randn({1, 6, 1}).expand({4, 6, 1});
  for (const auto& [name, measure] : EnumNames(UncertaintyMeasure{})) {
    const torch::Tensor without = Uncertainty(measure, {mean, var}, member);
    const torch::Tensor with =
        Uncertainty(measure, {torch::cat({mean, known}, 2), torch::cat({var, torch::zeros({4, 6, 1})}, 2)}, member);
    EXPECT_LT((with - without).abs().max().item<double>(), 1e-5) << name;
  }
}

// Two members; the third column did not vary in what they were fitted to, and none of them has it vary.
class SteadyColumn final : public FakeModel {
 public:
  SteadyColumn() {
    target_std_ = torch::tensor({2.0F, 0.5F, 0.0F});
    hypotheses_ = torch::arange(2);
  }
};

TEST(Uncertainty, ItsScaleLeavesOutWhatDidNotVary) {
  const SteadyColumn model;
  const GaussianPrediction prediction{.mean = torch::tensor({{{2.0F, 1.0F, 0.0F}}, {{6.0F, 0.0F, 0.0F}}}),
                                      .var = torch::tensor({{{4.0F, 1.0F, 0.0F}}, {{4.0F, 1.0F, 0.0F}}})};
  // In units of the targets: means (1, 2) and (3, 0), variances (1, 4).
  const GaussianPrediction scaled{.mean = torch::tensor({{{1.0F, 2.0F}}, {{3.0F, 0.0F}}}),
                                  .var = torch::tensor({{{1.0F, 4.0F}}, {{1.0F, 4.0F}}})};
  const torch::Tensor member = torch::zeros({1}, torch::kInt64);
  for (const auto& [name, measure] : EnumNames(UncertaintyMeasure{})) {
    const double u = ScaledUncertainty(measure, {}, model, prediction, member).item<double>();
    EXPECT_NEAR(u, Uncertainty(measure, scaled, member).item<double>(), 1e-5) << name;
  }
}

TEST(Uncertainty, MembersThatAgreeDisagreeNot) {
  const torch::Tensor mean = torch::randn({1, 5, 3}).expand({4, 5, 3});
  const torch::Tensor var = (torch::rand({1, 5, 3}) + 0.1).expand({4, 5, 3});
  const torch::Tensor member = torch::zeros({5}, torch::kInt64);
  for (const auto& [name, measure] : EnumNames(UncertaintyMeasure{})) {
    const torch::Tensor u = Uncertainty(measure, {mean, var}, member);
    if (measure == UncertaintyMeasure::kMaxAleatoric) {
      EXPECT_GT(u.min().item<double>(), 0.3);
    } else {
      EXPECT_LT(u.abs().max().item<double>(), 1e-5) << name;
    }
  }
  EXPECT_THROW(Uncertainty(UncertaintyMeasure::kEnsembleStd, {torch::zeros({1, 2, 3}), torch::ones({1, 2, 3})}, member),
               std::logic_error);
}

}  // namespace
}  // namespace reverie
