// What a rollout does with the model's uncertainty u at an imagined transition.
//
//   penalty    reward - coefficient u                                                     (MOPO)
//   terminate  where u > threshold the row is stored terminated with reward -terminal_penalty (MOReL)
//   truncate   where u > threshold the row is stored and the trajectory ends there, bootstrapped as usual
//   weight     the critic's loss of the row is weighted by exp(-u / temperature)
#ifndef REVERIE_ROLLOUT_UNCERTAINTY_USE_H_
#define REVERIE_ROLLOUT_UNCERTAINTY_USE_H_

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "reverie/config/fields.h"
#include "reverie/models/uncertainty.h"

namespace reverie {

enum class UncertaintyUse { kNone, kPenalty, kTerminate, kTruncate, kWeight };
std::vector<std::pair<std::string, UncertaintyUse>> EnumNames(UncertaintyUse);

// Units of the predictions that a measure sees.
enum class UncertaintyScale {
  kTargetStd,  // divided by the targets' training standard deviation, so that dimensions compare
  kRaw,        // the environment's own
};
std::vector<std::pair<std::string, UncertaintyScale>> EnumNames(UncertaintyScale);

std::vector<std::pair<std::string, Members>> EnumNames(Members);

struct UncertaintyConfig {
  UncertaintyUse use = UncertaintyUse::kNone;
  UncertaintyMeasure measure = UncertaintyMeasure::kEnsembleStd;
  UncertaintyScale scale = UncertaintyScale::kTargetStd;
  Members over = Members::kElites;
  double coefficient = 1;
  std::string threshold = "q0.99";
  double terminal_penalty = 100;
  double temperature = 1;

  void Visit(Fields& fields);

  // The quantile that `threshold` asks for, or none where it is a number.
  std::optional<double> ThresholdQuantile() const;
};

// u [B] of the prediction of `config.over` members, in the config's units. elite [B] int64: the drawn elite.
torch::Tensor ScaledUncertainty(UncertaintyMeasure measure, const UncertaintyConfig& config, const DynamicsModel& model,
                                const GaussianPrediction& prediction, const torch::Tensor& elite);

}  // namespace reverie

#endif  // REVERIE_ROLLOUT_UNCERTAINTY_USE_H_
