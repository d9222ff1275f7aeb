// The control problem that a state poses, for planners that follow derivatives.
#ifndef REVERIE_PLANNING_PROBLEM_FROM_H_
#define REVERIE_PLANNING_PROBLEM_FROM_H_

#include <functional>

#include "reverie/control/shooting_problem.h"
#include "reverie/env/env.h"

namespace reverie {

// The problem that begins where obs [obs_dim] was seen, in that environment, which is null where none is known. Its
// horizon is left to be set.
using ProblemFrom = std::function<ShootingProblem(const torch::Tensor& obs, const Env* env)>;

}  // namespace reverie

#endif  // REVERIE_PLANNING_PROBLEM_FROM_H_
