// Short imagined rollouts from real states (Janner et al. 2019, algorithm 2, lines 6-8).
//
//   start states s_1 ... s_N uniformly (with replacement) from the real buffer; k times: a ~ pi(s), one hypothesis
//   drawn per row and step, (s', r) ~ the model under it, the task's own end; store; live rows go on from s'
//
// A row with a non-finite prediction is dropped, counted, and never stored. Rows that `uncertainty.use: mask` leaves
// out are not stored either, of each chunk of start states apart, and go on. What is done with the model's uncertainty
// is config (models/uncertainty_use.h). Cost: k N forward passes of the policy and of one network (of all, where u is
// used).
#ifndef REVERIE_ROLLOUT_BRANCHED_ROLLOUT_H_
#define REVERIE_ROLLOUT_BRANCHED_ROLLOUT_H_

#include "reverie/core/metrics.h"
#include "reverie/core/repeated_work.h"
#include "reverie/core/schedule.h"
#include "reverie/data/replay_buffer.h"
#include "reverie/models/model_env.h"
#include "reverie/models/uncertainty_use.h"
#include "reverie/policies/policy.h"

namespace reverie {

struct RolloutConfig {
  int64_t start_states = 100'000;
  LengthSchedule length{0, 1, 1, 1};
  int64_t retain_epochs = 1;

  void Visit(Fields& fields);

  // Rows that `retain_epochs` epochs of so many rollouts of that length imagine.
  int64_t RowsKept(int64_t rollout_length, int64_t rollouts_per_epoch) const {
    return rollout_length * start_states * rollouts_per_epoch * retain_epochs;
  }
};

class BranchedRollout {
 public:
  // So many rollouts are run in an epoch of the length schedule.
  BranchedRollout(const RolloutConfig& config, const UncertaintyConfig& uncertainty, int64_t rollouts_per_epoch,
                  const Rng& rng, const torch::Device& device);

  // After a fit: takes the uncertainty's threshold anew, gives `model_buffer` the epoch's capacity, rolls the epoch's
  // length from every start state and adds the live rows. One copy of three numbers to the host per step, one more of
  // two with a mask. Returns rows added, shares ended and dropped, quantiles of each uncertainty measure (none of a
  // single network).
  Metrics Run(int64_t epoch, const ReplayBuffer& real_buffer, const ModelEnv& model_env, const Policy& policy,
              ReplayBuffer* model_buffer);

  void VisitState(StateVisitor& state);

 private:
  struct Counts {
    int64_t imagined = 0, finite = 0, stored = 0, ended = 0, exceeded = 0;
  };

  // What came of one step of some rows.
  struct Outcome {
    torch::Tensor finite;  // [B] bool: is stored, where it is not masked
    torch::Tensor live;    // [B] bool: goes on
    torch::Tensor tally;   // [3] int64: how many are finite, live, over the threshold
    torch::Tensor u;       // [B] of a mask
  };

  // Which rows of step h are stored, and how many of them and of those that go on without being stored.
  struct Stored {
    torch::Tensor rows;  // [B] bool
    int64_t count = 0, passed_over = 0;
  };
  Stored Select(const Outcome& outcome, int64_t finite, int64_t step, int64_t length) const;

  // One chunk of start states, all steps. `batch` begins with the start states as its rows' obs.
  void RunChunk(int64_t length, TransitionBatch batch, const ModelEnv& model_env, const Policy& policy,
                ReplayBuffer* model_buffer, Counts* counts);
  // Completes rows whose obs are given.
  Outcome Step(TransitionBatch batch, const ModelEnv& model_env, const Policy& policy);
  Metrics MeasureAll(const torch::Tensor& obs, const ModelEnv& model_env, const Policy& policy);

  RolloutConfig config_;
  UncertaintyRule uncertainty_;
  int64_t rollouts_per_epoch_;
  torch::Generator generator_;
  torch::Generator report_generator_;  // apart, so that what is logged shifts nothing

  RepeatedWork full_step_;  // of a whole chunk; as rows end, what is left of it goes operation by operation
  Outcome full_outcome_;    // what it writes

  // Workspace: the rows of a chunk, as many for putting them in order, and the start states' places.
  torch::Tensor rows_, ordered_rows_, places_;
};

}  // namespace reverie

#endif  // REVERIE_ROLLOUT_BRANCHED_ROLLOUT_H_
