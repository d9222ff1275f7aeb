// Planners by name, and the `planner` section of a config.
#ifndef REVERIE_PLANNING_REGISTRY_H_
#define REVERIE_PLANNING_REGISTRY_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "reverie/config/fields.h"
#include "reverie/planning/sequence_optimizer.h"

namespace reverie {

// One planner with one set of options: reads them, then makes as many as asked.
struct PlannerMaker {
  std::function<Fields()> options;  // borrows from this object
  std::function<std::unique_ptr<SequenceOptimizer>(const SequenceShape& shape, const torch::Device& device)> make;
  // The search as TorchScript (planning/export.h); empty where the planner has none.
  std::function<std::string()> torchscript;
};

struct PlannerEntry {
  std::string name;
  std::string summary;
  bool needs_gradients = false;         // of the objective
  std::function<PlannerMaker()> maker;  // with every option at its default
};

// The table is in src/planning/registry.cc.
const std::vector<PlannerEntry>& Planners();

struct PlannerConfig {
  std::string kind = "cem";
  int64_t horizon = 25;
  PlannerMaker maker;  // of the planner `kind` with the options read

  void Visit(Fields& fields);

  // Of a known kind.
  bool needs_gradients() const;

 private:
  std::string maker_kind_;
};

}  // namespace reverie

#endif  // REVERIE_PLANNING_REGISTRY_H_
