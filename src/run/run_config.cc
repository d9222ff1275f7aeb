#include "reverie/run/run_config.h"

#include "reverie/run/device.h"

namespace reverie {

void RunConfig::Eval::Visit(Fields& fields) {
  fields("every_steps", every_steps, "env steps from one evaluation to the next", AtLeast(1));
  fields("episodes", episodes, "whole episodes in an evaluation", AtLeast(1));
}

void RunConfig::Checkpoint::Visit(Fields& fields) {
  fields("every_steps", every_steps, "env steps from one checkpoint to the next", AtLeast(1));
  fields("keep", keep, "newest checkpoints kept; the one before the newest serves where that is damaged", AtLeast(1));
}

void RunConfig::Log::Visit(Fields& fields) {
  fields("every_steps", every_steps, "env steps from one row of train.csv to the next", AtLeast(1));
}

void RunConfig::Visit(Fields& fields) {
  fields.Required("algorithm", algorithm, "what trains; `reverie config --reference` has a section for each");
  fields("variant", variant, "a name for this variant of the experiment, shown in comparisons");
  fields("seed", seed, "every random stream of the run is split from it", AtLeast(0));
  fields("total_steps", total_steps, "env steps of the run, exploration included", AtLeast(1));
  if (explores) {
    fields("exploration_steps", exploration_steps, "env steps with uniform actions at the beginning", AtLeast(1));
    fields.Check([this] {
      return exploration_steps < total_steps ? "" : "expected below total_steps, " + std::to_string(total_steps);
    });
  }
  fields("device", device, "auto, cpu, cuda or cuda:INDEX");
  fields.Check([this] { return IsDeviceText(device); }, "auto, cpu, cuda or cuda:INDEX");
  fields("threads", threads, "CPU threads; auto, or 0: what is fastest here, timed as the run begins and then kept",
         Between(0, 4096));
  fields("eval", eval, "evaluation with the mean action");
  fields("checkpoint", checkpoint, "checkpoints");
  fields("log", log, "training log");
}

}  // namespace reverie
