#include "reverie/models/gan_ensemble.h"

#include <ATen/ATen.h>
#include <torch/autograd.h>

#include "diagonal_gaussian.h"
#include "generator_networks.h"

namespace reverie {
namespace {

constexpr int64_t kScoreDraws = 8;
// Within the root of the penalty, which has no derivative at 0.
constexpr double kLeastSquare = 1e-12;

MlpShape GeneratorShape(const GanConfig& config, int64_t members, int64_t inputs, int64_t targets) {
  return {.members = members,
          .widths = Widths(ConditionDim(inputs, targets) + config.latents, config.hidden, targets),
          .activation = Activation::kSilu};
}

MlpShape CriticShape(const GanConfig& config, int64_t members, int64_t inputs, int64_t targets) {
  return {.members = members,
          .widths = Widths(ConditionDim(inputs, targets) + targets, config.hidden, 1),
          .activation = Activation::kSilu};
}

AdamConstants GanAdam(double learning_rate) { return {.learning_rate = learning_rate, .beta1 = 0, .beta2 = 0.9}; }

}  // namespace

void GanConfig::Visit(Fields& fields) {
  fields("latents", latents, "numbers that a draw begins with", AtLeast(1));
  fields("critic_steps", critic_steps, "of the critic for one of the generator, each on a part of the minibatch",
         AtLeast(1));
  fields("penalty", penalty, "factor of the critic's gradient penalty", Above(0));
  fields("noise_floor", noise_floor, "deviation that every draw has at least, in the Gaussian's own", AtLeast(0));
  fields("hidden", hidden, "widths of the hidden layers of every network", AtLeast(1));
  fields.Check([this] { return !hidden.empty(); }, "at least one hidden layer");
}

ConditionalGan::ConditionalGan(const GanConfig& config, double learning_rate, int64_t members, int64_t input_dim,
                               int64_t target_dim, const Rng& rng, const torch::Device& device)
    : config_(config),
      generator_parameters_(GeneratorShape(config, members, input_dim, target_dim).ParameterCount(), device),
      critic_parameters_(CriticShape(config, members, input_dim, target_dim).ParameterCount(), device),
      base_parameters_(BaseShape(members, input_dim, config.hidden, target_dim).ParameterCount(), device),
      generator_(GeneratorShape(config, members, input_dim, target_dim), generator_parameters_),
      critic_(CriticShape(config, members, input_dim, target_dim), critic_parameters_),
      base_(BaseShape(members, input_dim, config.hidden, target_dim), base_parameters_),
      generator_leaves_(generator_.leaves()),
      critic_leaves_(critic_.leaves()),
      base_leaves_(base_.leaves()),
      generator_adam_(generator_parameters_, GanAdam(learning_rate)),
      critic_adam_(critic_parameters_, GanAdam(learning_rate)),
      base_adam_(base_parameters_, learning_rate),
      varying_(torch::ones({target_dim}, torch::device(device))) {
  torch::Generator generator = MakeGenerator(rng.Split("init"), device);
  generator_.mlp().InitXavierUniform(generator);
  critic_.mlp().InitXavierUniform(generator);
  base_.mlp().InitTruncatedNormal(generator);
}

std::vector<torch::Tensor> ConditionalGan::parameters() const {
  std::vector<torch::Tensor> all;
  for (const TrainableMlp* network : {&generator_, &critic_, &base_}) {
    const std::vector<torch::Tensor> own = network->mlp().parameters();
    all.insert(all.end(), own.begin(), own.end());
  }
  return all;
}

torch::Tensor ConditionalGan::Floored(const torch::Tensor& generated, const torch::Tensor& noise) const {
  const torch::Tensor eps = noise.narrow(-1, config_.latents, varying_.size(0));
  return (generated + config_.noise_floor * eps) * varying_.to(generated.scalar_type());
}

torch::Tensor ConditionalGan::Draw(const torch::Tensor& condition, const torch::Tensor& noise) const {
  return Floored(Ask(generator_.mlp(), torch::cat({condition, noise.narrow(-1, 0, config_.latents)}, -1)), noise);
}

torch::Tensor ConditionalGan::Sample(const torch::Tensor& z, const torch::Tensor& noise) const {
  const DiagonalGaussian base = BaseOf(Ask(base_.mlp(), z));
  return base.FromStandard(Draw(ConditionOf(z, base), noise)) * varying_.to(z.scalar_type());
}

torch::Tensor ConditionalGan::NoiseLike(const torch::Tensor& z, torch::Generator& generator) const {
  return torch::empty({z.size(0), z.size(1), noise_dim()}, z.options()).normal_(0, 1, generator);
}

torch::Tensor ConditionalGan::CriticLoss(const torch::Tensor& condition, const torch::Tensor& u,
                                         const torch::Tensor& drawn, const torch::Tensor& share) const {
  const torch::Tensor line = (share * u + (1 - share) * drawn).detach().requires_grad_();
  const torch::Tensor on_line = critic_.Forward(torch::cat({condition, line}, -1));
  const torch::Tensor slope = torch::autograd::grad({on_line.sum()}, {line}, {}, /*retain_graph=*/true,
                                                    /*create_graph=*/true)[0] *
                              varying_.to(u.scalar_type());
  const torch::Tensor off = (slope.square().sum(-1) + kLeastSquare).sqrt() - 1;
  const torch::Tensor difference =
      critic_.Forward(torch::cat({condition, drawn}, -1)) - critic_.Forward(torch::cat({condition, u}, -1));
  return difference.squeeze(-1).mean(1) + config_.penalty * off.square().mean(1);
}

torch::Tensor ConditionalGan::Step(const torch::Tensor& z, const torch::Tensor& y, torch::Generator& generator) {
  torch::Tensor u, condition;
  {
    const torch::AutoGradMode with_gradients(true);
    const DiagonalGaussian base = BaseOf(base_.Forward(z));
    u = base.Standardized(y).detach() * varying_;
    condition = ConditionOf(z, base).detach();
    BackPropagate((base.Nll(y) * varying_).sum(-1).mean(1).sum(), {&base_parameters_}, base_leaves_);
    const torch::NoGradGuard no_grad;
    base_adam_.Step();
  }
  torch::Tensor sum = torch::zeros({}, y.options());
  const std::vector<torch::Tensor> some = condition.chunk(config_.critic_steps, 1);
  const std::vector<torch::Tensor> some_u = u.chunk(config_.critic_steps, 1);
  for (size_t i = 0; i < some.size(); ++i) {
    torch::Tensor drawn;
    {
      const torch::NoGradGuard no_grad;
      drawn = Draw(some[i], NoiseLike(some[i], generator));
    }
    const torch::Tensor share = torch::empty({y.size(0), some_u[i].size(1), 1}, y.options()).uniform_(0, 1, generator);
    const torch::AutoGradMode with_gradients(true);
    const torch::Tensor loss = CriticLoss(some[i], some_u[i], drawn, share).sum();
    BackPropagate(loss, {&critic_parameters_}, critic_leaves_);
    const torch::NoGradGuard no_grad;
    critic_adam_.Step();
    sum.add_(loss.detach());
  }
  const torch::Tensor noise = NoiseLike(condition, generator);
  const torch::AutoGradMode with_gradients(true);
  const torch::Tensor drawn =
      Floored(generator_.Forward(torch::cat({condition, noise.narrow(-1, 0, config_.latents)}, -1)), noise);
  const torch::Tensor loss = -Ask(critic_.mlp(), torch::cat({condition, drawn}, -1)).mean({1, 2}).sum();
  BackPropagate(loss, {&generator_parameters_}, generator_leaves_);
  const torch::NoGradGuard no_grad;
  generator_adam_.Step();
  return sum / static_cast<double>(some.size());
}

torch::Tensor ConditionalGan::HoldoutError(const torch::Tensor& z, const torch::Tensor& y,
                                           torch::Generator& generator) const {
  const torch::NoGradGuard no_grad;
  const int64_t members = generator_.mlp().shape().members;
  const torch::Tensor each_z = z.expand({members, -1, -1});
  torch::Tensor off = torch::zeros({members, z.size(0)}, z.options());
  torch::Tensor apart = torch::zeros_like(off);
  std::vector<torch::Tensor> drawn;
  for (int64_t k = 0; k < kScoreDraws; ++k) {
    drawn.push_back(Sample(each_z, NoiseLike(each_z, generator)));
    off = off + (drawn.back() - y).norm(2, -1);
    for (int64_t j = 0; j < k; ++j) {
      apart = apart + (drawn.back() - drawn[static_cast<size_t>(j)]).norm(2, -1);
    }
  }
  const torch::Tensor score =
      off / static_cast<double>(kScoreDraws) -
      apart / static_cast<double>(kScoreDraws * (kScoreDraws - 1));  // half of the mean of pairs
  return score.mean(1) / varying_.sum().clamp_min(1).sqrt();
}

void ConditionalGan::VisitState(StateVisitor& state) {
  state("generator", generator_parameters_.values());
  state("critic", critic_parameters_.values());
  state("base", base_parameters_.values());
  state("generator_adam", generator_adam_);
  state("critic_adam", critic_adam_);
  state("base_adam", base_adam_);
}

}  // namespace reverie
