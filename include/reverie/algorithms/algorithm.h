// The contract of an algorithm: a whole training procedure with everything it owns.
#ifndef REVERIE_ALGORITHMS_ALGORITHM_H_
#define REVERIE_ALGORITHMS_ALGORITHM_H_

#include <filesystem>
#include <optional>
#include <vector>

#include "reverie/core/state.h"
#include "reverie/models/dynamics_model.h"
#include "reverie/policies/policy.h"
#include "reverie/run/run_context.h"

namespace reverie {

class Algorithm {
 public:
  virtual ~Algorithm() = default;
  Algorithm() = default;
  Algorithm(const Algorithm&) = delete;
  Algorithm& operator=(const Algorithm&) = delete;

  // Trains until total_steps, or until `run` is asked to stop; goes on from where the state stands. Everything the run
  // shows or keeps goes through `run`. Throws std::runtime_error where a loss or the simulation is no longer finite.
  virtual void Train(RunContext& run) = 0;

  // Does a piece of what training spends its time with, some milliseconds of it on made-up rows and with the threads
  // that LibTorch has, so that it can be timed. Nothing else is to be asked of the algorithm afterwards. Returns false
  // where there is nothing that depends on the number of threads but in proportion.
  virtual bool Rehearse() = 0;

  // The policy as it stands: evaluated, exported. Borrowed.
  virtual const Policy& policy() const = 0;

  // Writes the policy to `torchscript` for programs without Reverie, held against the one in use, and what its kind has
  // beside it under the same name with another extension. Returns the files, which replace old ones whole or not at
  // all. Throws std::invalid_argument saying why where such a policy cannot be exported.
  virtual std::vector<std::filesystem::path> Export(const std::filesystem::path& torchscript) = 0;

  // The real transitions that it keeps; null where it keeps none. Borrowed.
  virtual const ReplayBuffer* transitions() const { return nullptr; }

  // The model it imagines with, to look at; none where it learns none. Borrowed.
  struct LearnedModel {
    const DynamicsModel& model;
    int64_t unseen = 0;  // so many of the newest transitions its last fit has not seen; all of them before the first
  };
  virtual std::optional<LearnedModel> learned_model() const { return std::nullopt; }

  // Everything that the future of the run depends on.
  virtual void VisitState(StateVisitor& state) = 0;
};

}  // namespace reverie

#endif  // REVERIE_ALGORITHMS_ALGORITHM_H_
