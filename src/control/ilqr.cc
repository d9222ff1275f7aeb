#include "reverie/control/ilqr.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "eigen.h"
#include "riccati_kernels.h"

namespace reverie {
namespace {

constexpr double kConvergedLambda = 1e-5;  // a gradient that a larger one made small says nothing
constexpr double kZeroGradient = 1e-12;    // relative to the cost
constexpr double kLeastStepSize = 1e-3;

IlqrDamping Lowered(const IlqrOptions& options, IlqrDamping damping) {
  damping.factor = std::min(damping.factor / options.regularisation_factor, 1 / options.regularisation_factor);
  damping.lambda *= damping.factor;
  if (damping.lambda < options.min_regularisation) {
    damping.lambda = 0;
  }
  return damping;
}

void RequireProblem(const ShootingProblem& problem, const IlqrOptions& options) {
  if (problem.horizon < 1 || problem.state_size < 1 || problem.tangent_size < 1 || problem.controls < 1) {
    throw std::invalid_argument("a problem has a horizon, states and controls, all at least 1");
  }
  if (!problem.step || !problem.cost || !problem.linearise || !problem.quadratise) {
    throw std::invalid_argument("a problem has step, cost, linearise and quadratise");
  }
  if (!problem.difference && problem.tangent_size != problem.state_size) {
    throw std::invalid_argument("a problem whose tangent_size is not its state_size has a difference");
  }
  RequireDoubles("start", problem.start, {problem.state_size});
  if (problem.low.defined() || problem.high.defined()) {
    RequireDoubles("low", problem.low, {problem.controls});
    RequireDoubles("high", problem.high, {problem.controls});
    for (int64_t i = 0; i < problem.controls; ++i) {
      if (!(problem.low.data_ptr<double>()[i] <= problem.high.data_ptr<double>()[i])) {
        throw std::invalid_argument("low is above high, or not a number");
      }
    }
  }
  if (options.second_order && !problem.curvature) {
    throw std::invalid_argument("second_order: the problem has no curvature");
  }
}

// Mean over t of the largest |k_i| / (|u_i| + 1).
double MeanRelativeStep(const torch::Tensor& k, const torch::Tensor& u) {
  const ConstMatrixMap steps(k.data_ptr<double>(), k.size(0), k.size(1));
  const ConstMatrixMap controls(u.data_ptr<double>(), u.size(0), u.size(1));
  return (steps.array().abs() / (controls.array().abs() + 1)).rowwise().maxCoeff().mean();
}

// Whether the cost does not change with any control that is not clamped, whatever regularisation made k small.
bool IsStationary(const LqrResult& lqr, double cost) {
  const double* k = lqr.gains.feedforward.data_ptr<double>();
  const double* qu = lqr.qu.data_ptr<double>();
  double largest = 0;
  for (int64_t i = 0; i < lqr.qu.numel(); ++i) {
    largest = std::max(largest, k[i] != 0 ? std::abs(qu[i]) : 0);
  }
  return largest <= kZeroGradient * (1 + std::abs(cost));
}

}  // namespace

const char* Text(IlqrStatus status) {
  switch (status) {
    case IlqrStatus::kConverged:
      return "converged: the gradient is zero";
    case IlqrStatus::kCostChange:
      return "converged: nothing more is gained";
    case IlqrStatus::kStationary:
      return "the gradient is zero where the search began";
    case IlqrStatus::kMaxIterations:
      return "stopped after max_iterations";
    case IlqrStatus::kRegularisationLimit:
      return "no regularisation up to the limit gives a step that gains";
    case IlqrStatus::kDiverged:
      return "the trajectory of the first controls is not finite";
    case IlqrStatus::kNotFinite:
      return "a derivative along the trajectory is not finite";
  }
  return "";
}

int64_t IlqrResult::Gains() const {
  return std::count_if(iterations.begin(), iterations.end(), [](const IlqrIteration& one) { return one.alpha > 0; });
}

bool IsUsable(IlqrStatus status) { return status != IlqrStatus::kDiverged; }

void IlqrPlan::Keep(const IlqrResult& result) {
  x = result.x.clone();
  u = result.u.clone();
  if (result.lqr.status == LqrStatus::kSolved) {
    feedback = result.lqr.gains.feedback.clone();
  } else if (!feedback.defined() || feedback.numel() == 0) {
    feedback = torch::zeros_like(result.lqr.gains.feedback);
  }
}

void IlqrPlan::Shift(int64_t steps) {
  const auto shifted = [steps](const torch::Tensor& rows, const torch::Tensor& appended) {
    return torch::cat({rows.slice(0, steps), appended.expand_as(rows.slice(0, 0, steps))});
  };
  u = shifted(u, u.slice(0, -1));
  if (HasTrajectory()) {
    x = shifted(x, x.slice(0, -1));
    feedback = shifted(feedback, torch::zeros_like(feedback.slice(0, -1)));
  }
}

void IlqrPlan::VisitState(StateVisitor& state) {
  for (const auto& [name, tensor] : {std::pair("x", &x), {"u", &u}, {"k", &feedback}}) {
    if (!tensor->defined()) {
      *tensor = torch::empty({0}, torch::kFloat64);
    }
    state.Resizable(name, *tensor);
  }
}

void IlqrDamping::Raise(const IlqrOptions& options) {
  factor = std::max(factor * options.regularisation_factor, options.regularisation_factor);
  lambda = std::max(lambda * factor, options.min_regularisation);
}

void IlqrDamping::VisitState(StateVisitor& state) {
  state("lambda", lambda);
  state("factor", factor);
}

struct Ilqr::Workspace {
  Workspace(const ShootingProblem& problem, const IlqrOptions& options);

  bool Fits(const ShootingProblem& problem) const {
    return problem.horizon == horizon && problem.state_size == x.size(2) &&
           problem.tangent_size == difference.size(1) && problem.controls == u.size(2) &&
           problem.low.defined() == low.defined();
  }

  int64_t rows() const { return x.size(1); }

  // Derivatives are zero where a problem does not write them.
  void Clear();

  // What a trajectory is rolled out about. With both gains u <- clip(u + alpha k + K (x' - x)), with K alone u <-
  // clip(u
  // + alpha K (x' - x)), with neither u <- clip(alpha u), where x is not asked for.
  struct About {
    const double* u;                // [T, m]
    const double* x = nullptr;      // [T, nx]
    const double* big_k = nullptr;  // [T, m, n]
    const double* k = nullptr;      // [T, m]
  };
  // Rolls out a trajectory for each of rows() step sizes.
  void Roll(const ShootingProblem& problem, const About& about, size_t first_alpha, double max_state);
  // Makes one of them the result's.
  void Take(int64_t row, IlqrResult* result);
  // The first trajectory along the result's controls, or along a part of them, that is finite; false where none is.
  bool Begin(const ShootingProblem& problem, double max_state, IlqrResult* result);
  // The best that follows the plan, of those tried at once; false where none is finite.
  bool Follow(const ShootingProblem& problem, const IlqrPlan& plan, double max_state, IlqrResult* result);
  // Dynamics and cost about the result's trajectory; whether all of it is finite.
  bool Expand(const ShootingProblem& problem, const IlqrResult& about);
  // Gains of that expansion; false where it has no least cost with that much regularisation.
  bool Backward(const IlqrOptions& options, double lambda, LqrResult* result);
  // The best row of those tried whose cost falls by more than min_gain of what is expected; its iteration's alpha stays
  // 0 where there is none.
  int64_t Search(const ShootingProblem& problem, const IlqrOptions& options, const IlqrResult& about,
                 IlqrIteration* iteration);

  int64_t horizon;
  torch::Tensor x, u, costs;              // of the rows R tried: [T + 1, R, nx], [T, R, m], [T + 1, R]
  std::vector<torch::Tensor> x_at, u_at;  // of one step each
  torch::Tensor before, after;            // x of steps 0 to T - 1, and of 1 to T
  torch::Tensor stage_costs, end_costs;   // of costs: [T, R], [R]
  torch::Tensor nominal, difference;      // [R, nx], [R, n]
  std::vector<double> alphas;             // all step sizes, longest first
  std::vector<double> total;              // [R], of the whole trajectory; infinite where it is not finite
  LinearDynamics dynamics;
  QuadraticCost cost;
  torch::Tensor curvature;
  torch::Tensor low, high;  // [T, m], about the trajectory
  LqrSolver lqr;
  LqrOptions lqr_options;
};

Ilqr::Workspace::Workspace(const ShootingProblem& problem, const IlqrOptions& options) : horizon(problem.horizon) {
  const int64_t n = problem.tangent_size;
  const int64_t m = problem.controls;
  const int64_t tried = options.all_at_once ? options.step_sizes : 1;
  x = torch::zeros({horizon + 1, tried, problem.state_size}, torch::kFloat64);
  u = torch::zeros({horizon, tried, m}, torch::kFloat64);
  costs = torch::zeros({horizon + 1, tried}, torch::kFloat64);
  before = x.slice(0, 0, horizon);
  after = x.slice(0, 1);
  stage_costs = costs.slice(0, 0, horizon);
  end_costs = costs.select(0, horizon);
  for (int64_t t = 0; t <= horizon; ++t) {
    x_at.push_back(x.select(0, t));
    if (t < horizon) {
      u_at.push_back(u.select(0, t));
    }
  }
  nominal = torch::zeros({tried, problem.state_size}, torch::kFloat64);
  difference = torch::zeros({tried, n}, torch::kFloat64);
  total.resize(static_cast<size_t>(tried));
  for (int64_t i = 0; i < options.step_sizes; ++i) {
    const double share =
        options.step_sizes > 1 ? static_cast<double>(i) / static_cast<double>(options.step_sizes - 1) : 0;
    alphas.push_back(std::pow(kLeastStepSize, share));
  }
  dynamics = LinearDynamics::Of(horizon, n, m);
  cost = QuadraticCost::Of(horizon, n, m);
  if (options.second_order) {
    curvature = torch::zeros({horizon, n, n + m, n + m}, torch::kFloat64);
  }
  if (problem.low.defined()) {
    low = torch::zeros({horizon, m}, torch::kFloat64);
    high = torch::zeros({horizon, m}, torch::kFloat64);
  }
  lqr_options = {.low = low, .high = high, .dynamics_hessian = curvature};
}

void Ilqr::Workspace::Roll(const ShootingProblem& problem, const About& about, size_t first_alpha, double max_state) {
  const int64_t count = rows();
  const int64_t nx = problem.state_size;
  const int64_t n = problem.tangent_size;
  const int64_t m = problem.controls;
  std::fill(total.begin(), total.end(), 0.0);
  for (int64_t r = 0; r < count; ++r) {
    std::copy_n(problem.start.data_ptr<double>(), nx, x_at[0].data_ptr<double>() + r * nx);
  }
  const double* lowest = problem.low.defined() ? problem.low.data_ptr<double>() : nullptr;
  const double* highest = problem.high.defined() ? problem.high.data_ptr<double>() : nullptr;
  for (int64_t t = 0; t < horizon; ++t) {
    const auto step = static_cast<size_t>(t);
    if (about.big_k != nullptr) {
      for (int64_t r = 0; r < count; ++r) {
        std::copy_n(about.x + t * nx, nx, nominal.data_ptr<double>() + r * nx);
      }
      if (problem.difference) {
        problem.difference(x_at[step], nominal, difference);
      } else {
        for (int64_t i = 0; i < count * n; ++i) {
          difference.data_ptr<double>()[i] = x_at[step].data_ptr<double>()[i] - nominal.data_ptr<double>()[i];
        }
      }
    }
    for (int64_t r = 0; r < count; ++r) {
      const double alpha = alphas[first_alpha + static_cast<size_t>(r)];
      const ConstVectorMap u_old(about.u + t * m, m);
      VectorMap u_new(u_at[step].data_ptr<double>() + r * m, m);
      if (about.big_k == nullptr) {
        u_new = alpha * u_old;
      } else {
        const ConstVectorMap dx(difference.data_ptr<double>() + r * n, n);
        u_new.noalias() = ConstMatrixMap(about.big_k + t * m * n, m, n) * dx;
        if (about.k == nullptr) {
          u_new *= alpha;
        } else {
          u_new += alpha * ConstVectorMap(about.k + t * m, m);
        }
        u_new += u_old;
      }
      if (lowest != nullptr) {
        u_new = u_new.cwiseMax(ConstVectorMap(lowest, m)).cwiseMin(ConstVectorMap(highest, m));
      }
    }
    problem.step(t, x_at[step], u_at[step], x_at[step + 1]);
    bool any = false;
    for (int64_t r = 0; r < count; ++r) {
      double& sum = total[static_cast<size_t>(r)];
      const ConstVectorMap next(x_at[step + 1].data_ptr<double>() + r * nx, nx);
      if (!next.allFinite() || next.cwiseAbs().maxCoeff() > max_state) {
        sum = std::numeric_limits<double>::infinity();
      }
      any = any || std::isfinite(sum);
    }
    if (!any) {
      return;
    }
  }
  problem.cost(before, u, after, stage_costs);
  std::fill_n(end_costs.data_ptr<double>(), count, 0.0);
  if (problem.terminal_cost) {
    problem.terminal_cost(x_at.back(), end_costs);
  }
  for (int64_t r = 0; r < count; ++r) {
    double& sum = total[static_cast<size_t>(r)];
    for (int64_t t = 0; t <= horizon; ++t) {
      sum += costs.data_ptr<double>()[t * count + r];
    }
    if (!std::isfinite(sum)) {
      sum = std::numeric_limits<double>::infinity();
    }
  }
}

void Ilqr::Workspace::Take(int64_t row, IlqrResult* result) {
  const int64_t nx = x.size(2);
  const int64_t m = u.size(2);
  for (int64_t t = 0; t <= horizon; ++t) {
    const auto step = static_cast<size_t>(t);
    std::copy_n(x_at[step].data_ptr<double>() + row * nx, nx, result->x.data_ptr<double>() + t * nx);
    cost.c.data_ptr<double>()[t] = costs.data_ptr<double>()[t * rows() + row];
    if (t < horizon) {
      std::copy_n(u_at[step].data_ptr<double>() + row * m, m, result->u.data_ptr<double>() + t * m);
    }
  }
  result->cost = total[static_cast<size_t>(row)];
}

bool Ilqr::Workspace::Begin(const ShootingProblem& problem, double max_state, IlqrResult* result) {
  for (size_t first = 0; first < alphas.size(); first += total.size()) {
    Roll(problem, {.u = result->u.data_ptr<double>()}, first, max_state);
    const auto finite = std::find_if(total.begin(), total.end(), [](double sum) { return std::isfinite(sum); });
    if (finite != total.end()) {
      Take(finite - total.begin(), result);
      return true;
    }
  }
  return false;
}

bool Ilqr::Workspace::Follow(const ShootingProblem& problem, const IlqrPlan& plan, double max_state,
                             IlqrResult* result) {
  for (size_t first = 0; first < alphas.size(); first += total.size()) {
    Roll(problem,
         {.u = plan.u.data_ptr<double>(), .x = plan.x.data_ptr<double>(), .big_k = plan.feedback.data_ptr<double>()},
         first, max_state);
    const auto best = std::min_element(total.begin(), total.end());
    if (std::isfinite(*best)) {
      Take(best - total.begin(), result);
      return true;
    }
  }
  return false;
}

void Ilqr::Workspace::Clear() {
  for (torch::Tensor* tensor :
       {&dynamics.a, &dynamics.b, &dynamics.f, &cost.xx, &cost.ux, &cost.uu, &cost.x, &cost.u}) {
    std::fill_n(tensor->data_ptr<double>(), tensor->numel(), 0.0);
  }
}

bool Ilqr::Workspace::Expand(const ShootingProblem& problem, const IlqrResult& about) {
  problem.linearise(about.x, about.u, &dynamics);
  if (curvature.defined()) {
    problem.curvature(about.x, about.u, curvature);
  }
  problem.quadratise(about.x, about.u, dynamics, curvature, &cost);
  if (low.defined()) {
    const int64_t m = problem.controls;
    for (int64_t i = 0; i < about.u.numel(); ++i) {
      const double value = about.u.data_ptr<double>()[i];
      low.data_ptr<double>()[i] = problem.low.data_ptr<double>()[i % m] - value;
      high.data_ptr<double>()[i] = problem.high.data_ptr<double>()[i % m] - value;
    }
  }
  const auto finite = [](const torch::Tensor& tensor) {
    return !tensor.defined() || AllFinite(tensor.data_ptr<double>(), tensor.numel());
  };
  return finite(dynamics.a) && finite(dynamics.b) && finite(curvature) && finite(cost.xx) && finite(cost.ux) &&
         finite(cost.uu) && finite(cost.x) && finite(cost.u);
}

bool Ilqr::Workspace::Backward(const IlqrOptions& options, double lambda, LqrResult* result) {
  const bool by_control = options.regularisation == IlqrRegularisation::kControl;
  lqr_options.control_regularisation = by_control ? lambda : 0;
  lqr_options.state_regularisation = by_control ? 0 : lambda;
  lqr.Solve(dynamics, cost, lqr_options, result);
  return result->status == LqrStatus::kSolved;
}

int64_t Ilqr::Workspace::Search(const ShootingProblem& problem, const IlqrOptions& options, const IlqrResult& about,
                                IlqrIteration* iteration) {
  for (size_t first = 0; first < alphas.size(); first += total.size()) {
    Roll(problem,
         {.u = about.u.data_ptr<double>(),
          .x = about.x.data_ptr<double>(),
          .big_k = about.lqr.gains.feedback.data_ptr<double>(),
          .k = about.lqr.gains.feedforward.data_ptr<double>()},
         first, options.max_state);
    const auto best = std::min_element(total.begin(), total.end()) - total.begin();
    const double alpha = alphas[first + static_cast<size_t>(best)];
    const double gained = about.cost - total[static_cast<size_t>(best)];
    iteration->expected = -alpha * (about.lqr.linear_change + 0.5 * alpha * about.lqr.quadratic_change);
    // Where the expansion expects nothing, as with an indefinite Q_uu, any fall is a gain.
    if (gained > (iteration->expected > 0 ? options.min_gain * iteration->expected : 0)) {
      iteration->alpha = alpha;
      return best;
    }
  }
  return -1;
}

Ilqr::Ilqr(const IlqrOptions& options) : options_(options) {
  if (options.step_sizes < 1 || options.max_iterations < 0 || options.regularisation_factor <= 1) {
    throw std::invalid_argument("step_sizes is at least 1, max_iterations at least 0, regularisation_factor above 1");
  }
  if (!(options.min_regularisation > 0) || !(options.max_regularisation > 0)) {
    throw std::invalid_argument("min_regularisation and max_regularisation are above 0");
  }
}

Ilqr::~Ilqr() = default;

void Ilqr::Solve(const ShootingProblem& problem, const torch::Tensor& controls, const IlqrDamping& damping,
                 IlqrResult* result) {
  RequireProblem(problem, options_);
  RequireDoubles("controls", controls, {problem.horizon, problem.controls});
  Prepare(problem, controls, damping, result);
  Improve(problem, workspace_->Begin(problem, options_.max_state, result), damping, result);
}

void Ilqr::Solve(const ShootingProblem& problem, const IlqrPlan& plan, const IlqrDamping& damping, IlqrResult* result) {
  RequireProblem(problem, options_);
  RequireDoubles("plan.x", plan.x, {problem.horizon + 1, problem.state_size});
  RequireDoubles("plan.u", plan.u, {problem.horizon, problem.controls});
  RequireDoubles("plan.feedback", plan.feedback, {problem.horizon, problem.controls, problem.tangent_size});
  Prepare(problem, plan.u, damping, result);
  Improve(problem,
          workspace_->Follow(problem, plan, options_.max_state, result) ||
              workspace_->Begin(problem, options_.max_state, result),
          damping, result);
}

void Ilqr::Prepare(const ShootingProblem& problem, const torch::Tensor& controls, const IlqrDamping& damping,
                   IlqrResult* result) {
  if (workspace_ == nullptr || !workspace_->Fits(problem)) {
    workspace_ = std::make_unique<Workspace>(problem, options_);
  }
  MakeDoubles(&result->x, {problem.horizon + 1, problem.state_size});
  MakeDoubles(&result->u, {problem.horizon, problem.controls});
  for (int64_t i = 0; i < controls.numel(); ++i) {
    double u = controls.data_ptr<double>()[i];
    if (problem.low.defined()) {
      u = std::min(std::max(u, problem.low.data_ptr<double>()[i % problem.controls]),
                   problem.high.data_ptr<double>()[i % problem.controls]);
    }
    result->u.data_ptr<double>()[i] = u;
  }
  result->iterations.clear();
  result->iterations.reserve(static_cast<size_t>(options_.max_iterations));
  result->damping = damping;
  result->lqr.status = LqrStatus::kNotFinite;  // until there is an expansion
  MakeDoubles(&result->lqr.gains.feedback, {problem.horizon, problem.controls, problem.tangent_size});
  MakeDoubles(&result->lqr.gains.feedforward, {problem.horizon, problem.controls});
  workspace_->Clear();
}

void Ilqr::Improve(const ShootingProblem& problem, bool begun, const IlqrDamping& damping, IlqrResult* result) {
  if (!begun) {
    result->cost = std::numeric_limits<double>::infinity();
    result->status = IlqrStatus::kDiverged;
    return;
  }
  Workspace& at = *workspace_;
  IlqrDamping& now = result->damping;
  bool moved = true;  // since the last expansion
  bool ever_moved = false;
  bool refused = false;  // some lambda, by the last expansion
  result->status = IlqrStatus::kMaxIterations;
  for (int64_t i = 0; i < options_.max_iterations; ++i) {
    if (std::exchange(moved, false)) {
      if (!at.Expand(problem, *result)) {
        result->status = IlqrStatus::kNotFinite;
        return;
      }
      refused = false;
    }
    IlqrIteration iteration{.cost = result->cost};
    bool solved = at.Backward(options_, now.lambda, &result->lqr);
    while (solved) {
      iteration.lambda = now.lambda;
      iteration.gradient = MeanRelativeStep(result->lqr.gains.feedforward, result->u);
      if (iteration.gradient >= options_.gradient_tolerance) {
        break;
      }
      if (now.lambda < kConvergedLambda || IsStationary(result->lqr, result->cost)) {
        now = Lowered(options_, now);
        result->iterations.push_back(iteration);
        result->status = ever_moved ? IlqrStatus::kConverged : IlqrStatus::kStationary;
        return;
      }
      if (refused) {
        break;
      }
      now = Lowered(options_, now);  // the gradient may be small because lambda is large
      solved = at.Backward(options_, now.lambda, &result->lqr);
    }
    iteration.lambda = now.lambda;
    if (const int64_t row = solved ? at.Search(problem, options_, *result, &iteration) : -1; row >= 0) {
      at.Take(row, result);
      now = Lowered(options_, now);
      moved = ever_moved = true;
    } else {
      refused = true;
      now.Raise(options_);
    }
    const double gained = iteration.cost - result->cost;
    iteration.cost = result->cost;
    result->iterations.push_back(iteration);
    if (moved && gained < options_.cost_tolerance) {
      result->status = IlqrStatus::kCostChange;
      return;
    }
    if (now.lambda > options_.max_regularisation) {
      now = damping;
      result->status = IlqrStatus::kRegularisationLimit;
      return;
    }
  }
}

IlqrResult SolveIlqr(const ShootingProblem& problem, const torch::Tensor& controls, const IlqrOptions& options) {
  Ilqr ilqr(options);
  IlqrResult result;
  ilqr.Solve(problem, controls, {}, &result);
  return result;
}

IlqrResult GrowHorizon(const ShootingProblem& problem, int64_t first, int64_t by, const IlqrOptions& options) {
  if (first < 1 || by < 1) {
    throw std::invalid_argument("a horizon grows from at least 1 by at least 1");
  }
  ShootingProblem part = problem;
  bool ever_moved = false;
  torch::Tensor controls = torch::zeros({0, problem.controls}, torch::kFloat64);
  for (part.horizon = std::min(first, problem.horizon);; part.horizon = std::min(part.horizon + by, problem.horizon)) {
    const int64_t more = part.horizon - controls.size(0);
    IlqrResult result =
        SolveIlqr(part, torch::cat({controls, torch::zeros({more, problem.controls}, torch::kFloat64)}), options);
    if (result.status == IlqrStatus::kStationary && ever_moved) {
      result.status = IlqrStatus::kConverged;  // what a shorter horizon found is the solution
    }
    if (part.horizon == problem.horizon) {
      return result;
    }
    ever_moved = ever_moved || result.status != IlqrStatus::kStationary;
    controls = result.u;
  }
}

IlqrResult BestOf(const ShootingProblem& problem, const std::vector<torch::Tensor>& starts,
                  const IlqrOptions& options) {
  if (starts.empty()) {
    throw std::invalid_argument("no controls to start from");
  }
  Ilqr ilqr(options);
  IlqrResult best;
  for (const torch::Tensor& start : starts) {
    IlqrResult result;
    ilqr.Solve(problem, start, {}, &result);
    if (!best.u.defined() || result.cost < best.cost) {
      best = std::move(result);
    }
  }
  return best;
}

}  // namespace reverie
