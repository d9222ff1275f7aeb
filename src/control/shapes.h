// Shapes of linear-quadratic problems, as everything in control/ takes them.
#ifndef REVERIE_SRC_CONTROL_SHAPES_H_
#define REVERIE_SRC_CONTROL_SHAPES_H_

#include <cstdint>

#include "doubles.h"
#include "reverie/control/linear_quadratic.h"

namespace reverie {

// Throw std::invalid_argument naming what does not fit T steps of n states and m controls.
inline void RequireDynamics(const LinearDynamics& dynamics, int64_t horizon, int64_t n, int64_t m) {
  RequireDoubles("dynamics.a", dynamics.a, {horizon, n, n});
  RequireDoubles("dynamics.b", dynamics.b, {horizon, n, m});
  RequireDoubles("dynamics.f", dynamics.f, {horizon, n});
}

inline void RequireCost(const QuadraticCost& cost, int64_t horizon, int64_t n, int64_t m) {
  RequireDoubles("cost.xx", cost.xx, {horizon + 1, n, n});
  RequireDoubles("cost.ux", cost.ux, {horizon, m, n});
  RequireDoubles("cost.uu", cost.uu, {horizon, m, m});
  RequireDoubles("cost.x", cost.x, {horizon + 1, n});
  RequireDoubles("cost.u", cost.u, {horizon, m});
  RequireDoubles("cost.c", cost.c, {horizon + 1});
}

}  // namespace reverie

#endif  // REVERIE_SRC_CONTROL_SHAPES_H_
