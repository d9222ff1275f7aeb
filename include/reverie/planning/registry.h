// Planners by name, and the `planner` section of a config.
#ifndef REVERIE_PLANNING_REGISTRY_H_
#define REVERIE_PLANNING_REGISTRY_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "reverie/config/choice.h"
#include "reverie/config/fields.h"
#include "reverie/planning/sequence_optimizer.h"

namespace reverie {

// One planner with one set of options: reads them, then makes as many as asked.
struct PlannerMaker {
  std::function<Fields()> options;  // borrows from this object
  std::function<std::unique_ptr<SequenceOptimizer>(const SequenceShape& shape, const torch::Device& device)> make;
  // The search as TorchScript (planning/export.h); empty where the planner has none.
  std::function<std::string()> torchscript;
  struct Needs {
    bool gradients = false;   // of the objective
    bool trajectory = false;  // SequenceProblem::trajectory
  } needs;
};

// The table is in src/planning/registry.cc.
const std::vector<Kind<PlannerMaker>>& Planners();
// Those that ask for nothing but values of the objective.
const std::vector<Kind<PlannerMaker>>& Samplers();

// Copies share the planners' options.
struct PlannerConfig {
  Choice<PlannerMaker> choice{"planner.kind", Planners(), "cem"};
  int64_t horizon = 25;

  void Visit(Fields& fields);
};

}  // namespace reverie

#endif  // REVERIE_PLANNING_REGISTRY_H_
