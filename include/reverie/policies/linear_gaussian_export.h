// Linear-Gaussian controllers (policies/linear_gaussian_policy.h) as a file that other programs act with.
//
// The TorchScript module (no operators of its own) has
//   forward(state: [B, n] float64, t: int, start: int = 0) -> [B, m] float64   the mean action of step t of an episode
//     from start number `start`, in the environment's own bounds; after the controller's last step that one's
//   sample(state, t, start) -> the same shape           a draw, from PyTorch's default generator
//   nearest(state) -> [B] int64                         the start nearest to a state that an episode begins in
//   starts: [S, n] float64;  env_id: str, state_names: List[str], horizon, act_dim, format_version: int
//
// States are the simulator's, as `reverie envs ID` names them, not observations.
#ifndef REVERIE_POLICIES_LINEAR_GAUSSIAN_EXPORT_H_
#define REVERIE_POLICIES_LINEAR_GAUSSIAN_EXPORT_H_

#include <filesystem>
#include <vector>

#include "reverie/control/linear_gaussian.h"
#include "reverie/env/env.h"

namespace reverie {

// One controller for each start, all of one horizon. Replaces the file at `path` whole or not at all. What is read back
// is held against the controllers, 1e-12 in the actions of every step: throws std::runtime_error where it differs, and
// where the file cannot be written.
void ExportLinearGaussian(const EnvSpec& spec, const Env::States& starts,
                          const std::vector<LinearGaussianController>& controllers, const std::filesystem::path& path);

}  // namespace reverie

#endif  // REVERIE_POLICIES_LINEAR_GAUSSIAN_EXPORT_H_
