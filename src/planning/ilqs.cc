#include "reverie/planning/ilqs.h"

#include <cmath>
#include <limits>
#include <stdexcept>

namespace reverie {
namespace {

// J(plan) - J(other), asked with the same draws; not a number where J(plan) is not finite, infinite where J(other)
// alone is not.
double Advantage(const SequenceObjective& objective, const torch::Tensor& plan, const torch::Tensor& other,
                 torch::Generator& generator) {
  const torch::Tensor draws = generator.get_state();
  const double of_plan = objective(plan.unsqueeze(0)).item<double>();
  generator.set_state(draws);
  const double of_other = objective(other.unsqueeze(0)).item<double>();
  if (!std::isfinite(of_plan)) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  return std::isfinite(of_other) ? of_plan - of_other : std::numeric_limits<double>::infinity();
}

}  // namespace

void Ilqs::Options::Visit(Fields& fields) {
  fields.Section("sampler", "what finds the plans that are polished", [this](Fields& section) {
    sampler.VisitKind(section, "the search");
    section.Section("options", "options of that search", [this](Fields& options) { sampler.VisitOptions(options); });
  });
  fields("sample_every", sample_every,
         "the sampler searches at every so many decisions of an episode; in between the last plan is polished on",
         AtLeast(1));
  fields(
      "iterations", iterations,
      "iterations of iLQR for a decision, along the mean steps of each network; planner/share_polished tells how many "
      "decisions gained by them",
      AtLeast(1));
}

Ilqs::Ilqs(const Options& options, const SequenceShape& shape, const torch::Device& device)
    : options_(options),
      shape_(shape),
      device_(device),
      sampler_(options.sampler.maker().make(shape, device)),
      follower_(IlqrOptions{.max_iterations = 0}),
      ilqr_(IlqrOptions{.max_iterations = options.iterations}) {
  Ilqs::Reset();
}

torch::Tensor Ilqs::Planned() const { return plan_.u.to(device_, torch::kFloat32); }
torch::Tensor Ilqs::ResultPlanned() const { return result_.u.to(device_, torch::kFloat32); }

torch::Tensor Ilqs::Optimize(const SequenceProblem& problem, torch::Generator& generator) {
  if (!problem.trajectory) {
    throw std::logic_error("ilqs: the problem has no trajectory");
  }
  const torch::NoGradGuard no_grad;
  ShootingProblem trajectory = problem.trajectory();
  trajectory.horizon = shape_.horizon;
  ++searches_;
  FollowFeedback(trajectory, problem, generator);
  const bool samples = decisions_++ % options_.sample_every == 0;
  if (samples) {
    Sample(problem, generator);
  }
  ilqr_.Solve(trajectory, plan_.u, damping_, &result_);
  if (IsUsable(result_.status)) {
    if (Advantage(problem.objective, ResultPlanned(), Planned(), generator) >= 0) {
      plan_.Keep(result_);
      damping_ = result_.damping;
      polished_ += result_.Gains() > 0 ? 1 : 0;
    } else {
      damping_.Raise(IlqrOptions());
    }
  } else if (!samples) {
    Sample(problem, generator);
  }
  return Planned();
}

void Ilqs::FollowFeedback(const ShootingProblem& trajectory, const SequenceProblem& problem,
                          torch::Generator& generator) {
  if (!plan_.HasTrajectory() || torch::equal(plan_.x[0], trajectory.start)) {
    return;
  }
  follower_.Solve(trajectory, plan_, damping_, &result_);
  if (IsUsable(result_.status) && Advantage(problem.objective, ResultPlanned(), Planned(), generator) >= 0) {
    plan_.x.copy_(result_.x);
    plan_.u.copy_(result_.u);
  }
}

void Ilqs::Sample(const SequenceProblem& problem, torch::Generator& generator) {
  const torch::Tensor sampled = sampler_->Optimize(problem, generator);
  if (Advantage(problem.objective, sampled, Planned(), generator) > 0) {
    plan_ = {.u = sampled.to(torch::kCPU, torch::kFloat64)};
    damping_ = {};
  }
}

void Ilqs::Shift(int64_t steps) {
  plan_.Shift(steps);
  sampler_->Shift(steps);
}

void Ilqs::Reset() {
  sampler_->Reset();
  plan_ = {.u = torch::zeros({shape_.horizon, shape_.act_dim}, torch::kFloat64)};
  damping_ = {};
  decisions_ = 0;
}

Metrics Ilqs::DrainMetrics() {
  Metrics metrics;
  if (searches_ > 0) {
    metrics.Set("share_polished", static_cast<double>(polished_) / static_cast<double>(searches_));
  }
  searches_ = polished_ = 0;
  return metrics;
}

void Ilqs::VisitState(StateVisitor& state) {
  state("sampler", *sampler_);
  state("plan", plan_);
  state("damping", damping_);
  state("decisions", decisions_);
  state("searches", searches_);
  state("polished", polished_);
}

}  // namespace reverie
