// `model.kind: gan`: an ensemble of conditional Wasserstein GANs with a gradient penalty, about a Gaussian that says
// where and how wide the target is.
//
//   y = m(z) + s(z) u,   u = G(c, l) + noise_floor eps,   c = [z; m; log s^2],   l ~ N(0, I_L), eps ~ N(0, I_D)
//
//   Gaussian's loss:   mean sum_d -log N(y; m(z), s(z)^2),   log s^2 softly between -14 and 4
//   critic's loss:     mean [C(c, G) - C(c, u)] + penalty mean (|dC(c, v)/dv| - 1)^2,   v on the line from G to u
//   generator's loss: -mean C(c, G)
//
// The Gaussian has no gradient of the critic, which keeps means and deviations as sure as those of an ensemble: what
// the generator adds is the shape. The line keeps the same c. A minibatch is dealt into `critic_steps` parts, one for
// each step of the critic (fewer where it has fewer rows); the Gaussian and the generator take
// the whole minibatch. Generator and critic have Adam with b1 = 0, b2 = 0.9.
// A step takes noise [L for l; D for eps]; the floor keeps the least variance of a step. With targets of few numbers
// the penalty of the paper's images, 10, let the generator run away; 0.1 does not, which the authors' code takes for
// such toys.
//
// There is no density. A fit is judged by the energy score of hold-out rows (Gneiting and Raftery 2007, section 4.3),
//
//   ( E|Y - y| - E|Y - Y'| / 2 ) / sqrt(d),   Y, Y' drawn at z, 8 of them a row, d: how many targets vary
//
// which is least in the mean where the distribution at every z is the right one. GANs are the least reliable of the
// generators: they circle about where they would converge to, need many gradient steps and may lose a mode.
//
// Cost: a step asks two networks; a gradient step goes through the critic twice backwards.
//
// Sources: Gulrajani et al. 2017, Improved Training of Wasserstein GANs, algorithm 1 (without normalisation); Mirza and
// Osindero 2014 (conditional).
#ifndef REVERIE_MODELS_GAN_ENSEMBLE_H_
#define REVERIE_MODELS_GAN_ENSEMBLE_H_

#include <memory>
#include <vector>

#include "reverie/models/generative_ensemble.h"
#include "reverie/nn/ensemble_mlp.h"

namespace reverie {

struct GanConfig {
  int64_t latents = 8;
  int64_t critic_steps = 5;
  double penalty = 0.1;
  double noise_floor = 0.01;
  std::vector<int64_t> hidden{200, 200};  // of every network

  void Visit(Fields& fields);
};

class ConditionalGan final : public ConditionalGenerator {
 public:
  ConditionalGan(const GanConfig& config, double learning_rate, int64_t members, int64_t input_dim, int64_t target_dim,
                 const Rng& rng, const torch::Device& device);

  int64_t noise_dim() const override { return config_.latents + varying_.size(0); }
  torch::Tensor Step(const torch::Tensor& z, const torch::Tensor& y, torch::Generator& generator) override;
  torch::Tensor HoldoutError(const torch::Tensor& z, const torch::Tensor& y,
                             torch::Generator& generator) const override;
  bool error_is_logarithm() const override { return false; }
  torch::Tensor Sample(const torch::Tensor& z, const torch::Tensor& noise) const override;
  torch::Tensor& varying() override { return varying_; }
  std::vector<torch::Tensor> parameters() const override;
  double grad_norm() const override { return generator_parameters_.grads().norm().item<double>(); }
  void VisitState(StateVisitor& state) override;

  // The critic's loss of each member, [E], of condition c [E, R, in + 2 D] with what was drawn, `drawn` [E, R, D], and
  // how near to u the line is asked, `share` [E, R, 1]. Differentiable.
  torch::Tensor CriticLoss(const torch::Tensor& condition, const torch::Tensor& u, const torch::Tensor& drawn,
                           const torch::Tensor& share) const;

  FlatParameters& critic_parameters() { return critic_parameters_; }

 private:
  torch::Tensor NoiseLike(const torch::Tensor& z, torch::Generator& generator) const;
  // Draws of u, and of what the generator's network says.
  torch::Tensor Draw(const torch::Tensor& condition, const torch::Tensor& noise) const;
  torch::Tensor Floored(const torch::Tensor& generated, const torch::Tensor& noise) const;

  GanConfig config_;
  FlatParameters generator_parameters_, critic_parameters_, base_parameters_;
  TrainableMlp generator_, critic_, base_;
  std::vector<torch::Tensor> generator_leaves_, critic_leaves_, base_leaves_;
  Adam generator_adam_, critic_adam_, base_adam_;
  torch::Tensor varying_;  // [D]
};

struct GanEnsembleConfig : GenerativeEnsembleConfig {
  GanConfig gan;

  GanEnsembleConfig() {
    learning_rate = 3e-4;
    batch_size = 320;
    holdout.patience = 40;
  }
  void Visit(Fields& fields) {
    gan.Visit(fields);
    GenerativeEnsembleConfig::Visit(fields);
  }
};

class GanEnsemble final : public GenerativeEnsemble {
 public:
  GanEnsemble(const GanEnsembleConfig& config, const ModelSpec& spec, const Rng& rng, const torch::Device& device)
      : GenerativeEnsemble(
            config, spec, rng, device,
            std::make_unique<ConditionalGan>(config.gan, config.learning_rate, config.members, spec.input_dim(),
                                             spec.target_dim(), rng.Split("generator"), device)) {}
};

}  // namespace reverie

#endif  // REVERIE_MODELS_GAN_ENSEMBLE_H_
