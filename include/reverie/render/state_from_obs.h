// Which state looks like that? Observations turned back into states, to draw what a model imagined.
#ifndef REVERIE_RENDER_STATE_FROM_OBS_H_
#define REVERIE_RENDER_STATE_FROM_OBS_H_

#include <memory>
#include <span>
#include <vector>

#include "reverie/env/env.h"

namespace reverie {

// Least squares on the environment's own observation, for any task of MuJoCo: Gauss-Newton steps
//   x <- x + J^+ (obs - observe(x)),   J = d observe / d x by differences,
// the shortest where several would do, so that what an observation does not hold (a body's place along the track, a
// velocity that is clipped) stays where the guess has it. Not held against the observation: contact forces, which a
// state at rest has none of. Costs a dozen forward passes for each number of a state.
class StateFromObs {
 public:
  // An environment of its own. Throws std::invalid_argument where it is none of MuJoCo's.
  explicit StateFromObs(std::unique_ptr<Env> env);

  // obs [obs_dim]; guess and result: qpos, qvel and what is drawn beside, as Env::SetState takes them.
  std::vector<double> Find(std::span<const double> obs, std::span<const double> guess);

  // The state one step of the environment later at unchanged velocities: a guess.
  std::vector<double> Coasted(std::span<const double> state) const;

 private:
  std::vector<double> Observed(std::span<const double> state);

  std::unique_ptr<Env> env_;
};

}  // namespace reverie

#endif  // REVERIE_RENDER_STATE_FROM_OBS_H_
