// `model.kind: flow`: an ensemble of conditional normalising flows, the exact density of whatever shape.
//
//   u_0 = (y - mu(z)) / sigma(z)         a Gaussian head, log sigma^2 softly between -10 and 2
//   u_k = T_k(u_{k-1}; z)                k = 1 ... K couplings
//   log p(y | z) = log N(u_K; 0, I) + sum_k log |det dT_k| - sum_d log sigma_d
//
// A coupling leaves half of the numbers as they are and moves the others, each by a monotonic function whose parameters
// a network gives from z and the first half:
//
//   spline   rational-quadratic, of `bins` bins on [-5, 5] (nn/rational_quadratic_spline.h)
//   affine   (u - t) exp(-s),  s = 2 tanh(raw / 2)
//
// Which half, is drawn for every second coupling, the next one taking the other; all couplings move a lone target. They
// begin as the identity, the whole as a Gaussian. A step takes noise u_K and goes back: y = T_1^-1(... T_K^-1(eps)).
//
// loss: mean_rows [ -log p(y | z) / d ], d being how many targets vary. Affine couplings leave threads of probability
// between modes, splines do not. Cost of a step: 1 + K small networks and, with splines, some forty operations a number
// of each coupling.
//
// Sources: Dinh, Sohl-Dickstein and Bengio 2017 (couplings); Durkan et al. 2019, Neural Spline Flows; Winkler et al.
// 2019, Learning Likelihoods with Conditional Normalizing Flows.
#ifndef REVERIE_MODELS_FLOW_ENSEMBLE_H_
#define REVERIE_MODELS_FLOW_ENSEMBLE_H_

#include <string>
#include <utility>
#include <vector>

#include "reverie/models/generative_ensemble.h"
#include "reverie/nn/ensemble_mlp.h"

namespace reverie {

enum class CouplingTransform { kSpline, kAffine };
std::vector<std::pair<std::string, CouplingTransform>> EnumNames(CouplingTransform);

struct FlowConfig {
  int64_t couplings = 6;
  CouplingTransform transform = CouplingTransform::kSpline;
  int64_t bins = 8;
  std::vector<int64_t> hidden{128, 128};  // of every network

  void Visit(Fields& fields);
};

class ConditionalFlow final : public ConditionalGenerator {
 public:
  ConditionalFlow(const FlowConfig& config, double learning_rate, int64_t members, int64_t input_dim,
                  int64_t target_dim, const Rng& rng, const torch::Device& device);

  int64_t noise_dim() const override { return varying_.size(0); }
  torch::Tensor Step(const torch::Tensor& z, const torch::Tensor& y, torch::Generator& generator) override;
  torch::Tensor HoldoutError(const torch::Tensor& z, const torch::Tensor& y,
                             torch::Generator& generator) const override;
  torch::Tensor Sample(const torch::Tensor& z, const torch::Tensor& noise) const override;
  std::optional<torch::Tensor> LogDensity(const torch::Tensor& z, const torch::Tensor& y) const override;
  torch::Tensor& varying() override { return varying_; }
  std::vector<torch::Tensor> parameters() const override;
  double grad_norm() const override { return parameters_.grads().norm().item<double>(); }
  void VisitState(StateVisitor& state) override;

  // The noise that a target stands for, and log p of it: z [E, R, in], y [E, R, D] -> [E, R, D], [E, R].
  // Differentiable.
  struct Explained {
    torch::Tensor noise, log_density;
  };
  Explained Explain(const torch::Tensor& z, const torch::Tensor& y) const;

  FlatParameters& all_parameters() { return parameters_; }

 private:
  struct Coupling {
    torch::Tensor kept, moved;  // int64, which numbers
    TrainableMlp network;
  };

  // The parameters of a coupling's functions, [E, R, moved, P], in what its network says.
  static torch::Tensor ParametersOf(const Coupling& coupling, const torch::Tensor& raw);
  torch::Tensor Nll(const torch::Tensor& z, const torch::Tensor& y) const;  // [E], a varying target

  FlowConfig config_;
  FlatParameters parameters_;
  TrainableMlp head_;
  std::vector<Coupling> couplings_;
  std::vector<torch::Tensor> leaves_;
  Adam adam_;
  torch::Tensor varying_;  // [D]
};

struct FlowEnsembleConfig : GenerativeEnsembleConfig {
  FlowConfig flow;

  void Visit(Fields& fields) {
    flow.Visit(fields);
    GenerativeEnsembleConfig::Visit(fields);
  }
};

class FlowEnsemble final : public GenerativeEnsemble {
 public:
  FlowEnsemble(const FlowEnsembleConfig& config, const ModelSpec& spec, const Rng& rng, const torch::Device& device)
      : GenerativeEnsemble(
            config, spec, rng, device,
            std::make_unique<ConditionalFlow>(config.flow, config.learning_rate, config.members, spec.input_dim(),
                                              spec.target_dim(), rng.Split("generator"), device)) {}
};

}  // namespace reverie

#endif  // REVERIE_MODELS_FLOW_ENSEMBLE_H_
