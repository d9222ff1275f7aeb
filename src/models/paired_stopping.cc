#include "paired_stopping.h"

#include <ATen/ATen.h>

#include <cmath>

namespace reverie {
namespace {

constexpr double kUpperTenthOfNormal = 1.2815515655446004;
constexpr int64_t kRowsForNormal = 1000;

}  // namespace

double UpperTenthOfStudent(int64_t degrees) {
  const double x = kUpperTenthOfNormal;
  const double x2 = x * x;
  const auto n = static_cast<double>(degrees);
  const double g1 = x * (x2 + 1) / 4;
  const double g2 = x * ((5 * x2 + 16) * x2 + 3) / 96;
  const double g3 = x * (((3 * x2 + 19) * x2 + 17) * x2 - 15) / 384;
  const double g4 = x * ((((79 * x2 + 776) * x2 + 1482) * x2 - 1920) * x2 - 945) / 92160;
  return x + (g1 + (g2 + (g3 + g4 / n) / n) / n) / n;
}

PairedStopping::PairedStopping(const torch::Tensor& scores, int64_t patience, int64_t most)
    : reference_(scores), patience_(patience), most_(most), best_(scores.mean().item<double>()) {}

PairedStopping::Verdict PairedStopping::Judge(const torch::Tensor& scores) {
  ++judged_;
  const torch::Tensor difference = (scores - reference_).to(torch::kFloat64);
  const torch::Tensor moments = torch::stack({difference.mean(), difference.std()}).cpu();
  const double mean = moments[0].item<double>();
  const auto rows = scores.size(0);
  const double error = moments[1].item<double>() / std::sqrt(static_cast<double>(rows));
  if (!std::isfinite(mean) || !std::isfinite(error)) {
    return Verdict::kNotFinite;
  }
  if (mean >= 0) {
    ++since_lower_;
    return Verdict::kNoLower;
  }
  since_lower_ = 0;
  if (-mean <= error * (rows < kRowsForNormal ? UpperTenthOfStudent(rows - 1) : kUpperTenthOfNormal)) {
    return Verdict::kLower;
  }
  reference_ = scores;
  best_ += mean;
  return Verdict::kBetter;
}

}  // namespace reverie
