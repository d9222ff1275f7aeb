// Bootstrap ensemble of probabilistic neural networks.
//
//   member i:  y ~ N(mu_i(z), diag exp(l_i(z))),   z = ((s, a) - mean) / std over the training rows
//   target = offset + scale y: y itself, or y in units of the training targets' deviation, with normalize_targets and
//   where that is less than e^-5, the least noise that a new network predicts
//   l = l_min + softplus(t - l_min),  t = l_max - softplus(l_max - raw)      softly bounded, bounds [1, D] learned
//   loss = sum_i mean_{rows, dims} [ (mu_i - y)^2 exp(-l_i) + l_i ]
//          + 0.01 (sum l_max - sum l_min) + sum_layers decay_layer 0.5 |W_layer|^2
//
// A deterministic one has no l and predicts mu itself: loss = sum_i mean (mu_i - y)^2 and the decay.
//
// A target that does not vary over the training rows (data/column_statistics.h) is predicted exactly: its scale is 0,
// its offset its value, its variance 0. A goal that an observation repeats stays where it is in imagination. An input
// that does not vary is not shown to the networks.
//
// One fit: a new random split, each member its own bootstrap resample, reshuffled each epoch; after each epoch the
// members' hold-out MSE; a member improved if it is 1 % below its best of this fit; the fit stops when more than
// `patience` epochs in a row saw no member improve; every member gets its best weights back, and the elites are ranked
// by the hold-out MSE of those. Without hold-out rows it makes `max_epochs` epochs, keeps the last weights, and all
// members are elites. Weights and Adam's moments go on from the last fit.
//
// Sources: Chua et al. 2018, section 4 (PETS); Janner et al. 2019, appendix C, and its code (MBPO). The options
// target: next_obs and normalize_targets: "Fixing that free lunch", arXiv 2510.01457.
#ifndef REVERIE_MODELS_GAUSSIAN_ENSEMBLE_H_
#define REVERIE_MODELS_GAUSSIAN_ENSEMBLE_H_

#include <string>
#include <utility>
#include <vector>

#include "reverie/config/fields.h"
#include "reverie/core/repeated_work.h"
#include "reverie/env/task_functions.h"
#include "reverie/models/dynamics_model.h"
#include "reverie/nn/ensemble_mlp.h"

namespace reverie {

enum class ModelTarget {
  kDelta,    // next_obs - obs
  kNextObs,  // next_obs
};
std::vector<std::pair<std::string, ModelTarget>> EnumNames(ModelTarget);
std::vector<std::pair<std::string, Precision>> EnumNames(Precision);

struct GaussianEnsembleConfig {
  int64_t members = 7;
  int64_t elites = 5;
  std::vector<int64_t> hidden{200, 200, 200, 200};
  double learning_rate = 1e-3;
  int64_t batch_size = 256;
  std::vector<double> weight_decay{2.5e-5, 5e-5, 7.5e-5, 7.5e-5, 1e-4};
  double holdout_ratio = 0.2;
  int64_t max_holdout = 5000;
  int64_t patience = 5;
  int64_t max_epochs = 0;
  ModelTarget target = ModelTarget::kDelta;
  bool normalize_targets = false;
  Precision precision = Precision::kFloat32;

  void Visit(Fields& fields);

  // Rows that a fit needs: one to train on and, with hold-out, one to hold out.
  int64_t LeastRows() const { return holdout_ratio > 0 ? 2 : 1; }

  // What a first fit after so many steps, of which a buffer keeps so many, lacks: for Fields::Check.
  std::string LacksOf(int64_t exploration_steps, int64_t replay_capacity) const;
};

// What is modelled; how is the config's.
struct ModelSpec {
  TransitionLayout layout;
  bool learn_reward = false;
  TaskFunctions::Features features;  // what the networks see of an observation
  bool probabilistic = true;         // else deterministic
};

class GaussianEnsemble final : public DynamicsModel {
 public:
  GaussianEnsemble(const GaussianEnsembleConfig& config, const ModelSpec& spec, const Rng& rng,
                   const torch::Device& device);

  using DynamicsModel::Fit;
  std::optional<Metrics> Fit(const ReplayBuffer& data, const Rng& rng, const std::function<bool()>& stop) override;
  void Sample(const torch::Tensor& obs, const torch::Tensor& action, const torch::Tensor& deal,
              torch::Generator& generator, ModelSample& sample) const override;
  // Of all members, and where it is differentiable, in the type of `action`: float32 or float64.
  GaussianPrediction Predict(const torch::Tensor& obs, const torch::Tensor& action, Members members) const override;
  void SampleFrom(const GaussianPrediction& prediction, const torch::Tensor& obs, torch::Generator& generator,
                  ModelSample& sample) const override;
  torch::Tensor DecodeObs(const torch::Tensor& target, const torch::Tensor& obs) const override;
  const torch::Tensor& target_std() const override { return target_std_; }
  const torch::Tensor& elites() const override { return elites_; }
  const TransitionBatch& holdout() const override { return holdout_; }
  bool learns_reward() const override { return spec_.learn_reward; }
  void VisitState(StateVisitor& state) override;

  // The parts of one gradient step, apart so that tests can hold them against autograd.
  // Writes the loss's gradients but for the decay's, which Adam adds: inputs [E, B, in] standardised, targets [E, B,
  // D]. Returns the loss without the decay, a scalar tensor that the next call overwrites.
  torch::Tensor ComputeGradients(const torch::Tensor& inputs, const torch::Tensor& targets);
  void ApplyGradients();
  // A gradient step on a whole minibatch of zeros, to be timed.
  void RehearseMinibatch();
  // Says so where the config's precision has no effect.
  void LogPrecision() const;

  // Parameters: the layers', then l_max, then l_min where it is probabilistic.
  FlatParameters& parameters() { return parameters_; }
  const EnsembleMlp& mlp() const { return mlp_; }
  // All that the elites predict with, for whoever writes it elsewhere. Borrows from this.
  struct EliteParts {
    const EnsembleMlp& mlp;                             // best first
    const torch::Tensor &input_mean, &input_std;        // [in]
    const torch::Tensor &max_log_var, &min_log_var;     // [1, D]; undefined where it is deterministic
    const torch::Tensor &target_offset, &target_scale;  // [D]
    bool adds_obs;                                      // a target is the change of the observation
  };
  EliteParts elite_parts() const {
    return {.mlp = elite_mlp_,
            .input_mean = input_mean_,
            .input_std = input_std_,
            .max_log_var = max_log_var_.value,
            .min_log_var = min_log_var_.value,
            .target_offset = target_offset_,
            .target_scale = target_scale_,
            .adds_obs = config_.target == ModelTarget::kDelta};
  }
  const torch::Tensor& max_log_var() const { return max_log_var_.value; }
  const torch::Tensor& min_log_var() const { return min_log_var_.value; }

 private:
  torch::Tensor Inputs(const torch::Tensor& obs, const torch::Tensor& action) const;  // [N, in], not standardised
  torch::Tensor Targets(const TransitionBatch& rows) const;                           // [N, D]
  // Of the networks' output [E, B, D or 2 D].
  torch::Tensor Mean(const torch::Tensor& output) const;
  torch::Tensor LogVar(const torch::Tensor& output) const;
  void WriteSample(const torch::Tensor& target, const torch::Tensor& obs, ModelSample& sample) const;
  void SetElites(const torch::Tensor& elites);
  // Takes the statistics of the training rows, whose inputs [N, in] are given.
  void Standardise(const TransitionBatch& train, const torch::Tensor& inputs);

  GaussianEnsembleConfig config_;
  ModelSpec spec_;
  int64_t target_dim_;  // D
  FlatParameters parameters_;
  EnsembleMlp mlp_;
  FlatParameters::View max_log_var_, min_log_var_;  // [1, D]; undefined where it is deterministic
  FlatParameters elite_parameters_;
  EnsembleMlp elite_mlp_;  // copies of the elites, best first
  PackedMlp packed_elites_;
  Adam adam_;
  // For whole minibatches, and for an epoch's last, smaller one.
  EnsembleMlp::Tape tape_, tail_tape_;
  torch::Tensor output_grad_, tail_output_grad_;  // as the networks' output
  torch::Tensor loss_;                            // []
  RepeatedWork minibatch_;
  torch::Tensor input_rows_, target_rows_;  // [E, B, in], [E, B, D], a whole minibatch
  torch::Tensor loss_sum_;                  // [], over an epoch
  torch::Tensor input_mean_, input_std_;    // [in]
  // Written in place, as captured work reads them.
  torch::Tensor target_mean_, target_std_;      // [D]
  torch::Tensor target_offset_, target_scale_;  // [D]
  torch::Tensor elites_;                        // [elites] int64, best first
  TransitionBatch holdout_;
};

}  // namespace reverie

#endif  // REVERIE_MODELS_GAUSSIAN_ENSEMBLE_H_
