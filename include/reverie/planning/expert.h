// Experts whose actions a network is taught: functions of the simulator's state, equal for equal states.
#ifndef REVERIE_PLANNING_EXPERT_H_
#define REVERIE_PLANNING_EXPERT_H_

#include <functional>
#include <string>
#include <vector>

#include "reverie/config/choice.h"
#include "reverie/config/fields.h"
#include "reverie/core/tensor.h"
#include "reverie/env/env.h"
#include "reverie/env/registry.h"

namespace reverie {

struct Advice {
  // u* [m] float64: the least of its cost, which the regulator may have beyond the bounds of actions.
  torch::Tensor action;
  // Q_uu [m, m]: another action costs 1/2 (u - u*)^T Q_uu (u - u*) more, to second order. Positive definite: next to
  // nothing in directions in which it is not. Undefined where the expert does not know.
  torch::Tensor curvature;

  // The expert's action in [-1, 1], a row [1, m] float32.
  torch::Tensor Act() const { return action.clamp(-1, 1).unsqueeze(0).to(torch::kFloat32); }
};

// In the state that the environment is in.
using Expert = std::function<Advice(const Env& env)>;

// One expert with one set of options.
struct ExpertMaker {
  std::function<Fields()> options;  // borrows from this object
  // Why it has nothing to say of a task, or ""; may begin with the name of an option.
  std::function<std::string(const EnvMaker&)> misfit;
  // Throws std::invalid_argument where it has nothing to say. What takes long is done when it is first asked.
  std::function<Expert(const EnvMaker&)> make;
  bool knows_curvature = false;
};

// lqr: planning/regulator.h. ilqr: a plan anew from nothing in every state (planning/ilqr_policy.h). value_iteration:
// planning/value_iteration.h. The table is in src/planning/expert.cc.
const std::vector<Kind<ExpertMaker>>& Experts();

// Copies share the experts' options.
struct ExpertConfig {
  Choice<ExpertMaker> choice{"expert.kind", Experts(), "lqr"};

  void Visit(Fields& fields);
  // Why that expert has nothing to say of a task, or "": for Fields::Check of this section.
  std::string Misfit(const EnvMaker& env) const;
};

}  // namespace reverie

#endif  // REVERIE_PLANNING_EXPERT_H_
