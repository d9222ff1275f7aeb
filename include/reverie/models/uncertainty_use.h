// What imagination does with the model's uncertainty u at an imagined transition.
//
//   penalty    reward - coefficient u                                                     (MOPO)
//   terminate  where u > threshold the row ends as terminated, with reward -terminal_penalty (MOReL)
//   truncate   where u > threshold the trajectory ends there, bootstrapped as usual where something is learned from it
//   weight     the critic's loss of the row is weighted by exp(-u / temperature)
//   mask       of the rows of step h = 0 ... H - 1 the share w_h = (H - h) / (2 (H + 1)) with the least u is kept, with
//              reward - coefficient u; the others are not, and go on all the same                     (M2AC)
//
// Sources: Yu et al. 2020 (MOPO), Kidambi et al. 2020 (MOReL), Pan et al. 2020, Trust the Model When It Is Confident
// (M2AC: one_vs_rest, a coefficient of 0.001).
#ifndef REVERIE_MODELS_UNCERTAINTY_USE_H_
#define REVERIE_MODELS_UNCERTAINTY_USE_H_

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "reverie/config/fields.h"
#include "reverie/models/uncertainty.h"

namespace reverie {

enum class UncertaintyUse { kNone, kPenalty, kTerminate, kTruncate, kWeight, kMask };
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
  bool LowersReward() const { return use == UncertaintyUse::kPenalty || use == UncertaintyUse::kMask; }
  bool UsesThreshold() const { return use == UncertaintyUse::kTerminate || use == UncertaintyUse::kTruncate; }

  // What a model of that card lacks for it, or "": for Fields::Check.
  std::string LacksOf(const ModelCard& card) const;
};

// u [B] of the prediction of `config.over` members, in the config's units. hypothesis [B] int64: the drawn one.
torch::Tensor ScaledUncertainty(UncertaintyMeasure measure, const UncertaintyConfig& config, const DynamicsModel& model,
                                const GaussianPrediction& prediction, const torch::Tensor& hypothesis);

// A config at work, with its threshold.
class UncertaintyRule {
 public:
  explicit UncertaintyRule(const UncertaintyConfig& config);

  const UncertaintyConfig& config() const { return config_; }
  double threshold() const { return threshold_; }

  // Takes the threshold anew from the model's hold-out rows, where it is a quantile. Call after each fit.
  void UpdateThreshold(const DynamicsModel& model, torch::Generator& generator);

  struct Judgement {
    torch::Tensor reward;    // [B] float32
    torch::Tensor exceeded;  // [B] bool: u is over a threshold that ends trajectories
  };
  // What becomes of transitions with that reward [B] and uncertainty u [B]. Differentiable.
  Judgement Judge(const torch::Tensor& reward, const torch::Tensor& u) const;

  // How many of the rows of step h of a rollout of that length are kept: rounded up, all of them but with `mask`.
  int64_t Kept(int64_t rows, int64_t step, int64_t length) const;

  void VisitState(StateVisitor& state) { state("threshold", threshold_); }

 private:
  UncertaintyConfig config_;
  double threshold_;
};

}  // namespace reverie

#endif  // REVERIE_MODELS_UNCERTAINTY_USE_H_
