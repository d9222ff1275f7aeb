#include "reverie/models/model_trainer.h"

#include <vector>

#include "reverie/models/model_env.h"

namespace reverie {
namespace {

// Horizons of the logged open-loop model error.
const std::vector<int64_t> kErrorHorizons{1, 5, 20};

}  // namespace

std::optional<Metrics> ModelTrainer::Fit(DynamicsModel& model, const ReplayBuffer& data,
                                         const std::function<bool()>& stop) {
  Metrics metrics;
  if (fits_ > 0) {
    metrics = OpenLoopError(model, data.Newest(retrain_every_), kErrorHorizons);
  }
  const std::optional<Metrics> fit = model.Fit(data, rng_.Split("fit").Split(static_cast<uint64_t>(fits_)), stop);
  if (!fit) {
    return std::nullopt;
  }
  ++fits_;
  metrics.Merge("", *fit);
  return metrics;
}

}  // namespace reverie
