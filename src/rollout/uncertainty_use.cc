#include "reverie/rollout/uncertainty_use.h"

#include "reverie/core/text.h"

namespace reverie {

std::vector<std::pair<std::string, UncertaintyUse>> EnumNames(UncertaintyUse) {
  return {{"none", UncertaintyUse::kNone},
          {"penalty", UncertaintyUse::kPenalty},
          {"terminate", UncertaintyUse::kTerminate},
          {"truncate", UncertaintyUse::kTruncate},
          {"weight", UncertaintyUse::kWeight}};
}

std::vector<std::pair<std::string, UncertaintyScale>> EnumNames(UncertaintyScale) {
  return {{"target_std", UncertaintyScale::kTargetStd}, {"raw", UncertaintyScale::kRaw}};
}

std::vector<std::pair<std::string, Members>> EnumNames(Members) {
  return {{"elites", Members::kElites}, {"all", Members::kAll}};
}

void UncertaintyConfig::Visit(Fields& fields) {
  fields("use", use, "what imagined rollouts do with the uncertainty u of a transition");
  fields("measure", measure, "how u is measured");
  fields("scale", scale, "units of the predictions: the targets' standard deviation, or raw");
  fields("over", over, "members that u is taken over");
  fields("coefficient", coefficient, "use penalty: lambda in reward - lambda u", AtLeast(0));
  fields(
      "threshold", threshold,
      "use terminate, truncate: most u allowed; q0.99 is that quantile over the hold-out rows, taken after each fit");
  fields.Check(
      [this] {
        if (const std::optional<double> quantile = ThresholdQuantile()) {
          return *quantile >= 0 && *quantile <= 1;
        }
        return ParseNumber<double>(threshold).has_value();
      },
      "a number, or a quantile such as q0.99");
  fields("terminal_penalty", terminal_penalty, "use terminate: kappa, the stored reward being -kappa", AtLeast(0));
  fields("temperature", temperature, "use weight: T in exp(-u / T)", Above(0));
}

std::optional<double> UncertaintyConfig::ThresholdQuantile() const {
  return threshold.starts_with('q') ? std::optional(ParseNumber<double>(threshold.substr(1)).value_or(-1))
                                    : std::nullopt;
}

torch::Tensor ScaledUncertainty(UncertaintyMeasure measure, const UncertaintyConfig& config, const DynamicsModel& model,
                                const GaussianPrediction& prediction, const torch::Tensor& elite) {
  const torch::Tensor member = config.over == Members::kAll ? model.elites().index_select(0, elite) : elite;
  if (config.scale == UncertaintyScale::kRaw) {
    return Uncertainty(measure, prediction, member);
  }
  const torch::Tensor& std = model.target_std();
  return Uncertainty(measure, {prediction.mean / std, prediction.var / std.square()}, member);
}

}  // namespace reverie
