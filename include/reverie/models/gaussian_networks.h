// What M networks with Gaussian outputs predict, whatever they are draws of: the steps of a model once it is fitted.
//
//   y ~ N(mu_h(z), diag exp(l_h(z)))       l = l_min + softplus(t - l_min),  t = l_max - softplus(l_max - raw)
//
// z and y are those of models/transition_codec.h. A deterministic network has no l and predicts mu itself.
#ifndef REVERIE_MODELS_GAUSSIAN_NETWORKS_H_
#define REVERIE_MODELS_GAUSSIAN_NETWORKS_H_

#include "reverie/models/dynamics_model.h"
#include "reverie/models/hypothesis_networks.h"
#include "reverie/models/transition_codec.h"

namespace reverie {

class GaussianNetworks {
 public:
  // l_max and l_min [1, D], which it shares; undefined where the networks are deterministic.
  struct Bounds {
    torch::Tensor max_log_var, min_log_var;
  };

  // -10 and 2, for every target: of networks whose targets are in units of their deviations.
  static Bounds FixedBounds(int64_t target_dim, const torch::Device& device);

  // Borrows the codec, which must outlive this. shape: M networks with 2 D outputs, or D.
  GaussianNetworks(const TransitionCodec& codec, const MlpShape& shape, Bounds bounds, Precision precision,
                   const torch::Device& device);

  // To be given weights.
  HypothesisNetworks& weights() { return networks_; }

  // As DynamicsModel's.
  void Step(const torch::Tensor& obs, const torch::Tensor& action, const StepDraws& draws, ModelSample& next) const;
  ModelStep Next(const torch::Tensor& obs, const torch::Tensor& action, const StepDraws& draws) const;
  int64_t noise_dim() const { return has_noise() ? codec_.target_dim() : 0; }
  GaussianPrediction Predict(const torch::Tensor& obs, const torch::Tensor& action) const {
    return PredictFrom(codec_.Seen(obs, action));
  }
  // The same for what the networks see of an observation beside the action, [N, in].
  GaussianPrediction PredictFrom(const torch::Tensor& seen) const;

  // Of outputs [..., 2 D] or [..., D], of these networks or of such that are trained to be: mu, l, and both in the
  // task's units.
  torch::Tensor Mean(const torch::Tensor& output) const { return output.slice(-1, 0, codec_.target_dim()); }
  torch::Tensor LogVar(const torch::Tensor& output) const;
  GaussianPrediction InTaskUnits(const torch::Tensor& output) const;
  // The negative log likelihood of each row, of which only targets that vary count: outputs [..., B, 2 D] and targets
  // [..., B, D] in the networks' units -> [..., B] in nats. Differentiable.
  torch::Tensor Nll(const torch::Tensor& output, const torch::Tensor& targets) const;
  // The mean over rows of that of the mixture of all networks, in nats a target that varies: inputs z [B, in], targets
  // [B, D] -> [1], without gradients.
  torch::Tensor MixtureNll(const torch::Tensor& inputs, const torch::Tensor& targets) const;

  // For whoever writes them elsewhere.
  const EnsembleMlp& mlp() const { return networks_.mlp(); }
  const TransitionCodec& codec() const { return codec_; }
  const Bounds& bounds() const { return bounds_; }
  bool learns_reward() const { return codec_.spec().learn_reward; }
  bool has_noise() const { return bounds_.max_log_var.defined(); }

 private:
  int64_t hypotheses() const { return mlp().shape().members; }

  const TransitionCodec& codec_;
  Bounds bounds_;
  HypothesisNetworks networks_;
};

}  // namespace reverie

#endif  // REVERIE_MODELS_GAUSSIAN_NETWORKS_H_
