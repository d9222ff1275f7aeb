// Dynamic programming on a grid of states, for tasks of few numbers: as good a policy as the grid is fine.
//
//   V(x) = max_a  r(x, a) + gamma V(x'),    V between the points of the grid by multilinear interpolation
//   action at x: the best of a grid of actions by one step of the simulator from x itself, refined about it
//
// By modified policy iteration (Puterman and Shin 1978): one maximisation, then some sweeps under the actions found. No
// value follows the end of an episode. Beyond the grid a state counts as the nearest of its border. Rewards, ends and
// steps are the environment's own. All in float64 on the CPU.
//
// Not supported: rewards or steps that a state (Env::SetState) does not determine.
#ifndef REVERIE_PLANNING_VALUE_ITERATION_H_
#define REVERIE_PLANNING_VALUE_ITERATION_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "reverie/config/fields.h"
#include "reverie/core/tensor.h"
#include "reverie/env/env.h"
#include "reverie/env/registry.h"

namespace reverie {

struct ValueIterationConfig {
  std::vector<double> low, high;  // of each number of a state
  std::vector<int64_t> points;    // of the grid along each
  std::vector<int64_t> periodic;  // the numbers, from 0, that go round: high is low again
  int64_t actions = 21;           // along each number of an action
  double discount = 0.99;         // gamma
  double tolerance = 1e-4;        // of the largest change of V by a maximisation

  void Visit(Fields& fields);
  // Why it is no grid of that task's states, or "".
  std::string Misfit(const EnvMaker& maker) const;
};

class ValueIteration {
 public:
  // Nothing is solved yet. Throws std::invalid_argument with a misfit.
  ValueIteration(const ValueIterationConfig& config, const EnvMaker& maker);
  ~ValueIteration();

  // Takes all of points * actions steps of the environment and iterates; said in the log. Throws std::runtime_error
  // where it does not come to an end.
  void Solve();
  bool solved() const { return value_.defined(); }

  // Of states [N, n] -> [N]. Once solved.
  torch::Tensor Value(const torch::Tensor& states) const;
  // The action in [-1, 1] at a state, [m] float64. Once solved.
  torch::Tensor Action(const std::vector<double>& state) const;

 private:
  // What interpolates V at N states: the 2^n corners of each one's cell and their weights, both [N, 2^n].
  struct Corners {
    torch::Tensor index, weight;
  };
  Corners CornersOf(const torch::Tensor& states) const;
  // What each of actions [K, m] leads to in each of states [N, n]: x' [N K, n], r and gamma or, at an end, 0, [N K].
  struct Outcomes {
    torch::Tensor next, reward, discount;
  };
  Outcomes Try(const torch::Tensor& states, const torch::Tensor& actions) const;

  ValueIterationConfig config_;
  std::unique_ptr<Env> env_;
  torch::Tensor actions_;  // the grid, [K, m]
  torch::Tensor value_;    // [points]
};

}  // namespace reverie

#endif  // REVERIE_PLANNING_VALUE_ITERATION_H_
