// Model-predictive path integral control, with noise that is smooth in time.
//
//   n_1 = sigma xi_1,  n_t = beta n_{t-1} + sqrt(1 - beta^2) sigma xi_t,  xi ~ N(0, I)
//   candidates  clip(plan + n);   plan = sum_p w_p candidate_p,  w = softmax(J / lambda)
//
// from the last plan, shifted, its last action repeated; returns the plan. The noise's deviation is sigma at every
// step, before clipping.
//
// Sources: Williams et al. 2017 (MPPI), whose term for the cost of control is left out: costs are the task's reward's
// to name. The filter: Nagabandi et al. 2019 (PDDM), section 4, whose own weights do not keep the deviation.
#ifndef REVERIE_PLANNING_MPPI_H_
#define REVERIE_PLANNING_MPPI_H_

#include <string>

#include "reverie/config/fields.h"
#include "reverie/planning/sequence_optimizer.h"

namespace reverie {

class Mppi final : public SequenceOptimizer {
 public:
  struct Options {
    int64_t population = 400;  // P
    int64_t iterations = 1;
    double sigma = 0.5;
    double beta = 0.6;
    double lambda = 0.1;
    void Visit(Fields& fields);
  };

  Mppi(const Options& options, const SequenceShape& shape, const torch::Device& device);

  // Optimize as the method _search of an exported module (planning/export.h).
  static std::string TorchScript(const Options& options);

  torch::Tensor Optimize(const SequenceProblem& problem, torch::Generator& generator) override;
  void Shift(int64_t steps) override;
  void Reset() override { plan_.zero_(); }
  void VisitState(StateVisitor& state) override { state("plan", plan_); }

 private:
  Options options_;
  torch::Tensor plan_;    // [H, A]
  torch::Tensor filter_;  // [H, H]: n = filter xi
};

}  // namespace reverie

#endif  // REVERIE_PLANNING_MPPI_H_
