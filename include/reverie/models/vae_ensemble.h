// `model.kind: vae`: an ensemble of conditional variational autoencoders, Gaussians that latent variables mix.
//
//   l ~ N(m(z), s(z)^2)                        prior, L latent variables
//   y ~ N(mu(z, l), sigma(z, l)^2)             decoder
//   q(l | z, y) = N(m'(z, y), s'(z, y)^2)      encoder, for training
//
// with all log variances softly between -10 and 2.
//
// There is no exact density, but a bound of it that importance weights give (Burda, Grosse and Salakhutdinov 2016):
//
//   log p(y | z) >= E log 1/K sum_k w_k,    w_k = p(y | z, l_k) (p(l_k | z) / q(l_k | z, y))^beta,    l_k ~ q
//
// with beta = 1. Training maximises that of K = `samples` draws, with a beta that goes from 0 to 1 in the first
// `warm_up` gradient steps (below 1 it is no bound), so that the latent variables are of use before they cost. With one
// draw it is the usual bound, of which the divergence is known:
//
//   loss: mean_rows [ -log p(y | z, l) + beta sum_j max(mean_rows KL_j, free_bits) ]      KL_j of q from the prior
//
// where up to `free_bits` nats a latent variable cost nothing. A q that is one Gaussian covers but one of the places
// that might have led to y, and the usual bound pays for that: on Fork-v0 a model of it is 0.2 nats from the truth, one
// of 8 samples 0.08. A step takes noise [L for l; D for y].
//
// What is said of the density is the bound with K = 64 and beta = 1, and with 16 where a fit is judged, which may end
// once warm_up is over. `active_<i>` of a fit's numbers counts the latent variables that member i uses: those of which
// (m' - m) / s varies over 10,000 training rows by a variance of more than 0.01 (Burda et al., section 5, whose prior
// is fixed). Where none is, the model is a Gaussian, and where the task is not that, warm_up is too short.
//
// Cost: a step asks two networks, a bound K + 2.
//
// Sources: Sohn, Lee and Yan 2015 (conditional, with a learned prior); Kingma et al. 2016, appendix C.8 (free bits);
// Moerland, Broekens and Jonker 2017 (as dynamics).
#ifndef REVERIE_MODELS_VAE_ENSEMBLE_H_
#define REVERIE_MODELS_VAE_ENSEMBLE_H_

#include <memory>
#include <vector>

#include "reverie/models/generative_ensemble.h"
#include "reverie/nn/ensemble_mlp.h"

namespace reverie {

struct VaeConfig {
  int64_t latents = 6;
  int64_t samples = 8;
  double free_bits = 0.1;
  int64_t warm_up = 1000;
  std::vector<int64_t> hidden{200, 200};  // of every network

  void Visit(Fields& fields);
};

class ConditionalVae final : public ConditionalGenerator {
 public:
  ConditionalVae(const VaeConfig& config, double learning_rate, int64_t members, int64_t input_dim, int64_t target_dim,
                 const Rng& rng, const torch::Device& device);

  int64_t noise_dim() const override { return config_.latents + varying_.size(0); }
  torch::Tensor Step(const torch::Tensor& z, const torch::Tensor& y, torch::Generator& generator) override;
  torch::Tensor HoldoutError(const torch::Tensor& z, const torch::Tensor& y,
                             torch::Generator& generator) const override;
  int64_t WarmUp() const override;
  torch::Tensor Sample(const torch::Tensor& z, const torch::Tensor& noise) const override;
  // The bound.
  std::optional<torch::Tensor> LogDensity(const torch::Tensor& z, const torch::Tensor& y) const override;
  bool density_is_bound() const override { return true; }
  void AddMetrics(const torch::Tensor& z, const torch::Tensor& y, Metrics& metrics) const override;
  torch::Tensor& varying() override { return varying_; }
  std::vector<torch::Tensor> parameters() const override;
  double grad_norm() const override { return parameters_.grads().norm().item<double>(); }
  void VisitState(StateVisitor& state) override;

  // Of z [E, R, in] and y [E, R, D] with draws' noise [E, R, L]: -log p(y | z, l), [E, R], and KL_j, [E, R, L].
  // Differentiable.
  struct Terms {
    torch::Tensor nll, kl;
  };
  Terms TermsOf(const torch::Tensor& z, const torch::Tensor& y, const torch::Tensor& noise) const;
  // The bound with noise [K, E, R, L] and beta []: [E, R]. Differentiable.
  torch::Tensor Bound(const torch::Tensor& z, const torch::Tensor& y, const torch::Tensor& noise,
                      const torch::Tensor& beta) const;
  torch::Tensor Bound(const torch::Tensor& z, const torch::Tensor& y, const torch::Tensor& noise) const {
    return Bound(z, y, noise, torch::ones_like(steps_));
  }

  FlatParameters& all_parameters() { return parameters_; }

 private:
  VaeConfig config_;
  FlatParameters parameters_;
  TrainableMlp prior_, encoder_, decoder_;
  std::vector<torch::Tensor> leaves_;
  Adam adam_;
  torch::Tensor steps_;    // [], gradient steps
  torch::Tensor varying_;  // [D]
};

struct VaeEnsembleConfig : GenerativeEnsembleConfig {
  VaeConfig vae;

  void Visit(Fields& fields) {
    vae.Visit(fields);
    GenerativeEnsembleConfig::Visit(fields);
  }
};

class VaeEnsemble final : public GenerativeEnsemble {
 public:
  VaeEnsemble(const VaeEnsembleConfig& config, const ModelSpec& spec, const Rng& rng, const torch::Device& device)
      : GenerativeEnsemble(
            config, spec, rng, device,
            std::make_unique<ConditionalVae>(config.vae, config.learning_rate, config.members, spec.input_dim(),
                                             spec.target_dim(), rng.Split("generator"), device)) {}
};

}  // namespace reverie

#endif  // REVERIE_MODELS_VAE_ENSEMBLE_H_
