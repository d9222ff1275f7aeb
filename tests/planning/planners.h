// What the tests of planning share.
#ifndef REVERIE_TESTS_PLANNING_PLANNERS_H_
#define REVERIE_TESTS_PLANNING_PLANNERS_H_

#include <string>

#include "reverie/config/reader.h"
#include "reverie/core/tensor.h"
#include "reverie/env/toy/linear_quadratic.h"
#include "reverie/planning/registry.h"

namespace reverie {

// A `planner` section as a config gives it.
inline PlannerConfig Planner(const std::string& yaml) {
  PlannerConfig config;
  ConfigDocument::FromText(yaml, "planner.yaml").ReadInto(Fields::Of(config));
  return config;
}

template <size_t kRows, size_t kColumns>
torch::Tensor TensorOf(const LinearQuadratic::Matrix<kRows, kColumns>& matrix) {
  torch::Tensor tensor = torch::empty({kRows, kColumns});
  for (size_t i = 0; i < kRows; ++i) {
    for (size_t j = 0; j < kColumns; ++j) {
      tensor[static_cast<int64_t>(i)][static_cast<int64_t>(j)] = matrix[i][j];
    }
  }
  return tensor;
}

}  // namespace reverie

#endif  // REVERIE_TESTS_PLANNING_PLANNERS_H_
