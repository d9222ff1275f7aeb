#include "reverie/planning/registry.h"

#include <algorithm>
#include <utility>

#include "reverie/core/text.h"
#include "reverie/planning/cem.h"
#include "reverie/planning/gradient_shooting.h"
#include "reverie/planning/icem.h"
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
PlannerEntry EntryOf(std::string name, std::string summary, bool needs_gradients = false) {
  return {std::move(name), std::move(summary), needs_gradients, [] {
            auto options = std::make_shared<typename Planner::Options>();
            PlannerMaker maker{.options = [options] { return Fields::Of(*options); },
                               .make = [options](const SequenceShape& shape,
                                                 const torch::Device& device) -> std::unique_ptr<SequenceOptimizer> {
                                 return std::make_unique<Planner>(*options, shape, device);
                               }};
            if constexpr (HasTorchScript<Planner>) {
              maker.torchscript = [options] { return Planner::TorchScript(*options); };
            }
            return maker;
          }};
}

// Null where there is none of that name.
const PlannerEntry* Find(const std::string& name) {
  const auto found =
      std::find_if(Planners().begin(), Planners().end(), [&](const PlannerEntry& entry) { return entry.name == name; });
  return found == Planners().end() ? nullptr : &*found;
}

}  // namespace

const std::vector<PlannerEntry>& Planners() {
  static const std::vector<PlannerEntry> kTable{
      EntryOf<RandomShooting>("random_shooting", "the best of many random sequences"),
      EntryOf<Cem>("cem", "cross-entropy method (PETS: Chua et al. 2018)"),
      EntryOf<ICem>("icem", "improved cross-entropy method (Pinneri et al. 2020)"),
      EntryOf<Mppi>("mppi", "path integral control (Williams et al. 2017)"),
      EntryOf<GradientShooting>("gradient", "gradient ascent through the model", /*needs_gradients=*/true),
  };
  return kTable;
}

void PlannerConfig::Visit(Fields& fields) {
  std::vector<std::string> names;
  std::vector<std::string> summaries;
  for (const PlannerEntry& entry : Planners()) {
    names.push_back(entry.name);
    summaries.push_back(entry.name + " is " + entry.summary);
  }
  fields("kind", kind, "the planner: " + Joined(summaries));
  fields.Check([this] { return Find(kind) != nullptr; }, "one of " + Joined(names));
  fields("horizon", horizon, "steps planned ahead (H)", AtLeast(1));
  fields.Late(
      "options",
      [this] {
        if (maker_kind_ != kind) {
          maker = Find(kind)->maker();
          maker_kind_ = kind;
        }
        return maker.options();
      },
      "options of the planner");
}

bool PlannerConfig::needs_gradients() const { return Find(kind)->needs_gradients; }

}  // namespace reverie
