// Fits a model time and again while real transitions come in.
#ifndef REVERIE_MODELS_MODEL_TRAINER_H_
#define REVERIE_MODELS_MODEL_TRAINER_H_

#include <functional>
#include <optional>

#include "reverie/models/dynamics_model.h"

namespace reverie {

class ModelTrainer {
 public:
  // A fit is due every so many env steps. Each gets a random stream of its own, the split of `rng` by its number.
  ModelTrainer(int64_t retrain_every, const Rng& rng) : retrain_every_(retrain_every), rng_(rng) {}

  // After so many steps since exploration ended; negative ones are before that.
  bool DueAfter(int64_t steps) const { return steps >= 0 && steps % retrain_every_ == 0; }

  // The next fit to all of `data`. Returns what the model does, with what it was worth before on the rows since the
  // last fit, which it has not seen: open_loop_error_<h> and, as unseen/..., the rest of ScoreSteps and
  // ScoreTrajectories (models/report_card.h). Nothing where `stop` ended it: model and count are then as before.
  std::optional<Metrics> Fit(DynamicsModel& model, const ReplayBuffer& data, const std::function<bool()>& stop);

  int64_t fits() const { return fits_; }
  // How many of the newest rows the last fit has not seen; all of them before the first, and 0 where an older version
  // made it and did not say.
  int64_t UnseenOf(const ReplayBuffer& data) const;

  void VisitState(StateVisitor& state);

 private:
  int64_t retrain_every_;
  Rng rng_;
  int64_t fits_ = 0;
  std::optional<int64_t> seen_;  // rows ever added at the last fit; none where an older version made it
};

}  // namespace reverie

#endif  // REVERIE_MODELS_MODEL_TRAINER_H_
