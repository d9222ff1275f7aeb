// The cross-entropy method, as PETS plans with it.
//
//   mean = the last plan, shifted, 0 at its end;  var = (high - low)^2 / 16
//   `iterations` times:
//     P candidates from N(mean, min(var, (d / 2)^2)) truncated at two deviations, d the distance to the nearer bound
//     mean = alpha mean + (1 - alpha) mean of the K best,  var likewise with their variance
//   return mean
//
// Source: Chua et al. 2018 (PETS), section 5 and its code, which also stops where the variance has become small: here
// the iterations are always all made, since looking would stop the device.
#ifndef REVERIE_PLANNING_CEM_H_
#define REVERIE_PLANNING_CEM_H_

#include <string>

#include "reverie/config/fields.h"
#include "reverie/planning/sequence_optimizer.h"

namespace reverie {

class Cem final : public SequenceOptimizer {
 public:
  struct Options {
    int64_t population = 400;  // P
    int64_t elites = 40;       // K
    int64_t iterations = 5;
    double alpha = 0.1;
    void Visit(Fields& fields);
  };

  Cem(const Options& options, const SequenceShape& shape, const torch::Device& device);

  // Optimize as the method _search of an exported module (planning/export.h).
  static std::string TorchScript(const Options& options);

  torch::Tensor Optimize(const SequenceProblem& problem, torch::Generator& generator) override;
  void Shift(int64_t steps) override;
  void Reset() override { mean_.zero_(); }
  void VisitState(StateVisitor& state) override { state("mean", mean_); }

 private:
  Options options_;
  torch::Tensor mean_;  // [H, A]
};

}  // namespace reverie

#endif  // REVERIE_PLANNING_CEM_H_
