#include "reverie/models/uncertainty_use.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>

#include "reverie/core/text.h"
#include "reverie/data/column_statistics.h"

namespace reverie {

std::vector<std::pair<std::string, UncertaintyUse>> EnumNames(UncertaintyUse) {
  return {{"none", UncertaintyUse::kNone},           {"penalty", UncertaintyUse::kPenalty},
          {"terminate", UncertaintyUse::kTerminate}, {"truncate", UncertaintyUse::kTruncate},
          {"weight", UncertaintyUse::kWeight},       {"mask", UncertaintyUse::kMask}};
}

std::vector<std::pair<std::string, UncertaintyScale>> EnumNames(UncertaintyScale) {
  return {{"target_std", UncertaintyScale::kTargetStd}, {"raw", UncertaintyScale::kRaw}};
}

std::vector<std::pair<std::string, Members>> EnumNames(Members) {
  return {{"elites", Members::kElites}, {"all", Members::kAll}};
}

void UncertaintyConfig::Visit(Fields& fields) {
  fields("use", use, "what imagination does with the uncertainty u of a transition");
  const auto where = [](std::string wanted, const std::function<bool()>& holds) {
    return Condition{.key = "uncertainty.use", .wanted = std::move(wanted), .holds = holds};
  };
  fields.When(where("not none", [this] { return use != UncertaintyUse::kNone; }), [&] {
    fields("measure", measure, "how u is measured");
    fields("scale", scale, "units of the predictions: the targets' standard deviation, or raw");
    fields("over", over, "members that u is taken over");
  });
  fields.When(where("penalty or mask", [this] { return LowersReward(); }),
              [&] { fields("coefficient", coefficient, "lambda in reward - lambda u", AtLeast(0)); });
  fields.When(where("terminate or truncate", [this] { return UsesThreshold(); }), [&] {
    fields("threshold", threshold,
           "most u allowed; q0.99 is that quantile over the hold-out rows, taken after each fit");
    fields.Check(
        [this] {
          if (const std::optional<double> quantile = ThresholdQuantile()) {
            return *quantile >= 0 && *quantile <= 1;
          }
          return std::isfinite(ParseNumber<double>(threshold).value_or(NAN));
        },
        "a number, or a quantile such as q0.99");
  });
  fields.When(where("terminate", [this] { return use == UncertaintyUse::kTerminate; }), [&] {
    fields("terminal_penalty", terminal_penalty, "kappa, the stored reward being -kappa", AtLeast(0));
  });
  fields.When(where("weight", [this] { return use == UncertaintyUse::kWeight; }),
              [&] { fields("temperature", temperature, "T in exp(-u / T)", Above(0)); });
}

std::optional<double> UncertaintyConfig::ThresholdQuantile() const {
  return threshold.starts_with('q') ? std::optional(ParseNumber<double>(threshold.substr(1)).value_or(-1))
                                    : std::nullopt;
}

std::string UncertaintyConfig::LacksOf(const ModelCard& card) const {
  if (use == UncertaintyUse::kNone) {
    return "";
  }
  if ((over == Members::kElites ? card.hypotheses : card.networks) < 2) {
    return "one network has nothing to disagree with: expected at least 2 " +
           (over == Members::kElites || card.networks == card.hypotheses
                ? card.hypotheses_key.substr(card.hypotheses_key.find('.') + 1)
                : "members") +
           ", or use: none";
  }
  if (UsesThreshold() && ThresholdQuantile() && !card.has_holdout) {
    return "threshold: " + threshold +
           " is taken over rows that a fit holds out, and this model holds out none; expected a number";
  }
  if (NeedsVariance(measure) && !card.has_variance) {
    return "measure: expected ensemble_std or max_pairwise, as the others look at variances, which such a model does "
           "not predict";
  }
  if (measure == UncertaintyMeasure::kMaxAleatoric && card.variance_is_constant) {
    return "measure: max_aleatoric is one constant of such a model, whose noise does not depend on its input";
  }
  return "";
}

torch::Tensor ScaledUncertainty(UncertaintyMeasure measure, const UncertaintyConfig& config, const DynamicsModel& model,
                                const GaussianPrediction& prediction, const torch::Tensor& hypothesis) {
  const torch::Tensor member =
      config.over == Members::kAll ? model.hypotheses().index_select(0, hypothesis) : hypothesis;
  if (config.scale == UncertaintyScale::kRaw) {
    return Uncertainty(measure, prediction, member);
  }
  const torch::Tensor unit = ColumnUnits(model.target_std());
  return Uncertainty(measure, {prediction.mean / unit, prediction.var / unit.square()}, member);
}

UncertaintyRule::UncertaintyRule(const UncertaintyConfig& config)
    : config_(config),
      threshold_(config.ThresholdQuantile() ? std::numeric_limits<double>::infinity() : std::stod(config.threshold)) {}

void UncertaintyRule::UpdateThreshold(const DynamicsModel& model, torch::Generator& generator) {
  const std::optional<double> quantile = config_.ThresholdQuantile();
  if (!config_.UsesThreshold() || !quantile) {
    return;
  }
  const torch::NoGradGuard no_grad;
  const TransitionBatch& rows = model.holdout();
  const GaussianPrediction prediction = model.Predict(rows.obs(), rows.action(), config_.over);
  const torch::Tensor hypothesis =
      torch::randint(model.hypotheses().size(0), {rows.size()}, generator, rows.rows.options().dtype(torch::kInt64));
  const torch::Tensor u = ScaledUncertainty(config_.measure, config_, model, prediction, hypothesis);
  threshold_ = torch::quantile(u, *quantile).item<double>();
}

UncertaintyRule::Judgement UncertaintyRule::Judge(const torch::Tensor& reward, const torch::Tensor& u) const {
  const torch::Tensor exceeded =
      config_.UsesThreshold() ? u > threshold_ : torch::zeros(u.sizes(), u.options().dtype(torch::kBool));
  switch (config_.use) {
    case UncertaintyUse::kPenalty:
    case UncertaintyUse::kMask:
      return {reward - config_.coefficient * u, exceeded};
    case UncertaintyUse::kTerminate:
      return {reward.masked_fill(exceeded, -config_.terminal_penalty), exceeded};
    case UncertaintyUse::kNone:
    case UncertaintyUse::kTruncate:
    case UncertaintyUse::kWeight:
      break;
  }
  return {reward, exceeded};
}

int64_t UncertaintyRule::Kept(int64_t rows, int64_t step, int64_t length) const {
  if (config_.use != UncertaintyUse::kMask) {
    return rows;
  }
  const int64_t whole = 2 * (length + 1);
  return (rows * (length - step) + whole - 1) / whole;
}

}  // namespace reverie
