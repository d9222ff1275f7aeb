// One network with a distribution over its weights, whose hypotheses are draws of them (Bayes by backprop).
//
//   q(w)   = N(mu, s^2) for each weight and bias, s = softplus(rho);      prior N(0, (prior_scale)^2 / in), in being
//            what a unit of that layer sees
//   f(z)   the network's output, silu between its layers;  y ~ N(f(z), diag exp(l)), one l for all inputs, learned,
//            softly between -10 and 2
//   loss   mean_rows E_q [ sum_dims ((f - y)^2 exp(-l) + l + log 2 pi) / 2 ] + kl_scale min(1, t / warm_up) KL / N
//   KL     = sum_w [ log(prior std / s) + (s^2 + mu^2) / (2 prior variance) - 1/2 ]
//
// N being the training rows and t the epochs that the model has been trained for. With kl_scale 1 it is the bound of
// variational inference on the log likelihood of the rows, divided by their number. With alpha above 0 the expectation
// of a row's log likelihood is replaced by
//
//   1/alpha log E_q [ p(y | z, w)^alpha ]
//
// which goes from the bound, at 0, to one that covers more of the posterior, at 1. Expectations are means of `samples`
// networks, drawn for every row anew:
//
//   local    every unit's input is drawn, from N(h mu + mu_b, h^2 s^2 + s_b^2): the local reparameterisation
//   flipout  one draw of the weights in a minibatch, whose deviations are turned by random signs of each row's inputs
//            and units
//
// Both have the exact expectation, the first less variance. Spreads and noise learn with ten times the means' step
// size, as they have to come far in few minibatches. z and y are those of models/transition_codec.h, every target in
// units of its deviation.
//
// The hypotheses: `draws` networks out of q, drawn at each fit. A mean-field posterior knows little of what lies in a
// gap between data, and where weights are many and rows few the KL outweighs them: the fit's numbers say so (`kl` in
// nats a row, `signal_<layer>`, the median of |mu| / s; below 1 most weights are noise).
//
// One fit: as models/mixture_ensemble.h says, with one network that sees every training row in each epoch and, for what
// is judged on hold-out rows, the mixture of the hypotheses.
//
// Sources: Blundell et al. 2015, Weight Uncertainty in Neural Networks; Kingma, Salimans and Welling 2015, Variational
// Dropout and the Local Reparameterization Trick; Wen et al. 2018, Flipout; Li and Gal 2017, Dropout Inference in
// Bayesian Neural Networks with Alpha-divergences, equation 8.
#ifndef REVERIE_MODELS_BAYESIAN_NETWORK_H_
#define REVERIE_MODELS_BAYESIAN_NETWORK_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "reverie/config/fields.h"
#include "reverie/models/dynamics_model.h"
#include "reverie/models/gaussian_networks.h"
#include "reverie/models/holdout_config.h"
#include "reverie/models/model_spec.h"
#include "reverie/models/transition_codec.h"
#include "reverie/nn/ensemble_mlp.h"

namespace reverie {

enum class WeightEstimator { kLocal, kFlipout };
std::vector<std::pair<std::string, WeightEstimator>> EnumNames(WeightEstimator);

struct BayesianNetworkConfig {
  int64_t draws = 10;
  std::vector<int64_t> hidden{128, 128};  // may be empty: a linear model
  double prior_scale = 1;
  double kl_scale = 1;
  int64_t warm_up = 10;  // epochs; 0: none
  WeightEstimator estimator = WeightEstimator::kLocal;
  int64_t samples = 1;
  double alpha = 0;
  double learning_rate = 1e-3;
  int64_t batch_size = 64;
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

class BayesianNetwork final : public DynamicsModel {
 public:
  BayesianNetwork(const BayesianNetworkConfig& config, const ModelSpec& spec, const Rng& rng,
                  const torch::Device& device);
  ~BayesianNetwork() override;

  using DynamicsModel::Fit;
  std::optional<Metrics> Fit(const ReplayBuffer& data, const Rng& rng, const std::function<bool()>& stop) override;
  void Step(const torch::Tensor& obs, const torch::Tensor& action, const StepDraws& draws,
            ModelSample& next) const override {
    networks_.Step(obs, action, draws, next);
  }
  ModelStep Next(const torch::Tensor& obs, const torch::Tensor& action, const StepDraws& draws) const override {
    return networks_.Next(obs, action, draws);
  }
  int64_t noise_dim() const override { return networks_.noise_dim(); }
  GaussianPrediction Predict(const torch::Tensor& obs, const torch::Tensor& action, Members) const override {
    return networks_.Predict(obs, action);
  }
  torch::Tensor DecodeObs(const torch::Tensor& target, const torch::Tensor& obs) const override {
    return codec_.DecodeObs(target, obs);
  }
  const torch::Tensor& target_std() const override { return codec_.standardizer().target_std(); }
  const torch::Tensor& hypotheses() const override { return hypotheses_; }
  const TransitionBatch& holdout() const override { return holdout_; }
  bool learns_reward() const override { return codec_.spec().learn_reward; }
  const GaussianNetworks* gaussian_networks() const override { return &networks_; }
  void Rehearse() override;  // a gradient step on a whole minibatch of zeros
  void VisitState(StateVisitor& state) override;

  // What is drawn for the loss of B rows: R = samples B of them, sample by sample.
  struct WeightNoise {
    // Standard normal: local [1, R, units of all layers], flipout [weights and biases of all layers, each layer's
    // weight before its bias].
    torch::Tensor normal;
    // Flipout: +-1, [1, R, inputs of all layers] and [1, R, units of all layers].
    torch::Tensor input_signs, unit_signs;
  };
  WeightNoise DrawNoise(int64_t rows, torch::Generator& generator) const;

  // The negative log likelihood [] of inputs [1, B, in] and targets [1, B, D] in the network's units, as the loss has
  // it, and KL []. Differentiable by what they are made of.
  torch::Tensor Nll(const torch::Tensor& inputs, const torch::Tensor& targets, const WeightNoise& noise) const;
  torch::Tensor Kl() const;

  FlatParameters& parameters() { return parameters_; }                // mu
  FlatParameters& spread_parameters() { return spread_parameters_; }  // rho, then what l is softly of
  const std::vector<torch::Tensor>& means() const { return means_; }  // mu: leaves, weight before bias, layer by layer
  const std::vector<torch::Tensor>& spreads() const { return spreads_; }  // rho, likewise
  torch::Tensor log_var() const;                                          // l [D], without gradients

 private:
  // f of inputs [1, R, in] with drawn weights, [1, R, D].
  torch::Tensor Forward(torch::Tensor h, const WeightNoise& noise) const;
  // The outputs of GaussianNetworks for these means [..., D].
  torch::Tensor WithLogVar(const torch::Tensor& mean) const;
  // Gives networks_ the weights that draws_ stands for.
  void SetHypotheses();
  MinibatchWork WorkOn(const FitRows& rows);

  BayesianNetworkConfig config_;
  TransitionCodec codec_;
  FlatParameters parameters_, spread_parameters_;
  TrainableMlp mean_, spread_;  // of one network each
  torch::Tensor raw_log_var_;   // [1, 1, D], a leaf
  std::vector<torch::Tensor> means_, spreads_;
  std::vector<torch::Tensor> leaves_;  // all that is learned
  std::vector<double> prior_stds_;     // by means_
  GaussianNetworks networks_;          // the hypotheses
  Adam adam_, spread_adam_;
  torch::Generator generator_;  // of the noise; begun anew by each fit
  std::unique_ptr<MinibatchFit> fit_;
  torch::Tensor train_rows_;  // N []
  torch::Tensor epochs_;      // t []
  torch::Tensor draws_;       // [draws, weights and biases of all layers], standard normal
  torch::Tensor hypotheses_;
  TransitionBatch holdout_;
};

}  // namespace reverie

#endif  // REVERIE_MODELS_BAYESIAN_NETWORK_H_
