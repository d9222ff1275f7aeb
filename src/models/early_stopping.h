// The end of a fit by hold-out error, member by member. Internal to the models.
//
// A member improved if its error is 1 % below its best of this fit, or where errors are logarithms, such as mean log
// densities, 0.01 below; the fit goes on until more than `patience` epochs
// in a row saw no member improve. Every member's best weights are kept (Janner et al. 2019, their code).
#ifndef REVERIE_SRC_MODELS_EARLY_STOPPING_H_
#define REVERIE_SRC_MODELS_EARLY_STOPPING_H_

#include <vector>

#include "reverie/core/tensor.h"

namespace reverie {

enum class StoppingScale { kRatio, kDifference };

class EarlyStopping {
 public:
  // Shares the parameters of E members, each [E, n, m].
  EarlyStopping(std::vector<torch::Tensor> parameters, int64_t patience, StoppingScale scale = StoppingScale::kRatio);

  bool wants_another_epoch() const { return since_improvement_ <= patience_; }

  // After an epoch: error [E], and whether patience is counted yet. One number is copied to the host. Returns false
  // where an error is not finite.
  bool Note(const torch::Tensor& error, bool counts = true);

  // Gives every member the best parameters back.
  void RestoreBest();

 private:
  std::vector<torch::Tensor> parameters_;
  int64_t patience_;
  StoppingScale scale_;
  std::vector<torch::Tensor> best_;
  torch::Tensor best_error_;  // [E]
  int64_t since_improvement_ = 0;
};

}  // namespace reverie

#endif  // REVERIE_SRC_MODELS_EARLY_STOPPING_H_
