#include "reverie/planning/ilqs.h"

#include <stdexcept>

namespace reverie {
namespace {

// Whether `plan` is at least as good as `other`, with the same draws; one whose J is not finite is not.
bool IsAsGood(const SequenceObjective& objective, const torch::Tensor& plan, const torch::Tensor& other,
              torch::Generator& generator) {
  const torch::Tensor draws = generator.get_state();
  const auto value = [&](const torch::Tensor& actions) {
    generator.set_state(draws);
    return objective(actions.unsqueeze(0)).item<double>();
  };
  const double of_other = value(other);
  const double of_plan = value(plan);
  return std::isfinite(of_plan) && !(of_plan < of_other);
}

}  // namespace

void Ilqs::Options::Visit(Fields& fields) {
  fields.Section("sampler", "what finds the plans that are polished", [this](Fields& section) {
    sampler.VisitKind(section, "the search");
    section.Section("options", "options of that search", [this](Fields& options) { sampler.VisitOptions(options); });
  });
  fields("sample_every", sample_every, "the sampler searches at every so many decisions of an episode", AtLeast(1));
  fields("iterations", iterations, "iterations of iLQR for a decision", AtLeast(1));
}

Ilqs::Ilqs(const Options& options, const SequenceShape& shape, const torch::Device& device)
    : options_(options),
      shape_(shape),
      device_(device),
      sampler_(options.sampler.maker().make(shape, device)),
      ilqr_(IlqrOptions{.max_iterations = options.iterations}) {
  Ilqs::Reset();
}

torch::Tensor Ilqs::Planned() const { return plan_.u.to(device_, torch::kFloat32); }

torch::Tensor Ilqs::Optimize(const SequenceProblem& problem, torch::Generator& generator) {
  if (!problem.trajectory) {
    throw std::logic_error("ilqs: the problem has no trajectory");
  }
  const torch::NoGradGuard no_grad;
  torch::Tensor from = Planned();
  if (searches_++ % options_.sample_every == 0) {
    const torch::Tensor sampled = sampler_->Optimize(problem, generator);
    if (IsAsGood(problem.objective, sampled, from, generator)) {
      from = sampled;
      plan_ = {.u = sampled.to(torch::kCPU, torch::kFloat64)};
    }
  }
  ShootingProblem trajectory = problem.trajectory();
  trajectory.horizon = shape_.horizon;
  if (plan_.HasTrajectory()) {
    ilqr_.Solve(trajectory, plan_, damping_, &result_);
  } else {
    ilqr_.Solve(trajectory, plan_.u, damping_, &result_);
  }
  if (IsUsable(result_.status) &&
      IsAsGood(problem.objective, result_.u.to(device_, torch::kFloat32), from, generator)) {
    plan_.Keep(result_);
    damping_ = result_.damping;
  }
  return Planned();
}

void Ilqs::Shift(int64_t steps) {
  plan_.Shift(steps);
  sampler_->Shift(steps);
}

void Ilqs::Reset() {
  sampler_->Reset();
  plan_ = {.u = torch::zeros({shape_.horizon, shape_.act_dim}, torch::kFloat64)};
  damping_ = {};
  searches_ = 0;
}

void Ilqs::VisitState(StateVisitor& state) {
  state("sampler", *sampler_);
  state("plan", plan_);
  state("damping", damping_);
  state("searches", searches_);
}

}  // namespace reverie
