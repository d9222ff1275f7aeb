#include "reverie/planning/gradient_shooting.h"

#include <torch/csrc/autograd/autograd.h>

#include <limits>
#include <stdexcept>

#include "reverie/nn/parameters.h"
#include "sequences.h"

namespace reverie {

void GradientShooting::Options::Visit(Fields& fields) {
  fields("restarts", restarts, "sequences that are improved side by side", AtLeast(1));
  fields("iterations", iterations, "steps of Adam for a decision", AtLeast(1));
  fields("learning_rate", learning_rate, "Adam's step size, in units of the action", Above(0));
}

GradientShooting::GradientShooting(const Options& options, const SequenceShape& shape, const torch::Device& device)
    : options_(options), plan_(torch::zeros({shape.horizon, shape.act_dim}, torch::device(device))) {}

torch::Tensor GradientShooting::Optimize(const SequenceProblem& problem, torch::Generator& generator) {
  const torch::NoGradGuard no_grad;
  FlatParameters block(options_.restarts * plan_.numel(), plan_.device());
  auto [sequences, grads] = block.Take({options_.restarts, plan_.size(0), plan_.size(1)});
  sequences.copy_(torch::cat({plan_.unsqueeze(0), UniformSequences(options_.restarts - 1, plan_, generator)}));
  Adam adam(block, options_.learning_rate);
  torch::Tensor best = sequences.clone();
  torch::Tensor best_scores =
      torch::full({options_.restarts}, -std::numeric_limits<float>::infinity(), plan_.options());
  // Every iteration meets the same draws. Fresh ones would let the luckiest evaluation win, not the best sequences.
  const torch::Tensor draws = generator.get_state();
  for (int64_t i = 0;; ++i) {
    generator.set_state(draws);
    torch::Tensor scores, gradient;
    {
      const torch::AutoGradMode with_gradients(true);
      const torch::Tensor leaf = sequences.detach().requires_grad_();
      scores = problem.objective(leaf);
      if (!scores.requires_grad()) {
        throw std::logic_error("gradient shooting: the objective has no gradient");
      }
      gradient = torch::autograd::grad({torch::where(torch::isfinite(scores), scores, 0).sum()}, {leaf})[0];
    }
    const torch::Tensor reached = FiniteOrLeast(scores.detach());
    const torch::Tensor better = reached > best_scores;
    best_scores = torch::where(better, reached, best_scores);
    best = torch::where(better.view({-1, 1, 1}), sequences, best);
    if (i == options_.iterations) {
      break;
    }
    grads.copy_(torch::nan_to_num(gradient, 0, 0, 0).neg_());
    adam.Step();
    sequences.clamp_(-1, 1);
  }
  plan_.copy_(BestOf(best, best_scores, 1, plan_, plan_).mean);
  return plan_.clone();
}

void GradientShooting::Shift(int64_t steps) { plan_.copy_(Shifted(plan_, steps, PlanEnd::kRepeat)); }

}  // namespace reverie
