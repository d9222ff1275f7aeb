#include "reverie/planning/mppi.h"

#include <cmath>

#include "sequences.h"

namespace reverie {

void Mppi::Options::Visit(Fields& fields) {
  fields("population", population, "candidates in an iteration (P)", AtLeast(1));
  fields("iterations", iterations, "iterations for a decision", AtLeast(1));
  fields("sigma", sigma, "deviation of the noise", Above(0));
  fields("beta", beta, "how much of the noise stays from one step to the next",
         Range{.low = 0, .high = 1, .high_open = true});
  fields("lambda", lambda, "temperature of the weights, in units of the return", Above(0));
}

Mppi::Mppi(const Options& options, const SequenceShape& shape, const torch::Device& device)
    : options_(options), plan_(torch::zeros({shape.horizon, shape.act_dim}, torch::device(device))) {
  torch::Tensor filter = torch::zeros({shape.horizon, shape.horizon}, torch::kFloat64);
  auto entry = filter.accessor<double, 2>();
  for (int64_t t = 0; t < shape.horizon; ++t) {
    for (int64_t s = 0; s <= t; ++s) {
      entry[t][s] = options.sigma * std::pow(options.beta, static_cast<double>(t - s)) *
                    (s == 0 ? 1 : std::sqrt(1 - options.beta * options.beta));
    }
  }
  filter_ = filter.to(plan_.options());
}

std::string Mppi::TorchScript(const Options& options) {
  return kSearchHead + Assignment("population", options.population) + Assignment("iterations", options.iterations) +
         Assignment("sigma", options.sigma) + Assignment("beta", options.beta) + Assignment("lambda_", options.lambda) +
         Assignment("fresh", std::sqrt(1 - options.beta * options.beta)) + R"(
  times = torch.arange(plan.size(0), dtype=plan.dtype, device=plan.device)
  filter = sigma * torch.tril(torch.pow(beta, torch.relu(times.unsqueeze(1) - times)))
  filter = torch.where(times == 0.0, filter, filter * fresh)
  for i in range(iterations):
    xi = plan.new_empty([population, plan.size(0), plan.size(1)], device="cpu")
    xi = xi.normal_(0.0, 1.0, generator=generator).to(plan.device)
    candidates = torch.clamp(plan + torch.matmul(filter, xi), -1.0, 1.0)
    scores = self._score(obs, candidates, generator)
    finite = torch.isfinite(scores)
    scores = torch.where(finite, scores, torch.full_like(scores, float("-inf")))
    weights = torch.softmax(scores / lambda_, 0).view([-1, 1, 1])
    plan = torch.where(finite.any(), (weights * candidates).sum(0), plan)
  return plan
)";
}

torch::Tensor Mppi::Optimize(const SequenceProblem& problem, torch::Generator& generator) {
  const torch::NoGradGuard no_grad;
  for (int64_t i = 0; i < options_.iterations; ++i) {
    const torch::Tensor xi =
        torch::empty({options_.population, plan_.size(0), plan_.size(1)}, plan_.options()).normal_(0, 1, generator);
    const torch::Tensor candidates = (plan_ + torch::matmul(filter_, xi)).clamp_(-1, 1);
    const torch::Tensor scores = FiniteOrLeast(problem.objective(candidates));
    const torch::Tensor weights = torch::softmax(scores / options_.lambda, 0).view({-1, 1, 1});
    plan_.copy_(torch::where(torch::isfinite(scores).any(), (weights * candidates).sum(0), plan_));
  }
  return plan_.clone();
}

void Mppi::Shift(int64_t steps) { plan_.copy_(Shifted(plan_, steps, PlanEnd::kRepeat)); }

}  // namespace reverie
