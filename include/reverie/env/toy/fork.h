// Fork-v0: a point that is thrown to one of two sides at every step, and a pit between them.
//
//   s' = s + 0.1 a + c d 1 + 0.05 xi,   c = -1 or 1 with probability 1/2,  xi ~ N(0, I),  s, a in R^n
//   reward = -1 where |s'_i| < 0.1 for all i, else 0;   never terminated
//
// The next state is never near s + 0.1 a, where a Gaussian with the same mean and variance has its mode: such a model
// steers clear of steps that are safe, and takes some that are not. With n = 1 and d = 0.5 the optimal policy keeps s
// half-way between multiples of d and earns -0.026 in 20 steps on average, the policy that is optimal under the
// Gaussian -0.77, random actions -1.08. With n = 2 both dimensions are thrown to the same side: models in which they
// are independent are wrong.
//
// Per dimension the negative log density of s' is on average
//
//   H = ln 2 / n + 1/2 ln(2 pi e 0.05^2)         where d >> 0.05, to 1e-5 from d = 0.25 on; n = 1: -0.8837
//
// and that of the best Gaussian, n = 1: 1/2 ln(2 pi e (d^2 + 0.05^2)), 0.731 for d = 0.5.
//
// State and obs: s. Reset: each s_i uniform in [-0.5, 0.5]. The optimum is that of value iteration on a grid; it is in
// this environment's tests.
#ifndef REVERIE_ENV_TOY_FORK_H_
#define REVERIE_ENV_TOY_FORK_H_

#include <string>
#include <vector>

#include "reverie/config/fields.h"
#include "reverie/env/env.h"
#include "reverie/env/step_noise.h"
#include "reverie/env/task_functions.h"

namespace reverie {

class Fork final : public Env {
 public:
  struct Options {
    int64_t dimensions = 1;  // n
    double distance = 0.5;   // d
    void Visit(Fields& fields);
  };
  static constexpr double kGain = 0.1;
  static constexpr double kNoise = 0.05;
  static constexpr double kPit = 0.1;

  Fork(std::string id, const Options& options);
  // Exact.
  static TaskFunctions MakeTaskFunctions(const Options& options);
  const EnvSpec& spec() const override { return spec_; }

 private:
  void DoReset(RandomEngine& rng, std::span<double> obs) override;
  StepResult DoStep(std::span<const double> action, std::span<double> obs) override;
  void DoSetState(std::span<const double> state, std::span<double> obs) override;
  std::vector<double> DoState() const override { return state_; }
  std::vector<double> DoSnapshot() const override;
  void DoRestore(std::span<const double> snapshot) override;
  void DoReseed(uint64_t seed) override { noise_.Begin(seed); }

  Options options_;
  EnvSpec spec_;
  std::vector<double> state_;
  StepNoise noise_;
};

}  // namespace reverie

#endif  // REVERIE_ENV_TOY_FORK_H_
