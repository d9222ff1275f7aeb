// The improved cross-entropy method: fewer candidates, better ones.
//
//   mean = the last mean, shifted, its last action repeated;  std = init_std
//   iteration i of `iterations`:
//     P_i = max(P gamma^-i, 2 K) candidates  clip(mean + std * coloured noise)
//     and a share `keep` of the last iteration's elites, in the first iteration those of the last plan, shifted, their
//     last actions drawn anew; in the last iteration the mean
//     mean = alpha mean + (1 - alpha) mean of the K best,  std likewise with their deviation
//   return the best
//
// Source: Pinneri et al. 2020 (iCEM), section 3 and its code.
#ifndef REVERIE_PLANNING_ICEM_H_
#define REVERIE_PLANNING_ICEM_H_

#include "reverie/config/fields.h"
#include "reverie/planning/coloured_noise.h"
#include "reverie/planning/sequence_optimizer.h"

namespace reverie {

class ICem final : public SequenceOptimizer {
 public:
  struct Options {
    int64_t population = 200;  // P
    int64_t elites = 20;       // K
    int64_t iterations = 5;
    double alpha = 0.1;
    double init_std = 0.5;
    double gamma = 1.25;
    double keep = 0.3;
    double noise_beta = 2.0;
    void Visit(Fields& fields);
  };

  ICem(const Options& options, const SequenceShape& shape, const torch::Device& device);

  torch::Tensor Optimize(const SequenceProblem& problem, torch::Generator& generator) override;
  void Shift(int64_t steps) override;
  void Reset() override;
  void VisitState(StateVisitor& state) override;

  // Candidates drawn in iteration i.
  int64_t PopulationAt(int64_t iteration) const;

 private:
  Options options_;
  SequenceShape shape_;
  ColouredNoise noise_;
  torch::Tensor mean_;  // [H, A]
  torch::Tensor kept_;  // [ceil(keep K), H, A]
  bool has_kept_ = false;
  int64_t to_draw_ = 0;  // actions at the end of the kept ones that are still to be drawn
};

}  // namespace reverie

#endif  // REVERIE_PLANNING_ICEM_H_
