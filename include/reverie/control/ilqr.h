// The iterative linear-quadratic regulator and differential dynamic programming, with control limits.
//
//   repeat: expand dynamics and cost about the trajectory (x, u); K, k = LQR of the expansion (control/lqr.h)
//           u <- clip(u + alpha k + K (x' - x)) along x' for the step sizes alpha; take the one that costs least
//
// Sources: Tassa, Erez and Todorov 2012 ("Synthesis and stabilization of complex behaviors through online trajectory
// optimization"), whose schedule of the regularisation is kept; Tassa, Mansard and Todorov 2014 for the limits. With
// the second derivatives of the dynamics (second_order) it is DDP (Mayne 1966), without them iLQR (Li and Todorov
// 2004).
#ifndef REVERIE_CONTROL_ILQR_H_
#define REVERIE_CONTROL_ILQR_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "reverie/control/lqr.h"
#include "reverie/control/shooting_problem.h"
#include "reverie/core/state.h"

namespace reverie {

enum class IlqrStatus {
  kConverged,            // the gradient is zero, to gradient_tolerance
  kCostChange,           // the last step gained less than cost_tolerance, which is absolute
  kStationary,           // the gradient was zero from the start, at a solution or at a rest that is none
  kMaxIterations,        //
  kRegularisationLimit,  // no regularisation up to max_regularisation gave a step that gains
  kDiverged,             // no trajectory along the controls given, or a part of them, stays finite
  kNotFinite,            // a derivative along the trajectory is not finite
};

// "converged: the gradient is zero", ...
const char* Text(IlqrStatus status);

// Whether the result is a trajectory to act on: finite, and at least as good as the one that was given.
bool IsUsable(IlqrStatus status);

enum class IlqrRegularisation {
  kControl,  // lambda I is added to Q_uu
  kState,    // lambda I is added to V_xx in Q_uu and Q_ux, so that the new states stay near the old ones
};

struct IlqrOptions {
  int64_t max_iterations = 500;
  double cost_tolerance = 1e-7;
  double gradient_tolerance = 1e-4;  // of the mean over t of the largest |k_i| / (|u_i| + 1)

  IlqrRegularisation regularisation = IlqrRegularisation::kControl;
  double min_regularisation = 1e-6;  // below it lambda is 0
  double max_regularisation = 1e10;
  double regularisation_factor = 1.6;

  // alpha = 1 ... 10^-3 in equal ratios, tried all at once or, where a step costs much, one after the other until one
  // gains. A step gains where the cost falls by more than min_gain of what was expected.
  int64_t step_sizes = 11;
  bool all_at_once = true;
  double min_gain = 0;

  bool second_order = false;  // needs ShootingProblem::curvature
  double max_state = 1e8;     // a trajectory with a larger number has diverged
};

// How fast the regularisation changes, kept from one solution to the next where a plan is made anew at every step.
struct IlqrDamping {
  double lambda = 1;
  double factor = 1;

  // As after a step that gained nothing: more, and faster the more often it is.
  void Raise(const IlqrOptions& options);

  void VisitState(StateVisitor& state);
};

struct IlqrIteration {
  double cost = 0;      // after it
  double lambda = 0;    // with which its controls were found
  double gradient = 0;  // see gradient_tolerance
  double alpha = 0;     // of the step taken; 0: none gained
  double expected = 0;  // fall of the cost by the expansion
};

struct IlqrResult {
  IlqrStatus status = IlqrStatus::kDiverged;
  torch::Tensor x;  // [T + 1, nx]
  torch::Tensor u;  // [T, m], inside the bounds
  // Of the last expansion, which is that about the trajectory before the last step unless the gradient is zero
  // (kConverged, kStationary). Its gains are whole where lqr.status is kSolved.
  LqrResult lqr;
  double cost = 0;
  IlqrDamping damping;  // to go on with; after kRegularisationLimit the one given
  std::vector<IlqrIteration> iterations;

  // Iterations whose step gained.
  int64_t Gains() const;
};

// A trajectory and the gains that keep near it, or controls alone: the other two are undefined.
struct IlqrPlan {
  torch::Tensor x;         // [T + 1, nx], whose last is not read
  torch::Tensor u;         // [T, m]
  torch::Tensor feedback;  // K [T, m, n]

  // Copies what a search came to. Gains that are not whole are not taken: the old ones stay, zeros where there are
  // none.
  void Keep(const IlqrResult& result);

  bool HasTrajectory() const { return x.defined() && x.numel() > 0; }
  // Goes on by steps <= T that were acted out, beyond its end with the last control and without feedback.
  void Shift(int64_t steps);

  void VisitState(StateVisitor& state);
};

// Keeps its memory from call to call: where the sizes stay and the problem's functions allocate nothing, neither does
// it.
class Ilqr {
 public:
  explicit Ilqr(const IlqrOptions& options);
  ~Ilqr();
  Ilqr(const Ilqr&) = delete;
  Ilqr& operator=(const Ilqr&) = delete;

  // From the controls [T, m], which are clipped to the bounds; where their trajectory is not finite, from a part of
  // them all. Never throws for what numerics may do: a factorisation that fails raises the regularisation, a trajectory
  // that is not finite is not taken. Throws std::invalid_argument where a shape does not fit, low is above high, or
  // second_order is asked for and the problem has no curvature. The tensors of a result that comes back from an earlier
  // call are written in place.
  void Solve(const ShootingProblem& problem, const torch::Tensor& controls, const IlqrDamping& damping,
             IlqrResult* result);

  // From a plan that was made from another start: the search begins with the trajectory that costs least, of those
  // tried at once, along clip(u_t + alpha K_t (x - x_t)) for the step sizes alpha. An unstable system leaves any plan
  // that is acted out without its feedback, and far from it an expansion tells little. Where none of them is finite,
  // from the controls alone. MuJoCo MPC begins likewise (Howell et al. 2022).
  void Solve(const ShootingProblem& problem, const IlqrPlan& plan, const IlqrDamping& damping, IlqrResult* result);

 private:
  struct Workspace;

  // A result of the right sizes, with the controls inside the bounds.
  void Prepare(const ShootingProblem& problem, const torch::Tensor& controls, const IlqrDamping& damping,
               IlqrResult* result);
  // The iterations, where a first trajectory was found.
  void Improve(const ShootingProblem& problem, bool begun, const IlqrDamping& damping, IlqrResult* result);

  IlqrOptions options_;
  std::unique_ptr<Workspace> workspace_;
};

IlqrResult SolveIlqr(const ShootingProblem& problem, const torch::Tensor& controls, const IlqrOptions& options = {});

// Solves for the first `first` steps of the problem, then for `by` more at a time, each time from the last solution
// with zeros appended: a long horizon from zeros at once ends in a worse local optimum, or does not move at all.
IlqrResult GrowHorizon(const ShootingProblem& problem, int64_t first, int64_t by, const IlqrOptions& options = {});

// The best of the solutions from several controls, each [T, m].
IlqrResult BestOf(const ShootingProblem& problem, const std::vector<torch::Tensor>& starts,
                  const IlqrOptions& options = {});

}  // namespace reverie

#endif  // REVERIE_CONTROL_ILQR_H_
