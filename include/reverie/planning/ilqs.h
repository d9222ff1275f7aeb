// A plan found by samples and polished along derivatives.
//
//   plan <- the last one, shifted, along its feedback, where J is not less
//   plan <- the sampler's, where J is larger, every `sample_every` searches
//   plan <- the trajectory that `iterations` of iLQR make of it, where J is not less
//
// A search along derivatives ends in the local optimum that it begins near; samples find another, but are coarse. J of
// two plans is asked with the same draws. iLQR follows the problem's trajectory (SequenceProblem::trajectory), which
// leaves out what J has beside it, such as the noise of particles: J has the last word, and where it says no the next
// search makes smaller steps. Where no trajectory is finite the sampler searches out of turn.
//
// Source: the planner of that name in MuJoCo MPC (Howell et al. 2022), predictive sampling or else an iteration of
// iLQG; here an iteration follows the sampling, by any sampler. iLQR: control/ilqr.h.
#ifndef REVERIE_PLANNING_ILQS_H_
#define REVERIE_PLANNING_ILQS_H_

#include <memory>

#include "reverie/config/choice.h"
#include "reverie/config/fields.h"
#include "reverie/control/ilqr.h"
#include "reverie/planning/registry.h"
#include "reverie/planning/sequence_optimizer.h"

namespace reverie {

class Ilqs final : public SequenceOptimizer {
 public:
  struct Options {
    Choice<PlannerMaker> sampler{"planner.options.sampler.kind", Samplers(), "icem"};
    int64_t sample_every = 1;
    int64_t iterations = 1;
    void Visit(Fields& fields);
  };

  Ilqs(const Options& options, const SequenceShape& shape, const torch::Device& device);

  // Throws std::logic_error where the problem has no trajectory. iLQR works on the CPU, where plans are copied.
  torch::Tensor Optimize(const SequenceProblem& problem, torch::Generator& generator) override;
  void Shift(int64_t steps) override;
  void Reset() override;
  // share_polished: of the searches, those that iLQR's result was kept of, and it had gained something.
  Metrics DrainMetrics() override;
  void VisitState(StateVisitor& state) override;

 private:
  // The plan, and iLQR's result: [H, A] float32 on the device.
  torch::Tensor Planned() const;
  torch::Tensor ResultPlanned() const;
  // Has the plan begin where the problem does, by its gains, where J is not less so.
  void FollowFeedback(const ShootingProblem& trajectory, const SequenceProblem& problem, torch::Generator& generator);
  // Takes the sampler's plan, where it is better.
  void Sample(const SequenceProblem& problem, torch::Generator& generator);

  Options options_;
  SequenceShape shape_;
  torch::Device device_;
  std::unique_ptr<SequenceOptimizer> sampler_;
  Ilqr follower_;
  Ilqr ilqr_;
  IlqrResult result_;
  IlqrPlan plan_;  // of the sampler, and at first: its controls alone
  IlqrDamping damping_;
  int64_t decisions_ = 0;                // of this episode
  int64_t searches_ = 0, polished_ = 0;  // since metrics were drained
};

}  // namespace reverie

#endif  // REVERIE_PLANNING_ILQS_H_
