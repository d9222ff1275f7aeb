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
// One fit: as models/network_posterior.h says.
//
// Sources: Gal and Ghahramani 2016, Dropout as a Bayesian Approximation; Gal, Hron and Kendall 2017, Concrete Dropout,
// equations 1 to 5.
#ifndef REVERIE_MODELS_DROPOUT_NETWORK_H_
#define REVERIE_MODELS_DROPOUT_NETWORK_H_

#include <string>
#include <vector>

#include "reverie/config/fields.h"
#include "reverie/models/holdout_config.h"
#include "reverie/models/network_posterior.h"
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

class DropoutNetwork final : public NetworkPosterior {
 public:
  DropoutNetwork(const DropoutNetworkConfig& config, const ModelSpec& spec, const Rng& rng,
                 const torch::Device& device);

  // The loss [] of inputs [1, B, in] and targets [1, B, D] in the network's units, as of a fit on N rows, with the
  // uniform numbers u [1, B, units of all hidden layers]. Differentiable by what it is made of.
  torch::Tensor Loss(const torch::Tensor& inputs, const torch::Tensor& targets, const torch::Tensor& u) const;
  // Its part that is of no row: the sum over layers.
  torch::Tensor Prior() const;

  FlatParameters& parameters() { return parameters_; }                                     // of the network
  FlatParameters& rate_parameters() { return rate_parameters_; }                           // logit p_l [L]
  const std::vector<torch::Tensor>& weights() const { return mlp_.weights(); }             // leaves, [1, in, out]
  const std::vector<torch::Tensor>& biases() const { return mlp_.biases(); }               // leaves, [1, 1, out]
  torch::Tensor rates() const { return torch::sigmoid(rate_logits_.detach()).flatten(); }  // p_l [L]

 private:
  torch::Tensor GradientStep(const torch::Tensor& inputs, const torch::Tensor& targets,
                             torch::Generator& generator) override;
  void Redraw(torch::Generator& generator) override { draws().uniform_(0, 1, generator); }
  void SetHypotheses() override;  // without the units that draws() drop: where a number is below p
  std::vector<torch::Tensor> Learned() const override;
  void AddMetrics(Metrics& metrics) const override;
  void VisitLearned(StateVisitor& state) override;

  void SetRates();  // to the config's
  // p_l [] of hidden layer l, without gradients where it is not learned.
  torch::Tensor Rate(size_t layer) const;

  DropoutNetworkConfig config_;
  FlatParameters parameters_, rate_parameters_;
  TrainableMlp mlp_;                   // of one network
  torch::Tensor rate_logits_;          // [1, 1, L], a leaf
  std::vector<torch::Tensor> leaves_;  // all that is learned
  Adam adam_, rate_adam_;
};

}  // namespace reverie

#endif  // REVERIE_MODELS_DROPOUT_NETWORK_H_
