#include "reverie/models/flow_ensemble.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <numbers>

#include "generator_networks.h"
#include "reverie/nn/rational_quadratic_spline.h"
#include "soft_bounds.h"

namespace reverie {
namespace {

constexpr double kLeastHeadLogVar = -10;
constexpr double kMostHeadLogVar = 2;

MlpShape FlowNetworkShape(const FlowConfig& config, int64_t members, int64_t inputs, int64_t outputs) {
  return {.members = members, .widths = Widths(inputs, config.hidden, outputs), .activation = Activation::kSilu};
}

int64_t ParametersOfOne(const FlowConfig& config) {
  return config.transform == CouplingTransform::kSpline ? SplineParameters(config.bins) : 2;
}

// How many numbers coupling k keeps.
int64_t KeptBy(int64_t coupling, int64_t targets) {
  const int64_t half = targets / 2;
  return coupling % 2 == 0 ? half : (targets == 1 ? 0 : targets - half);
}

MlpShape CouplingShape(const FlowConfig& config, int64_t members, int64_t inputs, int64_t targets, int64_t coupling) {
  const int64_t kept = KeptBy(coupling, targets);
  return FlowNetworkShape(config, members, inputs + kept, (targets - kept) * ParametersOfOne(config));
}

int64_t CountAll(const FlowConfig& config, int64_t members, int64_t inputs, int64_t targets) {
  int64_t count = FlowNetworkShape(config, members, inputs, 2 * targets).ParameterCount();
  for (int64_t k = 0; k < config.couplings; ++k) {
    count += CouplingShape(config, members, inputs, targets, k).ParameterCount();
  }
  return count;
}

// A function and its inverse, as parameters [..., P] say: Spline and InverseSpline, or (u - t) exp(-s) and back.
Mapped Move(CouplingTransform transform, const torch::Tensor& u, const torch::Tensor& parameters, bool back) {
  if (transform == CouplingTransform::kSpline) {
    return back ? InverseSpline(u, parameters) : Spline(u, parameters);
  }
  const torch::Tensor shift = parameters.select(-1, 0);
  const torch::Tensor log_scale = 2 * torch::tanh(parameters.select(-1, 1) / 2);
  return back ? Mapped{.value = u * torch::exp(log_scale) + shift, .log_slope = log_scale}
              : Mapped{.value = (u - shift) * torch::exp(-log_scale), .log_slope = -log_scale};
}

// u with the numbers `which` replaced.
torch::Tensor Replaced(const torch::Tensor& u, const torch::Tensor& which, const torch::Tensor& by) {
  return u.index_copy(-1, which, by);
}

}  // namespace

std::vector<std::pair<std::string, CouplingTransform>> EnumNames(CouplingTransform) {
  return {{"spline", CouplingTransform::kSpline}, {"affine", CouplingTransform::kAffine}};
}

void FlowConfig::Visit(Fields& fields) {
  fields("couplings", couplings, "of a flow, behind its Gaussian head; 0: the head alone", AtLeast(0));
  fields.When({.key = "model.couplings", .wanted = "above 0", .holds = [this] { return couplings > 0; }}, [&] {
    fields("transform", transform, "the couplings' functions");
    fields.When({.key = "model.transform",
                 .wanted = "spline",
                 .holds = [this] { return transform == CouplingTransform::kSpline; }},
                [&] { fields("bins", bins, "of a spline", Between(2, 100)); });
  });
  fields("hidden", hidden, "widths of the hidden layers of every network", AtLeast(1));
  fields.Check([this] { return !hidden.empty(); }, "at least one hidden layer");
}

ConditionalFlow::ConditionalFlow(const FlowConfig& config, double learning_rate, int64_t members, int64_t input_dim,
                                 int64_t target_dim, const Rng& rng, const torch::Device& device)
    : config_(config),
      parameters_(CountAll(config, members, input_dim, target_dim), device),
      head_(FlowNetworkShape(config, members, input_dim, 2 * target_dim), parameters_),
      adam_(parameters_, learning_rate),
      varying_(torch::ones({target_dim}, torch::device(device))) {
  torch::Generator generator = MakeGenerator(rng.Split("init"), device);
  torch::Generator order_generator = MakeGenerator(rng.Split("order"), device);
  head_.mlp().InitTruncatedNormal(generator);
  leaves_ = head_.leaves();
  torch::Tensor order;
  for (int64_t k = 0; k < config.couplings; ++k) {
    if (k % 2 == 0) {
      order = torch::randperm(target_dim, order_generator, torch::dtype(torch::kInt64).device(device));
    }
    const int64_t half = target_dim / 2;
    const torch::Tensor first = order.narrow(0, 0, half);
    const torch::Tensor second = order.narrow(0, half, target_dim - half);
    const bool moves_second = k % 2 == 0 || target_dim == 1;
    couplings_.push_back(
        {.kept = moves_second ? first : second,
         .moved = moves_second ? second : first,
         .network = TrainableMlp(CouplingShape(config, members, input_dim, target_dim, k), parameters_)});
    EnsembleMlp& network = couplings_.back().network.mlp();
    network.InitTruncatedNormal(generator);
    torch::Tensor last = network.weights().back();
    last.zero_();
    const std::vector<torch::Tensor> own = couplings_.back().network.leaves();
    leaves_.insert(leaves_.end(), own.begin(), own.end());
  }
}

std::vector<torch::Tensor> ConditionalFlow::parameters() const {
  std::vector<torch::Tensor> all = head_.mlp().parameters();
  for (const Coupling& coupling : couplings_) {
    const std::vector<torch::Tensor> own = coupling.network.mlp().parameters();
    all.insert(all.end(), own.begin(), own.end());
  }
  return all;
}

torch::Tensor ConditionalFlow::ParametersOf(const Coupling& coupling, const torch::Tensor& raw) {
  return raw.view({raw.size(0), raw.size(1), coupling.moved.size(0), -1});
}

ConditionalFlow::Explained ConditionalFlow::Explain(const torch::Tensor& z, const torch::Tensor& y) const {
  const int64_t targets = varying_.size(0);
  const torch::Tensor varying = varying_.to(y.scalar_type());
  const torch::Tensor head = head_.Forward(z);
  const torch::Tensor log_var = SoftlyBetween(kLeastHeadLogVar, kMostHeadLogVar, head.narrow(-1, targets, targets));
  torch::Tensor u = (y - head.narrow(-1, 0, targets)) * torch::exp(-0.5 * log_var) * varying;
  torch::Tensor log_slopes = -0.5 * log_var * varying;
  for (const Coupling& coupling : couplings_) {
    const torch::Tensor own = varying.index_select(0, coupling.moved);
    const torch::Tensor raw = coupling.network.Forward(torch::cat({z, u.index_select(-1, coupling.kept)}, -1));
    const Mapped moved = Move(config_.transform, u.index_select(-1, coupling.moved), ParametersOf(coupling, raw),
                              /*back=*/false);
    u = Replaced(u, coupling.moved, moved.value * own);
    log_slopes = log_slopes.index_add(-1, coupling.moved, moved.log_slope * own);
  }
  const torch::Tensor log_normal = -0.5 * (u.square() + std::log(2 * std::numbers::pi)) * varying;
  return {.noise = u, .log_density = (log_normal + log_slopes).sum(-1)};
}

torch::Tensor ConditionalFlow::Sample(const torch::Tensor& z, const torch::Tensor& noise) const {
  const int64_t targets = varying_.size(0);
  const torch::Tensor varying = varying_.to(z.scalar_type());
  torch::Tensor u = noise * varying;
  for (auto coupling = couplings_.rbegin(); coupling != couplings_.rend(); ++coupling) {
    const torch::Tensor raw = Ask(coupling->network.mlp(), torch::cat({z, u.index_select(-1, coupling->kept)}, -1));
    const Mapped moved = Move(config_.transform, u.index_select(-1, coupling->moved), ParametersOf(*coupling, raw),
                              /*back=*/true);
    u = Replaced(u, coupling->moved, moved.value * varying.index_select(0, coupling->moved));
  }
  const torch::Tensor head = Ask(head_.mlp(), z);
  const torch::Tensor log_var = SoftlyBetween(kLeastHeadLogVar, kMostHeadLogVar, head.narrow(-1, targets, targets));
  return (head.narrow(-1, 0, targets) + torch::exp(0.5 * log_var) * u) * varying;
}

torch::Tensor ConditionalFlow::Nll(const torch::Tensor& z, const torch::Tensor& y) const {
  return -Explain(z, y).log_density.mean(1) / varying_.sum().clamp_min(1);
}

torch::Tensor ConditionalFlow::Step(const torch::Tensor& z, const torch::Tensor& y, torch::Generator& /*generator*/) {
  const torch::AutoGradMode with_gradients(true);
  const torch::Tensor loss = Nll(z, y).sum();
  BackPropagate(loss, {&parameters_}, leaves_);
  const torch::NoGradGuard no_grad;
  adam_.Step();
  return loss.detach();
}

torch::Tensor ConditionalFlow::HoldoutError(const torch::Tensor& z, const torch::Tensor& y,
                                            torch::Generator& /*generator*/) const {
  const torch::NoGradGuard no_grad;
  const int64_t members = head_.mlp().shape().members;
  return Nll(z.expand({members, -1, -1}), y.expand({members, -1, -1}));
}

std::optional<torch::Tensor> ConditionalFlow::LogDensity(const torch::Tensor& z, const torch::Tensor& y) const {
  const int64_t members = head_.mlp().shape().members;
  return Explain(z.expand({members, -1, -1}), y.expand({members, -1, -1})).log_density;
}

void ConditionalFlow::VisitState(StateVisitor& state) {
  state("parameters", parameters_.values());
  state("adam", adam_);
  for (size_t k = 0; k < couplings_.size(); ++k) {
    state("kept_" + std::to_string(k), couplings_[k].kept);
    state("moved_" + std::to_string(k), couplings_[k].moved);
  }
}

}  // namespace reverie
