#include "reverie/env/dm_control/dm_control_env.h"

#include <mujoco/mujoco.h>

#include <cstdlib>
#include <stdexcept>

#include "reverie/core/text.h"

namespace reverie::dm_control {

std::filesystem::path ModelFolder() {
  const char* folder = std::getenv("REVERIE_DM_CONTROL_DIR");
  return folder != nullptr && *folder != '\0' ? folder : REVERIE_DM_CONTROL_DIR;
}

std::filesystem::path ModelPath(const std::string& file) { return ModelFolder() / file; }

void RequireModel(const std::string& id, const std::string& file, const std::filesystem::path& folder) {
  const std::string needs = id + " needs " + file + " of dm_control's suite, which ";
  if (folder.empty()) {
    throw std::invalid_argument(needs +
                                "was not there when Reverie was built; install dm-control 1.0.50 and name its suite "
                                "folder in REVERIE_DM_CONTROL_DIR");
  }
  if (!std::filesystem::is_regular_file(folder / file)) {
    throw std::invalid_argument(needs + "is not in " + folder.string() +
                                "; install dm-control 1.0.50 or name its suite folder in REVERIE_DM_CONTROL_DIR");
  }
}

std::shared_ptr<const mjModel_> LoadModel(const std::string& file) { return LoadModel(file, "", nullptr); }

std::shared_ptr<const mjModel_> LoadModel(const std::string& file, const std::string& variant,
                                          const std::function<void(mjSpec_&)>& edit) {
  return LoadMujocoModel(ModelPath(file), variant, edit);
}

void RequireSize(const MujocoSimulation& simulation, const ModelSize& size) {
  const mjModel& model = simulation.model();
  if (model.nq != size.nq || model.nv != size.nv || model.nu != size.nu) {
    throw std::invalid_argument(Text(simulation.name(), " has ", model.nq, " positions, ", model.nv, " velocities and ",
                                     model.nu, " controls; expected ", size.nq, ", ", size.nv, " and ", size.nu,
                                     ", as dm_control 1.0.50 has it"));
  }
}

void Options::Visit(Fields& fields) {
  fields("action_repeat", action_repeat, "control steps per step, all with its action", AtLeast(1));
  fields.Check([this] { return kEpisodeSteps % action_repeat == 0; },
               "a divisor of the 1000 control steps of an episode");
}

}  // namespace reverie::dm_control
