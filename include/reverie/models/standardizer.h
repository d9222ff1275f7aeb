// The units in which a model's networks see inputs and predict targets, taken from the rows of a fit.
//
//   z = (x - mean) / std        over the rows, column by column
//   target = offset + scale y   y itself (offset 0, scale 1), or y in units of the targets' deviation. Which of them is
//                               said by the first rows over which the column varies, and kept, as networks that go on
//                               from one fit to the next have learned y; the deviation itself is that of the last rows
//
// A column that does not vary over the rows (data/column_statistics.h): a target is predicted exactly, its scale being
// 0 and its offset its value; an input is divided by so much that the networks, which never learned what it does, do
// not see it.
#ifndef REVERIE_MODELS_STANDARDIZER_H_
#define REVERIE_MODELS_STANDARDIZER_H_

#include <limits>

#include "reverie/core/state.h"
#include "reverie/core/tensor.h"

namespace reverie {

// The deviations, (above, at_most], with which a target is predicted as it is; with others it is in units of them. None
// by default.
struct PlainDeviations {
  double above = std::numeric_limits<double>::infinity();
  double at_most = std::numeric_limits<double>::infinity();
};

class Standardizer {
 public:
  // Passes everything on as it is.
  Standardizer(int64_t input_dim, int64_t target_dim, const torch::Device& device);

  // Takes the inputs' statistics: [N, input_dim].
  void FitInputs(const torch::Tensor& inputs);
  // Takes the targets' statistics: [N, target_dim], with the magnitudes of their columns (StatisticsOfColumns).
  void FitTargets(const torch::Tensor& targets, const torch::Tensor& magnitudes, PlainDeviations plain);

  // Whether targets were seen that vary.
  bool knows_targets() const;

  torch::Tensor Inputs(const torch::Tensor& x) const { return (x - input_mean_) / input_std_; }  // z
  // y of a target; 0 where the column does not vary.
  torch::Tensor Scaled(const torch::Tensor& target) const;
  torch::Tensor Target(const torch::Tensor& y) const { return y * target_scale_ + target_offset_; }

  const torch::Tensor& input_mean() const { return input_mean_; }        // [input_dim]
  const torch::Tensor& input_std() const { return input_std_; }          // [input_dim]
  const torch::Tensor& target_std() const { return target_std_; }        // [target_dim]; 0 where it does not vary
  const torch::Tensor& target_offset() const { return target_offset_; }  // [target_dim]
  const torch::Tensor& target_scale() const { return target_scale_; }    // [target_dim]

  // `scales_all`: for the state of an older version, which did not have the targets' units in it.
  void VisitState(StateVisitor& state, bool scales_all);

 private:
  // Written in place, as captured work reads them.
  torch::Tensor input_mean_, input_std_;
  torch::Tensor target_mean_, target_std_;
  torch::Tensor target_offset_, target_scale_;
  torch::Tensor target_unit_;  // [target_dim] int64: kUnknown, kItsOwn or kDeviation
};

}  // namespace reverie

#endif  // REVERIE_MODELS_STANDARDIZER_H_
