// One network with a distribution over its weights, whose hypotheses are draws of them (Bayes by backprop).
//
//   q(w)   = N(mu, s^2) for each weight and bias, s = softplus(rho);      prior N(0, (prior_scale)^2 / in), in being
//            what a unit of that layer sees
//   f(z)   the network's output, silu between its layers;  y ~ N(f(z), diag exp(l)), one l for all inputs, learned,
//            softly between -10 and 2
//   loss   mean_rows E_q [ sum_dims ((f - y)^2 exp(-l) + l + log 2 pi) / 2 ] + kl_scale min(1, t / warm_up) KL / N
//   KL     = sum_w [ log(prior std / s) + (s^2 + mu^2) / (2 prior variance) - 1/2 ]
//
// N being the training rows and t the gradient steps of the model so far. With kl_scale 1 it is the bound of
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
// gap between data. Where weights are many and rows few the whole divergence outweighs the rows: means stay near 0, and
// the noise takes what they miss. Of 1,000 rows of sines with noise 0.2 the defaults leave an error of 0.23, with
// kl_scale 1 one of 0.72, with kl_scale 1 and 32 units a layer 0.26. So the default is a cold posterior, 0.1, which is
// less sure than it should be of being unsure. The fit's numbers say where it stands: `kl` in nats a row,
// `signal_<layer>`, the median of |mu| / s; below 1 most weights are noise.
//
// One fit: as models/network_posterior.h says. It is judged by the bound on hold-out rows, the divergence included,
// once warm_up is over: by their likelihood alone it would end while most of the divergence is still to be paid.
//
// Sources: Blundell et al. 2015, Weight Uncertainty in Neural Networks; Kingma, Salimans and Welling 2015, Variational
// Dropout and the Local Reparameterization Trick; Wen et al. 2018, Flipout; Li and Gal 2017, Dropout Inference in
// Bayesian Neural Networks with Alpha-divergences, equation 8.
#ifndef REVERIE_MODELS_BAYESIAN_NETWORK_H_
#define REVERIE_MODELS_BAYESIAN_NETWORK_H_

#include <string>
#include <utility>
#include <vector>

#include "reverie/config/fields.h"
#include "reverie/models/holdout_config.h"
#include "reverie/models/network_posterior.h"
#include "reverie/nn/ensemble_mlp.h"

namespace reverie {

enum class WeightEstimator { kLocal, kFlipout };
std::vector<std::pair<std::string, WeightEstimator>> EnumNames(WeightEstimator);

struct BayesianNetworkConfig {
  int64_t draws = 10;
  std::vector<int64_t> hidden{128, 128};  // may be empty: a linear model
  double prior_scale = 1;
  double kl_scale = 0.1;
  int64_t warm_up = 1000;  // gradient steps; 0: none
  WeightEstimator estimator = WeightEstimator::kLocal;
  int64_t samples = 1;
  double alpha = 0;
  double learning_rate = 1e-3;
  int64_t batch_size = 64;
  HoldoutConfig holdout{.patience = 20};
  ModelTarget target = ModelTarget::kDelta;

  void Visit(Fields& fields);

  // What a first fit to so many rows lacks, or "": for Fields::Check.
  std::string LacksOf(int64_t rows) const { return holdout.LacksOf(rows); }
  ModelCard Card() const;
};

class BayesianNetwork final : public NetworkPosterior {
 public:
  BayesianNetwork(const BayesianNetworkConfig& config, const ModelSpec& spec, const Rng& rng,
                  const torch::Device& device);

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
  torch::Tensor GradientStep(const torch::Tensor& inputs, const torch::Tensor& targets,
                             torch::Generator& generator) override;
  void Redraw(torch::Generator& generator) override { draws().normal_(0, 1, generator); }
  void SetHypotheses()
      override;  // with draws(), [draws, weights and biases of all layers], for standard normal numbers
  std::vector<torch::Tensor> Learned() const override;
  torch::Tensor Complexity() const override { return config_.kl_scale * Kl() / train_rows(); }
  int64_t Unjudged() const override;
  void AddMetrics(Metrics& metrics) const override;
  void VisitLearned(StateVisitor& state) override;

  BayesianNetworkConfig config_;
  FlatParameters parameters_, spread_parameters_;
  TrainableMlp mean_, spread_;  // of one network each
  torch::Tensor raw_log_var_;   // [1, 1, D], a leaf
  std::vector<torch::Tensor> means_, spreads_;
  std::vector<torch::Tensor> leaves_;  // all that is learned
  std::vector<double> prior_stds_;     // by means_
  Adam adam_, spread_adam_;
  torch::Tensor steps_;  // t []
};

}  // namespace reverie

#endif  // REVERIE_MODELS_BAYESIAN_NETWORK_H_
