// Bootstrap ensemble of probabilistic neural networks.
//
//   member i:  y ~ N(mu_i(z), diag exp(l_i(z))),   z = ((s, a) - mean) / std over the training rows
//   target = offset + scale y: y itself, or y in units of the training targets' deviation with normalize_targets, and
//   where the deviation is at most e^-5, the least noise that a new network predicts
//   l = l_min + softplus(t - l_min),  t = l_max - softplus(l_max - raw)      softly bounded, bounds [1, D] learned
//   loss = sum_i mean_{rows, dims} [ (mu_i - y)^2 exp(-l_i) + l_i ]
//          + 0.01 (sum l_max - sum l_min) + sum_layers decay_layer 0.5 |W_layer|^2
//
// A deterministic one has no l and predicts mu itself: loss = sum_i mean (mu_i - y)^2 and the decay.
//
// What the members are drawn to where no data say otherwise (`regularise`), W_0 being a member's weights at first:
//
//   decay            decay_layer 0.5 |W_layer|^2, as above
//   anchor           decay_layer 0.5 |W_layer - W_0,layer|^2, and every member sees each row once an epoch instead of a
//                    resample. With W_0 a draw of the prior, of variance p, the members are draws of about the
//                    posterior of N training rows (Pearce et al. 2018) where decay_layer is 2 / (p N D), or, of a
//                    deterministic one, 2 v / (p N D), v being the noise's variance
//   prior_function   the decay, and mu_i(z) + prior_scale g_i(z) in place of mu_i: g_i is a network as wide as the
//                    member that is drawn once and never trained (Osband et al. 2018). An imagined step costs up to
//                    four times as much, both networks being one of twice the width; a fit holds N targets for each
//                    member
//
// `normalize_targets: auto` is decided by the first fit in which a target varies, and kept: true where a deviation is
// above 25, as beside contact forces of hundreds the errors of all other targets, rewards among them where they are
// learned, would count for nothing. Where it is false, a target that begins to vary in a later fit, by more than 25, is
// in units of its deviation. Losses and hold-out errors that a fit reports are of y.
//
// A target that does not vary over the training rows is predicted exactly, with variance 0, and an input that does not
// vary is not shown to the networks (models/standardizer.h): a goal that an observation repeats stays where it is in
// imagination.
//
// The hypotheses are the elites.
//
// One fit: a new random split, each member its own bootstrap resample, reshuffled each epoch; after each epoch the
// members' hold-out MSE; a member improved if it is 1 % below its best of this fit; the fit stops when more than
// `patience` epochs in a row saw no member improve; every member gets its best weights back, and the elites are ranked
// by the hold-out MSE of those. Without hold-out rows it makes `max_epochs` epochs, keeps the last weights, and all
// members are elites. Weights and Adam's moments go on from the last fit.
//
// Sources: Chua et al. 2018, section 4 (PETS); Janner et al. 2019, appendix C, and its code (MBPO). The options
// target: next_obs and normalize_targets: "Fixing that free lunch", arXiv 2510.01457. Where a column has hardly moved,
// next observations in their own units are steep in those of that column: they are for use together.
#ifndef REVERIE_MODELS_GAUSSIAN_ENSEMBLE_H_
#define REVERIE_MODELS_GAUSSIAN_ENSEMBLE_H_

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "reverie/config/fields.h"
#include "reverie/models/dynamics_model.h"
#include "reverie/models/gaussian_networks.h"
#include "reverie/models/holdout_config.h"
#include "reverie/models/model_spec.h"
#include "reverie/models/prior_functions.h"
#include "reverie/models/transition_codec.h"
#include "reverie/nn/ensemble_mlp.h"

namespace reverie {

std::vector<std::pair<std::string, Precision>> EnumNames(Precision);

enum class Regularise { kDecay, kAnchor, kPriorFunction };
std::vector<std::pair<std::string, Regularise>> EnumNames(Regularise);

struct GaussianEnsembleConfig {
  int64_t members = 7;
  int64_t elites = 5;
  std::vector<int64_t> hidden{200, 200, 200, 200};
  double learning_rate = 1e-3;
  int64_t batch_size = 256;
  std::vector<double> weight_decay{2.5e-5, 5e-5, 7.5e-5, 7.5e-5, 1e-4};
  Regularise regularise = Regularise::kDecay;
  double prior_scale = 3;
  HoldoutConfig holdout;
  ModelTarget target = ModelTarget::kDelta;
  std::optional<bool> normalize_targets;
  bool deterministic = false;
  Precision precision = Precision::kFloat32;

  void Visit(Fields& fields);

  // What a first fit to so many rows lacks, or "": for Fields::Check.
  std::string LacksOf(int64_t rows) const { return holdout.LacksOf(rows); }
  ModelCard Card() const;
};

struct FitRows;
struct MinibatchWork;
class MinibatchFit;

class GaussianEnsemble final : public DynamicsModel {
 public:
  GaussianEnsemble(const GaussianEnsembleConfig& config, const ModelSpec& spec, const Rng& rng,
                   const torch::Device& device);
  ~GaussianEnsemble() override;

  using DynamicsModel::Fit;
  std::optional<Metrics> Fit(const ReplayBuffer& data, const Rng& rng, const std::function<bool()>& stop) override;
  void Step(const torch::Tensor& obs, const torch::Tensor& action, const StepDraws& draws,
            ModelSample& next) const override {
    elite_networks_.Step(obs, action, draws, next);
  }
  ModelStep Next(const torch::Tensor& obs, const torch::Tensor& action, const StepDraws& draws) const override {
    return elite_networks_.Next(obs, action, draws);
  }
  int64_t noise_dim() const override { return elite_networks_.noise_dim(); }
  // Of all members, and where it is differentiable, in the type of `action`: float32 or float64.
  GaussianPrediction Predict(const torch::Tensor& obs, const torch::Tensor& action, Members members) const override;
  torch::Tensor DecodeObs(const torch::Tensor& target, const torch::Tensor& obs) const override {
    return codec_.DecodeObs(target, obs);
  }
  const torch::Tensor& target_std() const override { return codec_.standardizer().target_std(); }
  const torch::Tensor& hypotheses() const override { return elites_; }  // best first
  const TransitionBatch& holdout() const override { return holdout_; }
  bool learns_reward() const override { return codec_.spec().learn_reward; }
  void Rehearse() override;  // a gradient step on a whole minibatch of zeros
  void LogRemarks() const override;
  const GaussianNetworks* gaussian_networks() const override { return &elite_networks_; }
  void VisitState(StateVisitor& state) override;

  // The parts of one gradient step, apart so that tests can hold them against autograd.
  // Writes the loss's gradients but for those of decay and anchors, which the second adds: inputs [E, B, in]
  // standardised, targets [E, B, D], less what the prior functions say. Returns the loss without them, a scalar tensor
  // that the next call overwrites.
  torch::Tensor ComputeGradients(const torch::Tensor& inputs, const torch::Tensor& targets);
  void ApplyGradients();

  // Parameters: the layers', then l_max, then l_min where it is probabilistic.
  FlatParameters& parameters() { return parameters_; }
  const EnsembleMlp& mlp() const { return mlp_; }
  // The members' prior functions; none where there are none.
  const std::optional<PriorFunctions>& prior() const { return prior_; }
  const torch::Tensor& max_log_var() const { return max_log_var_.value; }
  const torch::Tensor& min_log_var() const { return min_log_var_.value; }

 private:
  void SetElites(const torch::Tensor& elites);

  // Splits the rows anew and takes their statistics. With prior functions targets are [E, N, D], less what those say.
  FitRows Split(const TransitionBatch& all, torch::Generator& generator);
  // What a fit of the rows, which it borrows, does at each step.
  MinibatchWork WorkOn(const FitRows& rows);
  // [E, N, D] of the networks' output on the hold-out rows; 0 for targets that do not vary.
  torch::Tensor SquareError(const torch::Tensor& output, const FitRows& data) const;
  // The hold-out error of the weights as they are, by which it takes the elites.
  Metrics RankMembers(const FitRows& data);

  GaussianEnsembleConfig config_;
  TransitionCodec codec_;
  int64_t target_dim_;  // D
  FlatParameters parameters_;
  EnsembleMlp mlp_;
  FlatParameters::View max_log_var_, min_log_var_;  // [1, D]; undefined where it is deterministic
  torch::Tensor pull_;                              // [P] decay times W_0; undefined without anchors
  std::optional<PriorFunctions> prior_;
  GaussianNetworks elite_networks_;  // copies of the elites, best first
  std::optional<bool> normalizes_;   // whether every target is in units of its deviation; none before a fit decides it
  Adam adam_;
  // For whole minibatches, and for an epoch's last, smaller one.
  EnsembleMlp::Tape tape_, tail_tape_;
  torch::Tensor output_grad_, tail_output_grad_;  // as the networks' output
  torch::Tensor loss_;                            // []
  std::unique_ptr<MinibatchFit> fit_;
  torch::Tensor elites_;  // [elites] int64, best first; written in place
  TransitionBatch holdout_;
};

}  // namespace reverie

#endif  // REVERIE_MODELS_GAUSSIAN_ENSEMBLE_H_
