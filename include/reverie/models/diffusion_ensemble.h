// `model.kind: diffusion`: an ensemble of generators that lead noise to a target along an ordinary differential
// equation, from a Gaussian that says where and how wide the target is:
//
//   y = m(z) + s(z) u        m, log s^2 from a network, softly between -14 and 4
//   its loss                 mean_rows mean_d -log N(y; m(z), s(z)^2)
//
//   flow_matching   u_0 = eps, u_1 = u, du_t/dt = v(u_t, t),  t from 0 to 1
//     v             (2 t - 1) / r^2 u_t + F(u_t, t; c),  r = sqrt(t^2 + (1 - t)^2)
//     loss          mean_rows mean_d (v(u_t, t) - (u - eps))^2,  u_t = (1 - t) eps + t u,  t ~ U(0, 1)
//   edm             u_5 = sqrt(26) eps, u_0 = u, du_l/dl = (u_l - D(u_l, l)) / l,  l from 5 to 0
//     D             c_skip u_l + c_out F(c_in u_l, l; c),  c_skip = 1 / (l^2 + 1),
//                   c_out = l / sqrt(l^2 + 1),  c_in = 1 / sqrt(l^2 + 1)
//     loss          mean_rows mean_d (F - (u - c_skip u_l) / c_out)^2,  u_l = u + l eps,
//                   log l ~ N(-1.2, 1.2^2), clamped to 0.002 <= l <= 5
//
// F is a network of [u_t or c_in u_l; sines and cosines of pi k t or pi k log(l) / 4, k = 1 ... 4; c] with
// c = [z; m; log s^2], and begins as 0: v and D are then those of a Gaussian u, so that F has to say only how a
// distribution differs from that. The losses are added up; the equation's has no gradient by m and s. The networks that
// predict are exponential moving averages of those that are trained, of rate 0.005 a gradient step, which is greater in
// the first ones of a fit.
//
// Draws follow what is left of the equation without the Gaussian's own part, so that a Gaussian is exact:
//
//   flow_matching   w = u_t / r,               dw/dt = F / r,                      t = 1 - (1 - i/steps)^2
//   edm             w = u_l / sqrt(1 + l^2),   dw/dtheta = -F,   l = tan theta,    l_i of Karras et al., table 1, then
//   0
//
// for i = 0 ... steps, by Heun's method; edm's last step is Euler's.
//
// The density is the equation's too, log p(u) = log N(w_0; 0, I) minus the integral of the divergence of dw (Chen et
// al. 2018, equation 8), minus log s, in 20 steps of the Runge-Kutta method of order 4 with the exact trace. That draws
// take fewer steps it does not show: of two modes at +-0.95 and +-0.99 draws are off by some 0.01 in the mean.
//
// A fit is judged by another number, which needs no derivatives: the upper bound of the negative log density of the
// random process with the same D (Kingma et al. 2021, Variational Diffusion Models), which is tight where D is exact.
// It is taken for both processes at u_l = u + l eps, where flow matching's u_t is u_l / (1 + l), with l = (1 - t) / t:
//
//   integral E_eps[|u - D(u_l, l)|^2 / l^2] dlog l + log(2 pi e 0.002^2) d / 2 + KL + sum_d log s,   0.002 < l < 5
//   KL of N(u, 5^2 I) from N(0, 26 I)
//
// with 16 levels and as many eps a row, the same at each epoch.
//
// Cost: a step asks 2 `steps` networks of F, one fewer by edm, and one of m and s; a judgement 16 a row, a density
// 80 (D + 1), which a report card pays for every row.
//
// Sources: Lipman et al. 2023, Flow Matching for Generative Modeling (its optimal-transport path); Karras et al. 2022,
// Elucidating the Design Space of Diffusion-Based Generative Models; Alonso et al. 2024, Diffusion for World Modeling
// (levels up to 5); Han, Zheng and Zhou 2022, CARD, section 2.2 (from a conditional mean that is learned), Lee et al.
// 2022, PriorGrad (and deviation).
#ifndef REVERIE_MODELS_DIFFUSION_ENSEMBLE_H_
#define REVERIE_MODELS_DIFFUSION_ENSEMBLE_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "reverie/models/generative_ensemble.h"
#include "reverie/nn/ensemble_mlp.h"

namespace reverie {

enum class DiffusionProcess { kFlowMatching, kEdm };
std::vector<std::pair<std::string, DiffusionProcess>> EnumNames(DiffusionProcess);

struct DiffusionConfig {
  DiffusionProcess process = DiffusionProcess::kFlowMatching;
  int64_t steps = 8;
  std::vector<int64_t> hidden{256, 256, 256};

  void Visit(Fields& fields);
};

class ConditionalDiffusion final : public ConditionalGenerator {
 public:
  ConditionalDiffusion(const DiffusionConfig& config, double learning_rate, int64_t members, int64_t input_dim,
                       int64_t target_dim, const Rng& rng, const torch::Device& device);

  int64_t noise_dim() const override { return varying_.size(0); }
  void BeginFit() override { gradient_steps_.zero_(); }
  torch::Tensor Step(const torch::Tensor& z, const torch::Tensor& y, torch::Generator& generator) override;
  torch::Tensor HoldoutError(const torch::Tensor& z, const torch::Tensor& y,
                             torch::Generator& generator) const override;
  torch::Tensor Sample(const torch::Tensor& z, const torch::Tensor& noise) const override;
  std::optional<torch::Tensor> LogDensity(const torch::Tensor& z, const torch::Tensor& y) const override;
  torch::Tensor& varying() override { return varying_; }
  std::vector<torch::Tensor> parameters() const override;
  double grad_norm() const override { return parameters_.grads().norm().item<double>(); }
  void VisitState(StateVisitor& state) override;

  // c by the networks that predict: z [E, R, in] -> [E, R, in + 2 D].
  torch::Tensor ConditionAt(const torch::Tensor& z) const;
  // F of the networks that predict, of u_t of flow matching or c_in u_l = w of edm, [E, R, D], at t or l [E, R, 1],
  // with c [E, R, in + 2 D].
  torch::Tensor FormAt(const torch::Tensor& at, const torch::Tensor& time, const torch::Tensor& condition) const;
  // D of either process: noisy [E, R, D] of levels l [E, R, 1].
  torch::Tensor DenoisedAt(const torch::Tensor& noisy, const torch::Tensor& level,
                           const torch::Tensor& condition) const;

  // Draws and densities of u by a process with that F in place of the networks': noise [E, R, D], u [E, R, D].
  using Form = std::function<torch::Tensor(const torch::Tensor& at, double time)>;
  torch::Tensor SampleBy(const Form& form, const torch::Tensor& noise) const;
  torch::Tensor LogDensityBy(const Form& form, const torch::Tensor& u) const;  // [E, R]
  // The bound of the mean negative log density of u [E, R, D] with such a D in place of the networks', [E].
  using Denoiser = std::function<torch::Tensor(const torch::Tensor& noisy, const torch::Tensor& level)>;
  torch::Tensor BoundBy(const Denoiser& denoiser, const torch::Tensor& u, torch::Generator& generator) const;

  // The equation's mean loss of each member, [E], with eps [E, B, D] and times: t, or standard normal numbers for log
  // l, [E, B, 1].
  torch::Tensor Loss(const torch::Tensor& condition, const torch::Tensor& u, const torch::Tensor& eps,
                     const torch::Tensor& times) const;

 private:
  bool is_edm() const { return config_.process == DiffusionProcess::kEdm; }
  Form FormGiven(const torch::Tensor& condition) const;
  // dw/dt at t, or dw/dtheta at theta.
  torch::Tensor SlopeOf(const Form& form, const torch::Tensor& w, double place) const;
  static torch::Tensor NetworkInputs(const torch::Tensor& u, const torch::Tensor& time, const torch::Tensor& condition);

  DiffusionConfig config_;
  FlatParameters parameters_, mean_parameters_;
  TrainableMlp network_, base_;           // trained
  EnsembleMlp mean_network_, mean_base_;  // predict
  std::vector<torch::Tensor> leaves_;
  Adam adam_;
  torch::Tensor gradient_steps_;  // [], of this fit
  torch::Tensor varying_;         // [D]
};

struct DiffusionEnsembleConfig : GenerativeEnsembleConfig {
  DiffusionConfig diffusion;

  void Visit(Fields& fields) {
    diffusion.Visit(fields);
    GenerativeEnsembleConfig::Visit(fields);
  }
};

class DiffusionEnsemble final : public GenerativeEnsemble {
 public:
  DiffusionEnsemble(const DiffusionEnsembleConfig& config, const ModelSpec& spec, const Rng& rng,
                    const torch::Device& device)
      : GenerativeEnsemble(config, spec, rng, device,
                           std::make_unique<ConditionalDiffusion>(config.diffusion, config.learning_rate,
                                                                  config.members, spec.input_dim(), spec.target_dim(),
                                                                  rng.Split("generator"), device)) {}
};

}  // namespace reverie

#endif  // REVERIE_MODELS_DIFFUSION_ENSEMBLE_H_
