#include "reverie/models/dropout_network.h"

#include <ATen/ATen.h>

#include <cmath>
#include <numeric>

namespace reverie {
namespace {

// Of the relaxed masks.
constexpr double kTemperature = 0.1;
// Of the rates' step size, times the weights'.
constexpr double kRateSpeed = 10;

}  // namespace

void DropoutNetworkConfig::Visit(Fields& fields) {
  fields("draws", draws, "networks with missing units that predict, drawn at each fit", AtLeast(1));
  fields("hidden", hidden, "widths of the hidden layers", AtLeast(1));
  fields.Check([this] { return !hidden.empty(); }, "at least one hidden layer");
  fields("rate", rate, "share of a hidden layer's units that are dropped, at first where it is learned",
         Between(0.001, 0.9));
  fields("learn_rate", learn_rate, "that share is learned, for each layer (concrete dropout)");
  fields("length_scale", length_scale, "of the prior over functions: the larger, the smaller are weights", AtLeast(0));
  fields("learning_rate", learning_rate, "Adam's step size", Above(0));
  fields("batch_size", batch_size, "rows in a minibatch", AtLeast(1));
  holdout.Visit(fields);
  fields("target", target, "what is predicted: the change of the observation, or the next one");
}

ModelCard DropoutNetworkConfig::Card() const {
  return {.hypotheses = draws,
          .hypotheses_key = "model.draws",
          .networks = draws,
          .has_variance = true,
          .has_holdout = holdout.ratio > 0,
          .is_exported = true};
}

DropoutNetwork::DropoutNetwork(const DropoutNetworkConfig& config, const ModelSpec& spec, const Rng& rng,
                               const torch::Device& device)
    : NetworkPosterior({.draws = config.draws,
                        .hidden = config.hidden,
                        .batch_size = config.batch_size,
                        .holdout = config.holdout,
                        .target = config.target},
                       "masks", spec, rng, device),
      config_(config),
      parameters_(Shape(config.hidden, spec, 1, 2 * spec.target_dim()).ParameterCount(), device),
      rate_parameters_(static_cast<int64_t>(config.hidden.size()), device),
      mlp_(Shape(config.hidden, spec, 1, 2 * spec.target_dim()), parameters_),
      rate_logits_(rate_parameters_.Take({1, 1, static_cast<int64_t>(config.hidden.size())}).Leaf()),
      adam_(parameters_, config.learning_rate),
      rate_adam_(rate_parameters_, kRateSpeed * config.learning_rate) {
  const torch::NoGradGuard no_grad;
  torch::Generator generator = MakeGenerator(rng.Split("init"), device);
  mlp_.mlp().InitTruncatedNormal(generator);
  SetRates();
  leaves_ = mlp_.leaves();
  if (config.learn_rate) {
    leaves_.push_back(rate_logits_);
  }
  const int64_t units = std::accumulate(config.hidden.begin(), config.hidden.end(), int64_t{0});
  draws() = torch::rand({config.draws, units}, generator, torch::device(device));
  SetHypotheses();
}

void DropoutNetwork::SetRates() {
  const torch::NoGradGuard no_grad;
  rate_logits_.fill_(std::log(config_.rate / (1 - config_.rate)));
}

torch::Tensor DropoutNetwork::Rate(size_t layer) const {
  const torch::Tensor logits = config_.learn_rate ? rate_logits_ : rate_logits_.detach();
  return torch::sigmoid(logits.select(2, static_cast<int64_t>(layer)).squeeze());
}

torch::Tensor DropoutNetwork::Prior() const {
  const double half = 0.5 * config_.length_scale * config_.length_scale;
  torch::Tensor sum = half * weights()[0].square().sum();
  for (size_t l = 1; l < weights().size(); ++l) {
    const torch::Tensor p = Rate(l - 1);
    sum = sum + half * weights()[l].square().sum() / (1 - p) +
          static_cast<double>(weights()[l].size(1)) * (torch::xlogy(p, p) + torch::xlogy(1 - p, 1 - p));
  }
  return sum;
}

torch::Tensor DropoutNetwork::Loss(const torch::Tensor& inputs, const torch::Tensor& targets,
                                   const torch::Tensor& u) const {
  torch::Tensor h = torch::baddbmm(biases()[0], inputs, weights()[0]);
  int64_t begin = 0;
  for (size_t l = 1; l < weights().size(); ++l) {
    const int64_t units = weights()[l].size(1);
    const torch::Tensor p = Rate(l - 1);
    const torch::Tensor own = u.narrow(2, begin, units);
    begin += units;
    torch::Tensor kept = (own >= p).to(torch::kFloat32);
    if (config_.learn_rate) {
      const torch::Tensor relaxed = 1 - torch::sigmoid((torch::logit(p) - torch::logit(own, 1e-7)) / kTemperature);
      kept = kept + (relaxed - relaxed.detach());
    }
    h = torch::baddbmm(biases()[l], torch::silu(h) * (kept / (1 - p)), weights()[l]);
  }
  return networks().Nll(h, targets).mean() + Prior() / train_rows();
}

void DropoutNetwork::SetHypotheses() {
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> weights{mlp_.mlp().weights()[0].expand({draws().size(0), -1, -1})};
  std::vector<torch::Tensor> biases{mlp_.mlp().biases()[0].expand({draws().size(0), -1, -1})};
  int64_t begin = 0;
  for (size_t l = 1; l < mlp_.mlp().weights().size(); ++l) {
    const int64_t units = mlp_.mlp().weights()[l].size(1);
    const torch::Tensor p = Rate(l - 1);
    const torch::Tensor mask = (draws().narrow(1, begin, units) >= p).to(torch::kFloat32) / (1 - p);
    begin += units;
    weights.push_back(mlp_.mlp().weights()[l] * mask.unsqueeze(-1));
    biases.push_back(mlp_.mlp().biases()[l].expand({draws().size(0), -1, -1}));
  }
  networks().weights().Take(weights, biases);
}

torch::Tensor DropoutNetwork::GradientStep(const torch::Tensor& inputs, const torch::Tensor& targets,
                                           torch::Generator& generator) {
  const torch::Tensor u = torch::empty({1, inputs.size(1), draws().size(1)}, inputs.options());
  u.uniform_(0, 1, generator);
  const torch::AutoGradMode with_gradients(true);
  const torch::Tensor loss = Loss(inputs, targets, u);
  BackPropagate(loss, {&parameters_, &rate_parameters_}, leaves_);
  const torch::NoGradGuard no_grad;
  adam_.Step();
  if (config_.learn_rate) {
    rate_adam_.Step();
  }
  return loss.detach();
}

std::vector<torch::Tensor> DropoutNetwork::Learned() const {
  std::vector<torch::Tensor> learned = mlp_.mlp().parameters();
  learned.push_back(rate_logits_.detach());
  return learned;
}

void DropoutNetwork::AddMetrics(Metrics& metrics) const {
  metrics.Set("grad_norm", parameters_.grads().norm().item<double>());  // of the last minibatch
  metrics.Set("prior", (Prior() / train_rows()).item<double>());
  const torch::Tensor on_host = rates().cpu();
  for (int64_t l = 0; l < on_host.size(0); ++l) {
    metrics.Set("rate_" + std::to_string(l + 1), on_host[l].item<double>());
  }
}

void DropoutNetwork::VisitLearned(StateVisitor& state) {
  state("parameters", parameters_.values());
  state("rate_logits", rate_parameters_.values());
  state("adam", adam_);
  state("rate_adam", rate_adam_);
  if (state.loading() && !config_.learn_rate) {
    SetRates();  // a config may have another one than the state
  }
}

}  // namespace reverie
