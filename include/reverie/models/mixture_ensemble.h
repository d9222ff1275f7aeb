// Bootstrap ensemble of mixture density networks: for dynamics that may go one way or another.
//
//   member i:  p(y | z) = sum_c w_c prod_d N(y_d; mu_cd, exp(l_cd))      c = 1 ... C components, w = softmax(logits)
//   loss       sum_i mean_rows [ -log p_i(y | z) / d ] + sum_layers decay_layer 0.5 |W_layer|^2
//
// d being how many of the D targets vary. z and y are those of models/transition_codec.h, every target in units of its
// deviation. l lies softly between -10 and
// 2. The components share their choice over all targets, so that one of two sides is taken by all of them together.
// A step draws the component by the last of its D + 1 numbers of noise, where the weights' cumulative sum passes
// Phi(eps), and y = mu_c + exp(l_c / 2) eps. It jumps where the component changes: a step has no derivatives that
// follow a policy, which is why such a model does not serve value gradients or iLQR.
//
// The hypotheses are all members. A fit is that of models/gaussian_ensemble.h, with the mixtures' negative log
// likelihood on the hold-out rows instead of the square error: a member improved if it is 0.01 nats a target below its
// best of this fit. A target that does not vary is predicted exactly.
//
// Sources: Bishop 1994, Mixture Density Networks, with component-wise diagonal covariances; Kegl et al. 2021,
// Model-based Micro-data Reinforcement Learning (for dynamics).
#ifndef REVERIE_MODELS_MIXTURE_ENSEMBLE_H_
#define REVERIE_MODELS_MIXTURE_ENSEMBLE_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "reverie/config/fields.h"
#include "reverie/models/dynamics_model.h"
#include "reverie/models/holdout_config.h"
#include "reverie/models/hypothesis_networks.h"
#include "reverie/models/model_spec.h"
#include "reverie/models/transition_codec.h"
#include "reverie/nn/ensemble_mlp.h"

namespace reverie {

struct MixtureEnsembleConfig {
  int64_t members = 5;
  int64_t components = 5;  // C
  std::vector<int64_t> hidden{200, 200, 200};
  double learning_rate = 1e-3;
  int64_t batch_size = 256;
  std::vector<double> weight_decay{2.5e-5, 5e-5, 7.5e-5, 1e-4};
  HoldoutConfig holdout;
  ModelTarget target = ModelTarget::kDelta;

  void Visit(Fields& fields);

  // What a first fit to so many rows lacks, or "": for Fields::Check.
  std::string LacksOf(int64_t rows) const { return holdout.LacksOf(rows); }
  ModelCard Card() const;
};

struct FitRows;
struct MinibatchWork;
class MinibatchFit;

class MixtureEnsemble final : public DynamicsModel {
 public:
  MixtureEnsemble(const MixtureEnsembleConfig& config, const ModelSpec& spec, const Rng& rng,
                  const torch::Device& device);
  ~MixtureEnsemble() override;

  using DynamicsModel::Fit;
  std::optional<Metrics> Fit(const ReplayBuffer& data, const Rng& rng, const std::function<bool()>& stop) override;
  void Step(const torch::Tensor& obs, const torch::Tensor& action, const StepDraws& draws,
            ModelSample& next) const override;
  // Derivatives are those of the component that is drawn.
  ModelStep Next(const torch::Tensor& obs, const torch::Tensor& action, const StepDraws& draws) const override;
  int64_t noise_dim() const override { return codec_.target_dim() + 1; }
  GaussianPrediction Predict(const torch::Tensor& obs, const torch::Tensor& action, Members members) const override;
  bool is_gaussian() const override { return false; }
  MixturePrediction PredictMixture(const torch::Tensor& obs, const torch::Tensor& action) const override;
  torch::Tensor DecodeObs(const torch::Tensor& target, const torch::Tensor& obs) const override {
    return codec_.DecodeObs(target, obs);
  }
  const torch::Tensor& target_std() const override { return codec_.standardizer().target_std(); }
  const torch::Tensor& hypotheses() const override { return hypotheses_; }
  const TransitionBatch& holdout() const override { return holdout_; }
  bool learns_reward() const override { return codec_.spec().learn_reward; }
  void Rehearse() override;  // a gradient step on a whole minibatch of zeros
  void VisitState(StateVisitor& state) override;

  // The negative log likelihood of each member's rows, in nats a target that varies: output [E, B, C (1 + 2 D)] of the
  // networks, targets [E, B, D] or [B, D] in their units -> [E, B]. Differentiable.
  torch::Tensor Nll(const torch::Tensor& output, const torch::Tensor& targets) const;
  // The two halves of a gradient step: inputs [E, B, in], targets [E, B, D] in the networks' units. The first returns
  // the loss [] without the decay, which the second adds.
  torch::Tensor ComputeGradients(const torch::Tensor& inputs, const torch::Tensor& targets);
  void ApplyGradients() { adam_.Step(); }

  FlatParameters& parameters() { return parameters_; }
  const EnsembleMlp& mlp() const { return mlp_; }

 private:
  // The networks' output [..., C (1 + 2 D)] as [..., C], [..., C, D], [..., C, D].
  struct Components {
    torch::Tensor logits, mean, raw;
  };
  Components Of(const torch::Tensor& output) const;
  // y of rows as they are dealt: output [M, S, C (1 + 2 D)], noise [M, S, D + 1] -> [M, S, D].
  torch::Tensor Draw(const torch::Tensor& output, const torch::Tensor& noise) const;

  MixturePrediction InNetworkUnits(const torch::Tensor& obs, const torch::Tensor& action) const;
  // Splits the rows anew and takes their statistics.
  FitRows Split(const TransitionBatch& all, torch::Generator& generator);
  MinibatchWork WorkOn(const FitRows& rows);

  MixtureEnsembleConfig config_;
  TransitionCodec codec_;
  FlatParameters parameters_;
  EnsembleMlp mlp_;
  HypothesisNetworks networks_;  // copies of the members
  Adam adam_;
  EnsembleMlp::Tape tape_, tail_tape_;  // for whole minibatches, and for an epoch's last, smaller one
  std::unique_ptr<MinibatchFit> fit_;
  torch::Tensor hypotheses_;
  TransitionBatch holdout_;
};

}  // namespace reverie

#endif  // REVERIE_MODELS_MIXTURE_ENSEMBLE_H_
