// Ensemble of layer-normalised networks with one noise for all inputs: smooth enough to be differentiated through.
//
//   z      = ((s - mean) / std, a)                     what the networks see
//   member i:  y ~ N(mu_i(z), diag exp(2 s_i))         s_i [D] learned, the same at every input
//   target = offset + scale y                          change of the observation and reward, in their deviations' units
//   loss   = mean_rows sum_i w_i sum_dims [ (mu_i - y)^2 exp(-2 s_i) / 2 + max(s_i, log 1e-3) ]
//
// The networks are nn/layer_norm_mlp.h's. w_i ~ Exp(1), a number for each row and member drawn once when the row comes:
// the weighted likelihood bootstrap (Newton and Raftery 1994). Whether a row is held out is drawn once too, so that no
// fit sees what another one was judged by. The hypotheses are all members.
//
// One fit goes on from the last one's weights with a new AdamW (Loshchilov and Hutter 2019), whose decay has a factor
// for each layer, biases included, and one for s. It is judged after every `epoch_minibatches` on at most as many
// batches of held-out rows, the same ones throughout, by each row's
//
//   score  = sum_dims [ (mean_i mu_i - y)^2 / v + log v ] / 2        v = exp(2 mean_i s_i) + var_i mu_i
//
// against the score of the weights kept so far, row by row (src/models/paired_stopping.h): where the mean is lower at
// all, patience begins anew; where the test of the differences has p < 0.1, the weights are kept. The fit ends when
// more than patience ln(D) judgements in a row, at least one, saw no lower mean, after five times as many at the
// latest, and restores the weights kept; the first fit may take `first_fit` times as long.
//
// An imagined reward is the mean one. Predict's variance is that of the data, the reward's included.
//
// A column that does not vary is treated as by the ensemble of models/gaussian_ensemble.h.
//
// Source: DHMBPO, the published code's model and its fit (Kubo et al., TMLR 2025).
#ifndef REVERIE_MODELS_HOMOSCEDASTIC_ENSEMBLE_H_
#define REVERIE_MODELS_HOMOSCEDASTIC_ENSEMBLE_H_

#include <optional>
#include <string>
#include <vector>

#include "reverie/config/fields.h"
#include "reverie/core/repeated_work.h"
#include "reverie/models/dynamics_model.h"
#include "reverie/models/model_spec.h"
#include "reverie/models/standardizer.h"
#include "reverie/nn/layer_norm_mlp.h"

namespace reverie {

struct HomoscedasticEnsembleConfig {
  int64_t members = 8;
  std::vector<int64_t> hidden{256, 256, 256};
  bool layer_norm = true;
  double learning_rate = 1e-3;
  int64_t batch_size = 2048;
  std::vector<double> weight_decay{2.5e-4, 5e-4, 7.5e-4, 1e-3};
  std::vector<double> dropout{0.0075, 0.005, 0.0025, 0};
  double noise_decay = 1e-2;
  double holdout_ratio = 0.2;
  int64_t max_rows = 100'000;
  int64_t epoch_minibatches = 6;
  double patience = 50;
  double first_fit = 5;

  void Visit(Fields& fields);

  // What a first fit to so many rows lacks, or "": for Fields::Check.
  std::string LacksOf(int64_t rows) const;
  ModelCard Card() const;
};

class HomoscedasticEnsemble final : public DynamicsModel {
 public:
  HomoscedasticEnsemble(const HomoscedasticEnsembleConfig& config, const ModelSpec& spec, const Rng& rng,
                        const torch::Device& device);

  using DynamicsModel::Fit;
  std::optional<Metrics> Fit(const ReplayBuffer& data, const Rng& rng, const std::function<bool()>& stop) override;
  void Step(const torch::Tensor& obs, const torch::Tensor& action, const StepDraws& draws,
            ModelSample& next) const override;
  // A learned reward is the mean one.
  ModelStep Next(const torch::Tensor& obs, const torch::Tensor& action, const StepDraws& draws) const override;
  int64_t noise_dim() const override { return spec_.layout.obs_dim; }
  GaussianPrediction Predict(const torch::Tensor& obs, const torch::Tensor& action, Members members) const override;
  torch::Tensor DecodeObs(const torch::Tensor& target, const torch::Tensor& obs) const override;
  const torch::Tensor& target_std() const override { return standardizer_.target_std(); }
  const torch::Tensor& hypotheses() const override { return hypotheses_; }
  const TransitionBatch& holdout() const override { return holdout_; }
  bool learns_reward() const override { return spec_.learn_reward; }
  void Rehearse() override;  // a gradient step on a whole minibatch of zeros
  void VisitState(StateVisitor& state) override;

  // The loss without the decay, of rows at inputs [B, in] and targets [E, B, D] in the networks' units, with weights
  // [E, B]; in training, with dropout, where there is a generator.
  torch::Tensor Loss(const torch::Tensor& inputs, const torch::Tensor& targets, const torch::Tensor& weights,
                     torch::Generator* dropout) const;
  // The scores [B] of rows at inputs [B, in] and targets [B, D] in the networks' units.
  torch::Tensor Scores(const torch::Tensor& inputs, const torch::Tensor& targets) const;

  // The two halves of a gradient step, in that order. A minibatch: inputs [B, in], targets [B, D] in the networks'
  // units, weights [B, E]. The first returns the loss [].
  torch::Tensor ComputeGradients(const torch::Tensor& inputs, const torch::Tensor& targets,
                                 const torch::Tensor& weights);
  void ApplyGradients();

  FlatParameters& parameters() { return parameters_; }
  const LayerNormMlp& mlp() const { return mlp_; }
  const torch::Tensor& log_std() const { return log_std_; }  // s [E, 1, D]

 private:
  // [N, in], and [N, D] in the task's units.
  torch::Tensor Inputs(const torch::Tensor& obs, const torch::Tensor& action) const;
  torch::Tensor Targets(const TransitionBatch& rows) const;

  // Draws the labels of the rows that came since the last fit.
  void LabelNewRows(const ReplayBuffer& data, torch::Generator& generator);
  struct FitRows {
    torch::Tensor train_inputs, train_targets, train_weights;  // [N, in], [N, D], [N, E]
    torch::Tensor holdout_inputs, holdout_targets;
  };
  // Takes the rows' statistics, and out of them those to train on and those to judge by.
  FitRows Split(const ReplayBuffer& data, torch::Generator& generator);
  // A gradient step on those training rows, [B] int64.
  void TakeStep(const FitRows& data, const torch::Tensor& rows);

  HomoscedasticEnsembleConfig config_;
  ModelSpec spec_;
  int64_t target_dim_;  // D
  FlatParameters parameters_;
  LayerNormMlp mlp_;
  torch::Tensor log_std_;              // s, a leaf
  std::vector<torch::Tensor> leaves_;  // the networks', then s
  torch::Tensor left_by_decay_;        // of each parameter, by one step
  Adam adam_;
  Standardizer standardizer_;   // of what the networks see of an observation, and of targets
  torch::Generator generator_;  // of dropout and of the rewards' noise; begun anew by each fit
  RepeatedWork minibatch_;
  torch::Tensor input_rows_, target_rows_, weight_rows_;  // a whole minibatch: [B, in], [B, D], [B, E]
  torch::Tensor loss_sum_;                                // [], of an epoch
  torch::Tensor hypotheses_;
  // Of each row in the buffer, oldest first: its weights, then the uniform number that says whether it is held out,
  // [N, E + 1].
  torch::Tensor labels_;
  int64_t rows_labelled_ = 0;  // ever
  TransitionBatch holdout_;
};

}  // namespace reverie

#endif  // REVERIE_MODELS_HOMOSCEDASTIC_ENSEMBLE_H_
