#include "reverie/control/linear_quadratic.h"

namespace reverie {
namespace {

torch::Tensor Doubles(at::IntArrayRef shape) { return torch::zeros(shape, torch::kFloat64); }

}  // namespace

LinearDynamics LinearDynamics::Of(int64_t horizon, int64_t states, int64_t controls) {
  return {.a = Doubles({horizon, states, states}),
          .b = Doubles({horizon, states, controls}),
          .f = Doubles({horizon, states})};
}

QuadraticCost QuadraticCost::Of(int64_t horizon, int64_t states, int64_t controls) {
  return {.xx = Doubles({horizon + 1, states, states}),
          .ux = Doubles({horizon, controls, states}),
          .uu = Doubles({horizon, controls, controls}),
          .x = Doubles({horizon + 1, states}),
          .u = Doubles({horizon, controls}),
          .c = Doubles({horizon + 1})};
}

}  // namespace reverie
