// The ladder of control by a learned model: what each rung adds.
//
//   v0.5   D: random steps;                    fit p_theta to D;  act out plans of H steps
//   v1.0   D: what acting out such plans met;  fit p_theta to D again and again;  the same
//   v1.5   D: likewise, planning anew at every step (model-predictive control)
//
// Source: the lecture notes' versions of model-based reinforcement learning.
#ifndef REVERIE_ALGORITHMS_LADDER_H_
#define REVERIE_ALGORITHMS_LADDER_H_

#include <string>
#include <utility>
#include <vector>

namespace reverie {

enum class Ladder { kV05, kV10, kV15 };

inline std::vector<std::pair<std::string, Ladder>> EnumNames(Ladder) {
  return {{"v0.5", Ladder::kV05}, {"v1.0", Ladder::kV10}, {"v1.5", Ladder::kV15}};
}

}  // namespace reverie

#endif  // REVERIE_ALGORITHMS_LADDER_H_
