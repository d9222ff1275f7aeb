// The contract of a planner: a search for the actions of the next H steps.
//
//   maximise J(a_1 ... a_H)   over a_t in [-1, 1]^A
//
// J is asked for many candidates at once and may be noisy; its draws come from the generator that the search is given,
// so that a search may ask again with the same draws (common random numbers). A candidate whose J is not finite counts
// as -infinity: it shapes nothing that is planned, and where no candidate is finite the plan stays as it was.
#ifndef REVERIE_PLANNING_SEQUENCE_OPTIMIZER_H_
#define REVERIE_PLANNING_SEQUENCE_OPTIMIZER_H_

#include <cstdint>
#include <functional>

#include "reverie/control/shooting_problem.h"
#include "reverie/core/metrics.h"
#include "reverie/core/state.h"
#include "reverie/core/tensor.h"

namespace reverie {

struct SequenceShape {
  int64_t horizon = 1;  // H
  int64_t act_dim = 1;  // A
};

// J of P candidates: [P, H, A] float32 -> [P] float32, on the same device. With gradients where it is asked in a
// gradient mode and can.
using SequenceObjective = std::function<torch::Tensor(const torch::Tensor& actions)>;

// What a search is for, from the state where it begins.
struct SequenceProblem {
  SequenceObjective objective;
  // The same as a trajectory with derivatives, whose cost stands for -J; the horizon is set by who asks. None unless
  // the planner needs it (PlannerMaker::needs).
  std::function<ShootingProblem()> trajectory;
};

class SequenceOptimizer {
 public:
  virtual ~SequenceOptimizer() = default;
  SequenceOptimizer() = default;
  SequenceOptimizer(const SequenceOptimizer&) = delete;
  SequenceOptimizer& operator=(const SequenceOptimizer&) = delete;

  // Searches from where the last plan stands, by at least one return, and gives what it found: [H, A] in [-1, 1],
  // memory of its own, without gradients. Nothing is copied to the host, unless a planner says so. Draws come from
  // `generator`, of the device of the plan.
  virtual torch::Tensor Optimize(const SequenceProblem& problem, torch::Generator& generator) = 0;

  // The first `steps` of the plan, at most H, have been acted out: the next search begins with the rest of it.
  virtual void Shift(int64_t steps) = 0;

  // Forgets the plan: an episode begins.
  virtual void Reset() = 0;

  // What its searches have to say since the last time, through whatever episodes.
  virtual Metrics DrainMetrics() { return {}; }

  virtual void VisitState(StateVisitor& state) = 0;
};

}  // namespace reverie

#endif  // REVERIE_PLANNING_SEQUENCE_OPTIMIZER_H_
