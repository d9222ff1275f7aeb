// Random shooting: the best of P sequences drawn uniformly from the bounds.
#ifndef REVERIE_PLANNING_RANDOM_SHOOTING_H_
#define REVERIE_PLANNING_RANDOM_SHOOTING_H_

#include <string>

#include "reverie/config/fields.h"
#include "reverie/planning/sequence_optimizer.h"

namespace reverie {

class RandomShooting final : public SequenceOptimizer {
 public:
  struct Options {
    int64_t population = 1000;  // P
    void Visit(Fields& fields);
  };

  RandomShooting(const Options& options, const SequenceShape& shape, const torch::Device& device);

  // Optimize as the method _search of an exported module (planning/export.h).
  static std::string TorchScript(const Options& options);

  torch::Tensor Optimize(const SequenceProblem& problem, torch::Generator& generator) override;
  void Shift(int64_t steps) override;
  void Reset() override { plan_.zero_(); }
  void VisitState(StateVisitor& state) override { state("plan", plan_); }

 private:
  Options options_;
  torch::Tensor plan_;  // [H, A]; kept where no candidate is finite
};

}  // namespace reverie

#endif  // REVERIE_PLANNING_RANDOM_SHOOTING_H_
