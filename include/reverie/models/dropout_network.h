// One network with dropout, whose hypotheses are the same network with other units missing.
//
//   h_1 = silu(z W_1 + b_1);   h_l = silu((m_{l-1} * h_{l-1}) W_l + b_l);   (mu, raw l) = (m_L * h_L) W_{L+1} + b_{L+1}
//   m_l    one number for each unit of hidden layer l: 0 with probability p_l, else 1 / (1 - p_l)
//   y      ~ N(mu, diag exp(l)),  l softly between -10 and 2
//   loss   mean_rows sum_dims [ (mu - y)^2 exp(-l) + l + log 2 pi ] / 2
//          + 1/N sum_l [ s^2 |W_l|^2 / (2 (1 - p_{l-1})) + K_{l-1} (p_{l-1} log p_{l-1} + (1 - p_{l-1}) log(1 -
//          p_{l-1})) ]
//
// N being the training rows, K_l the units of layer l, s the length scale of the prior and p_0 = 0, as nothing is
// dropped of what is seen. This is the bound of variational inference with the distribution over weights that dropping
// units makes. With `learn_rate` the p_l are learned too, with ten times the weights' step size, as they have to come
// far in few minibatches. A unit is missing where u < p, u uniform for each row and unit; the gradient by p is that of
// a relaxed mask (concrete dropout):
//
//   m = (1 - sigmoid((logit p - logit u) / 0.1)) / (1 - p)
//
// z and y are those of models/transition_codec.h, every target in units of its deviation.
//
// The hypotheses: `draws` sets of m, drawn at each fit. A trajectory that keeps its hypothesis keeps its missing units,
// as Deep PILCO does (Gal, McAllister and Rasmussen 2016); units that were dropped anew at each step would take what
// the model does not know for noise that averages out. Plans do so under propagation tsinf, report cards always; the
// imagined rollouts of MBPO, DHMBPO and SVG draw the hypothesis anew at every step. The mean of the hypotheses is not
// the network without dropout.
//
// One fit: as models/mixture_ensemble.h says, with one network that sees every training row in each epoch and, for what
// is judged on hold-out rows, the mixture of the hypotheses.
//
// Sources: Gal and Ghahramani 2016, Dropout as a Bayesian Approximation; Gal, Hron and Kendall 2017, Concrete Dropout,
// equations 1 to 5.
#ifndef REVERIE_MODELS_DROPOUT_NETWORK_H_
#define REVERIE_MODELS_DROPOUT_NETWORK_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "reverie/config/fields.h"
#include "reverie/models/dynamics_model.h"
#include "reverie/models/gaussian_networks.h"
#include "reverie/models/holdout_config.h"
#include "reverie/models/model_spec.h"
#include "reverie/models/transition_codec.h"
#include "reverie/nn/ensemble_mlp.h"

namespace reverie {

struct DropoutNetworkConfig {
  int64_t draws = 10;
  std::vector<int64_t> hidden{200, 200, 200};
  double rate = 0.1;  // p_l, at first
  bool learn_rate = true;
  double length_scale = 1e-2;  // s
  double learning_rate = 1e-3;
  int64_t batch_size = 256;
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

class DropoutNetwork final : public DynamicsModel {
 public:
  DropoutNetwork(const DropoutNetworkConfig& config, const ModelSpec& spec, const Rng& rng,
                 const torch::Device& device);
  ~DropoutNetwork() override;

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

  // The loss [] of inputs [1, B, in] and targets [1, B, D] in the network's units, as of a fit on N rows, with the
  // uniform numbers u [1, B, units of all hidden layers]. Differentiable by what it is made of.
  torch::Tensor Loss(const torch::Tensor& inputs, const torch::Tensor& targets, const torch::Tensor& u) const;
  // Its part that is of no row: the sum over layers.
  torch::Tensor Prior() const;
  // Sets N.
  void SetTrainRows(int64_t rows) { train_rows_.fill_(static_cast<double>(rows)); }

  FlatParameters& parameters() { return parameters_; }                                     // of the network
  FlatParameters& rate_parameters() { return rate_parameters_; }                           // logit p_l [L]
  const std::vector<torch::Tensor>& weights() const { return mlp_.weights(); }             // leaves, [1, in, out]
  const std::vector<torch::Tensor>& biases() const { return mlp_.biases(); }               // leaves, [1, 1, out]
  torch::Tensor rates() const { return torch::sigmoid(rate_logits_.detach()).flatten(); }  // p_l [L]

 private:
  // Gives networks_ the weights as they are, without the units that draws_ drops.
  void SetHypotheses();
  void SetRates();  // to the config's
  // p_l [] of hidden layer l, without gradients where it is not learned.
  torch::Tensor Rate(size_t layer) const;
  MinibatchWork WorkOn(const FitRows& rows);

  DropoutNetworkConfig config_;
  TransitionCodec codec_;
  FlatParameters parameters_, rate_parameters_;
  TrainableMlp mlp_;                   // of one network
  torch::Tensor rate_logits_;          // [1, 1, L], a leaf
  std::vector<torch::Tensor> leaves_;  // all that is learned
  GaussianNetworks networks_;          // the hypotheses
  Adam adam_, rate_adam_;
  torch::Generator generator_;  // of u; begun anew by each fit
  std::unique_ptr<MinibatchFit> fit_;
  torch::Tensor train_rows_;  // N []
  torch::Tensor draws_;       // [draws, units of all hidden layers], uniform: a unit is missing where it is below p
  torch::Tensor hypotheses_;
  TransitionBatch holdout_;
};

}  // namespace reverie

#endif  // REVERIE_MODELS_DROPOUT_NETWORK_H_
