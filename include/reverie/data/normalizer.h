// The units in which networks see observations.
//
//   z = (obs - mean) / std        over the rows of the last Fit, column by column; z = obs before the first
//
// A column that does not vary over those rows (data/column_statistics.h) keeps its unit.
#ifndef REVERIE_DATA_NORMALIZER_H_
#define REVERIE_DATA_NORMALIZER_H_

#include "reverie/core/state.h"
#include "reverie/core/tensor.h"

namespace reverie {

// Copies share the numbers, which are written in place.
class Normalizer {
 public:
  Normalizer(int64_t dim, const torch::Device& device);

  // rows: [N, dim] float32.
  void Fit(const torch::Tensor& rows);

  // x [..., dim], of any float type. Differentiable.
  torch::Tensor operator()(const torch::Tensor& x) const { return (x - mean_) / std_; }

  const torch::Tensor& mean() const { return mean_; }  // [dim] float32
  const torch::Tensor& std() const { return std_; }    // [dim] float32, above 0

  void VisitState(StateVisitor& state);

 private:
  torch::Tensor mean_, std_;
};

}  // namespace reverie

#endif  // REVERIE_DATA_NORMALIZER_H_
