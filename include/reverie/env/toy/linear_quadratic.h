// LinearQuadratic-v0: two masses coupled by a spring, to be brought to rest; its optimum is known.
//
//   x' = A x + B u,  reward = -(x^T Q x + u^T R u), of the state before the step;  never terminated
//
//       | 1      0      0.1   0    |       | 0    0   |
//   A = | 0      1      0     0.1  |   B = | 0    0   |   Q = diag(1, 1, 0.1, 0.1),  R = diag(1, 1)
//       | -0.05  0.05   0.98  0    |       | 0.1  0   |
//       | 0.05   -0.05  0     0.98 |       | 0    0.1 |
//
// x = (position 1, position 2, velocity 1, velocity 2), u one force per mass in [-1, 1]: unit masses, spring 0.5,
// friction 0.2, Euler steps of 0.1 s. A force beyond the bounds is not clipped. State and obs: x.
// Reset: positions in U[-0.3, 0.3), velocities in U[-0.1, 0.1). From all of these the optimal forces stay inside the
// bounds, so that the optimum without bounds (Solve) is that of the task.
#ifndef REVERIE_ENV_TOY_LINEAR_QUADRATIC_H_
#define REVERIE_ENV_TOY_LINEAR_QUADRATIC_H_

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "reverie/config/fields.h"
#include "reverie/env/env.h"
#include "reverie/env/task_functions.h"

namespace reverie {

class LinearQuadratic final : public Env {
 public:
  struct Options {
    void Visit(Fields&) {}
  };
  static constexpr size_t kStates = 4;
  static constexpr size_t kForces = 2;
  template <size_t kRows, size_t kColumns>
  using Matrix = std::array<std::array<double, kColumns>, kRows>;

  // The best that can be done with `steps` steps left, by the Riccati recursion from P = 0:
  //   u = -K x,  summed reward = -x^T P x.
  struct Solution {
    Matrix<kStates, kStates> p{};
    Matrix<kForces, kStates> k{};
  };
  static Solution Solve(int64_t steps);
  // state [4]. Returns -x^T P x for that many steps.
  static double OptimalReturn(std::span<const double> state, int64_t steps);

  static const Matrix<kStates, kStates>& A();
  static const Matrix<kStates, kForces>& B();
  static const std::array<double, kStates>& QDiagonal();
  static const std::array<double, kForces>& RDiagonal();

  LinearQuadratic(std::string id, const Options& options);
  // Both exact.
  static TaskFunctions MakeTaskFunctions(const Options& options);
  const EnvSpec& spec() const override { return spec_; }

 private:
  void DoReset(RandomEngine& rng, std::span<double> obs) override;
  StepResult DoStep(std::span<const double> action, std::span<double> obs) override;
  void DoSetState(std::span<const double> state, std::span<double> obs) override;
  std::vector<double> DoState() const override { return {state_.begin(), state_.end()}; }
  std::vector<double> DoSnapshot() const override { return {state_.begin(), state_.end()}; }
  void DoRestore(std::span<const double> snapshot) override;

  EnvSpec spec_;
  std::array<double, kStates> state_{};
};

}  // namespace reverie

#endif  // REVERIE_ENV_TOY_LINEAR_QUADRATIC_H_
