#include "agreement.h"

#include <tuple>
#include <vector>

#include "reverie/core/text.h"

namespace reverie {
namespace {

constexpr double kUsed = 1e-2;
constexpr double kExact = 1e-12;
constexpr double kOfRounding = 1e-6;  // float64 rounds 2^29 times less than float32

torch::Tensor OnHost(const torch::Tensor& numbers) { return numbers.detach().to(torch::kCPU, torch::kFloat64); }

// Mean absolute difference in each dimension, [D].
torch::Tensor MeanDifference(const torch::Tensor& a, const torch::Tensor& b) {
  return (OnHost(a) - OnHost(b)).abs().flatten(0, -2).mean(0);
}

}  // namespace

std::string Disagreement(const Computed& file, const Computed& in_use, const torch::Tensor& unit) {
  const torch::Tensor rounding = MeanDifference(file.used, file.exact) + MeanDifference(in_use.used, in_use.exact);
  const std::vector<std::tuple<std::string, torch::Tensor, torch::Tensor>> differences{
      {"float32", MeanDifference(file.used, in_use.used), kUsed * OnHost(unit)},
      {"float64", MeanDifference(file.exact, in_use.exact), kExact * OnHost(unit) + kOfRounding * rounding}};
  for (const auto& [type, difference, allowed] : differences) {
    const torch::Tensor agrees = difference <= allowed;  // not where a number is none
    if (!agrees.all().item<bool>()) {
      const int64_t worst = agrees.to(torch::kInt64).argmin().item<int64_t>();
      return Text("in ", type, " dimension ", worst, " is off by ", difference[worst].item<double>(),
                  " on average, expected at most ", allowed[worst].item<double>());
    }
  }
  return "";
}

}  // namespace reverie
