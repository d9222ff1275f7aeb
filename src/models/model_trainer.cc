#include "reverie/models/model_trainer.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "reverie/models/report_card.h"

namespace reverie {
namespace {

const std::vector<int64_t> kHorizons{1, 5, 10, 20};
constexpr std::string_view kError = "open_loop_error_";

// What the model is worth on the newest rows.
Metrics CardOf(const DynamicsModel& model, const ReplayBuffer& data, int64_t unseen, const Rng& rng) {
  const TransitionBatch newest = data.Newest(unseen + kBaselineRows);
  const int64_t known = std::max<int64_t>(newest.size() - unseen, 0);
  const TransitionBatch rows{newest.layout, newest.rows.narrow(0, known, newest.size() - known)};
  Metrics card;
  for (const auto& [name, value] : ScoreTrajectories(model, rows, kHorizons, rng)) {
    card.Set(name.starts_with(kError) ? name : "unseen/" + name, value);
  }
  card.Merge("unseen", ScoreSteps(model, rows, {newest.layout, newest.rows.narrow(0, 0, known)}).overall);
  return card;
}

}  // namespace

int64_t ModelTrainer::UnseenOf(const ReplayBuffer& data) const {
  const int64_t unseen = fits_ == 0 ? data.size() : seen_ ? data.total_added() - *seen_ : 0;
  return std::min(unseen, data.size());
}

std::optional<Metrics> ModelTrainer::Fit(DynamicsModel& model, const ReplayBuffer& data,
                                         const std::function<bool()>& stop) {
  Metrics metrics;
  const auto number = static_cast<uint64_t>(fits_);
  if (const int64_t unseen = seen_ ? UnseenOf(data) : std::min(retrain_every_, data.size()); fits_ > 0 && unseen > 0) {
    metrics = CardOf(model, data, unseen, rng_.Split("card").Split(number));
  }
  const std::optional<Metrics> fit = model.Fit(data, rng_.Split("fit").Split(number), stop);
  if (!fit) {
    return std::nullopt;
  }
  ++fits_;
  seen_ = data.total_added();
  metrics.Merge("", *fit);
  return metrics;
}

void ModelTrainer::VisitState(StateVisitor& state) {
  state("fits", fits_);
  constexpr int64_t kUnknown = -1;
  int64_t seen = seen_.value_or(kUnknown);
  if (!state.loading() || state.Has("seen")) {
    state("seen", seen);
    seen_ = seen == kUnknown ? std::nullopt : std::optional(seen);
  } else {
    seen_.reset();
  }
}

}  // namespace reverie
