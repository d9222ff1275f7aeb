#include "reverie/planning/random_shooting.h"

#include "sequences.h"

namespace reverie {

void RandomShooting::Options::Visit(Fields& fields) {
  fields("population", population, "sequences drawn for a decision (P)", AtLeast(1));
}

RandomShooting::RandomShooting(const Options& options, const SequenceShape& shape, const torch::Device& device)
    : options_(options), plan_(torch::zeros({shape.horizon, shape.act_dim}, torch::device(device))) {}

std::string RandomShooting::TorchScript(const Options& options) {
  return kBestOfSource + kSearchHead + Assignment("population", options.population) + R"(
  candidates = plan.new_empty([population, plan.size(0), plan.size(1)], device="cpu")
  candidates = candidates.uniform_(-1.0, 1.0, generator=generator).to(plan.device)
  mean, var = self._best_of(candidates, self._score(obs, candidates, generator), 1, plan, plan)
  return mean
)";
}

torch::Tensor RandomShooting::Optimize(const SequenceProblem& problem, torch::Generator& generator) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor candidates = UniformSequences(options_.population, plan_, generator);
  plan_.copy_(BestOf(candidates, FiniteOrLeast(problem.objective(candidates)), 1, plan_, plan_).mean);
  return plan_.clone();
}

void RandomShooting::Shift(int64_t steps) { plan_.copy_(Shifted(plan_, steps, PlanEnd::kZero)); }

}  // namespace reverie
