#include "reverie/planning/registry.h"

#include <utility>

#include "reverie/planning/cem.h"
#include "reverie/planning/gradient_shooting.h"
#include "reverie/planning/icem.h"
#include "reverie/planning/ilqs.h"
#include "reverie/planning/mppi.h"
#include "reverie/planning/random_shooting.h"

namespace reverie {
namespace {

template <class Planner>
concept HasTorchScript = requires(const typename Planner::Options& options) {
  Planner::TorchScript(options);
};

// Planner: a SequenceOptimizer with a nested `Options` and a constructor from (options, shape, device); where it can be
// exported, with a static TorchScript(options).
template <class Planner>
Kind<PlannerMaker> KindOf(std::string name, std::string summary, PlannerMaker::Needs needs = {}) {
  return {std::move(name), std::move(summary), [needs] {
            auto options = std::make_shared<typename Planner::Options>();
            PlannerMaker maker{.options = [options] { return Fields::Of(*options); },
                               .make = [options](const SequenceShape& shape,
                                                 const torch::Device& device) -> std::unique_ptr<SequenceOptimizer> {
                                 return std::make_unique<Planner>(*options, shape, device);
                               },
                               .needs = needs};
            if constexpr (HasTorchScript<Planner>) {
              maker.torchscript = [options] { return Planner::TorchScript(*options); };
            }
            return maker;
          }};
}

}  // namespace

const std::vector<Kind<PlannerMaker>>& Samplers() {
  static const std::vector<Kind<PlannerMaker>> kTable{
      KindOf<RandomShooting>("random_shooting", "the best of many random sequences"),
      KindOf<Cem>("cem", "the cross-entropy method (PETS: Chua et al. 2018)"),
      KindOf<ICem>("icem", "the improved cross-entropy method (Pinneri et al. 2020)"),
      KindOf<Mppi>("mppi", "path integral control (Williams et al. 2017)"),
  };
  return kTable;
}

const std::vector<Kind<PlannerMaker>>& Planners() {
  static const std::vector<Kind<PlannerMaker>> kTable = [] {
    std::vector<Kind<PlannerMaker>> table = Samplers();
    table.push_back(KindOf<GradientShooting>("gradient", "gradient ascent through the model", {.gradients = true}));
    table.push_back(KindOf<Ilqs>("ilqs", "a sampled plan, polished along derivatives by iLQR", {.trajectory = true}));
    return table;
  }();
  return kTable;
}

void PlannerConfig::Visit(Fields& fields) {
  choice.VisitKind(fields, "the planner");
  fields("horizon", horizon, "steps planned ahead (H)", AtLeast(1));
  fields.Section("options", "options of the planner", [this](Fields& options) { choice.VisitOptions(options); });
}

}  // namespace reverie
