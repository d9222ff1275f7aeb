// One fit of an ensemble's networks by minibatches. Internal to the models.
//
// Each member has its own bootstrap resample of the training rows, reshuffled each epoch; after each epoch the members'
// hold-out error says whether another follows (early_stopping.h), and every member gets its best weights back. Without
// hold-out rows the epochs are counted and the last weights are kept.
#ifndef REVERIE_SRC_MODELS_MINIBATCH_FIT_H_
#define REVERIE_SRC_MODELS_MINIBATCH_FIT_H_

#include <functional>
#include <optional>
#include <string>

#include "early_stopping.h"
#include "reverie/core/metrics.h"
#include "reverie/core/repeated_work.h"
#include "reverie/core/rng.h"
#include "reverie/models/holdout_config.h"
#include "reverie/models/transition_codec.h"

namespace reverie {

// What a fit trains on and what it holds out: inputs [N, in] and targets [N, D] in the networks' units; targets may be
// [E, N, D], each member's own.
struct FitRows {
  torch::Tensor train_inputs, train_targets;
  torch::Tensor holdout_inputs, holdout_targets;

  bool holds_out() const { return holdout_inputs.size(0) > 0; }
};

// A new random split.
struct SplitRows {
  TransitionBatch train, holdout;
};
// Throws std::runtime_error where nothing is left to train on.
SplitRows SplitForFit(const TransitionBatch& all, const HoldoutConfig& config, torch::Generator& generator);

// The split in the networks' units.
FitRows InUnits(const TransitionCodec& codec, const SplitRows& split);

// What is done with minibatches.
struct MinibatchWork {
  // A gradient step on inputs [E, B, in] and targets [E, B, D]; returns its loss [].
  std::function<torch::Tensor(const torch::Tensor& inputs, const torch::Tensor& targets)> step;
  std::function<torch::Tensor()> holdout_error;         // [E]
  StoppingScale scale;                                  // that those are judged on
  int64_t unjudged = 0;                                 // minibatches of this fit before they count
  int64_t patient = 0;                                  // and before epochs without an improvement do
  bool resamples = true;                                // else every member sees each row once an epoch
  std::function<RepeatedWork::NamedTensors()> changed;  // by a step, for RepeatedWork
};

class MinibatchFit {
 public:
  // Of `members` networks, of so many rows a minibatch. `name` is for the log. `generators`: what the steps draw from.
  MinibatchFit(const std::string& name, int64_t members, int64_t batch_size, int64_t input_dim, int64_t target_dim,
               const torch::Device& device, const std::vector<torch::Generator>& generators = {});

  // Goes on from the parameters [E, n, m] of E members, which the steps change. Draws from rng.Split("bootstrap") and
  // rng.Split("shuffle"). Returns epochs, train_rows, holdout_rows and the last epoch's loss, or nothing where `stop`,
  // asked after every minibatch, said yes. Throws std::runtime_error where a loss is not finite.
  std::optional<Metrics> Run(const std::vector<torch::Tensor>& parameters, const FitRows& rows,
                             const HoldoutConfig& config, const MinibatchWork& work, const Rng& rng,
                             const std::function<bool()>& stop);

  // The step on a whole minibatch of zeros.
  void Rehearse(const MinibatchWork& work) { work.step(input_rows_.zero_(), target_rows_.zero_()); }

 private:
  // A pass over the training rows: order [E, N] int64 are each member's own. Returns the minibatches, or nothing where
  // `stop` ended it.
  std::optional<int64_t> Epoch(const FitRows& rows, const torch::Tensor& order, const MinibatchWork& work,
                               const std::function<bool()>& stop);

  int64_t members_, batch_size_;
  RepeatedWork minibatch_;
  torch::Tensor input_rows_, target_rows_;  // [E, B, in], [E, B, D], a whole minibatch
  torch::Tensor loss_sum_;                  // [], over an epoch
};

}  // namespace reverie

#endif  // REVERIE_SRC_MODELS_MINIBATCH_FIT_H_
