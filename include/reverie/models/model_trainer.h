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

  // The next fit to all of `data`. Returns what the model does, with the open-loop error (models/model_env.h) that it
  // had before on the rows since the last fit, which it has not seen. Nothing where `stop` ended it: model and count
  // are then as before.
  std::optional<Metrics> Fit(DynamicsModel& model, const ReplayBuffer& data, const std::function<bool()>& stop);

  int64_t fits() const { return fits_; }

  void VisitState(StateVisitor& state) { state("fits", fits_); }

 private:
  int64_t retrain_every_;
  Rng rng_;
  int64_t fits_ = 0;
};

}  // namespace reverie

#endif  // REVERIE_MODELS_MODEL_TRAINER_H_
