#include "reverie/algorithms/local_models.h"

#include <gtest/gtest.h>

#include "reverie/algorithms/registry.h"
#include "reverie/config/reader.h"

namespace reverie {
namespace {

std::unique_ptr<Algorithm> Make(const std::string& env) {
  static const EnvRegistry envs = BuiltinEnvs();
  return ReadAlgorithm(ConfigDocument::FromText("algorithm: local_models\nenv: {id: Pendulum-v1, " + env + "}\n", "c"),
                       envs)
      .make(torch::kCPU);
}

TEST(LocalModels, ControllersAreNotLoadedForOtherStarts) {
  const std::unique_ptr<Algorithm> algorithm = Make("start_states: [[0.5, 0], [1, 0]]");
  StateTree tree = SaveState(*algorithm);
  const std::unique_ptr<Algorithm> same = Make("start_states: [[0.5, 0], [1, 0]]");
  EXPECT_NO_THROW(LoadState(tree, *same));
  const std::unique_ptr<Algorithm> other = Make("start_states: [[0.5, 0], [1, 0.1]]");
  EXPECT_THROW(LoadState(tree, *other), std::runtime_error);
  StateVisitor to_act = StateVisitor::LoadingToAct(tree);
  EXPECT_THROW(other->VisitState(to_act), std::runtime_error);
}

}  // namespace
}  // namespace reverie
