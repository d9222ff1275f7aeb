// Gradient ascent on the sequence, through the model.
//
//   from the last plan, shifted, its last action repeated, and restarts - 1 sequences drawn uniformly from the bounds:
//   `iterations` steps of Adam along dJ/da, each clipped to the bounds, J being asked with the same draws in each;
//   returns the best sequence met
//
// Needs an objective with gradients. Source: the lecture notes' shooting by backpropagation (model-based reinforcement
// learning, versions 0.5 to 1.5); Adam: Kingma and Ba 2015.
#ifndef REVERIE_PLANNING_GRADIENT_SHOOTING_H_
#define REVERIE_PLANNING_GRADIENT_SHOOTING_H_

#include "reverie/config/fields.h"
#include "reverie/planning/sequence_optimizer.h"

namespace reverie {

class GradientShooting final : public SequenceOptimizer {
 public:
  struct Options {
    int64_t restarts = 8;
    int64_t iterations = 20;
    double learning_rate = 0.1;
    void Visit(Fields& fields);
  };

  GradientShooting(const Options& options, const SequenceShape& shape, const torch::Device& device);

  // Throws std::logic_error where the objective's result has no gradient.
  torch::Tensor Optimize(const SequenceProblem& problem, torch::Generator& generator) override;
  void Shift(int64_t steps) override;
  void Reset() override { plan_.zero_(); }
  void VisitState(StateVisitor& state) override { state("plan", plan_); }

 private:
  Options options_;
  torch::Tensor plan_;  // [H, A]
};

}  // namespace reverie

#endif  // REVERIE_PLANNING_GRADIENT_SHOOTING_H_
