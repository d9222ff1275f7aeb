// An ensemble of critics whose outputs are scaled to the values that rewards allow, and their slow copies.
//
//   Q_i(s, a) = center + width q_i(z, a),   q_i = 0 at first        z = s in the normaliser's units
//   q_low, q_high: the 1 % and 99 % quantile of the batches' rewards times 1 / (1 - discount), the first batch's, then
//     an exponential average at the critics' learning rate
//   center = (q_high + q_low) / 2,   width = max((q_high - q_low) / 2, 1)
//   critics : sum_i mean (Q_i(s, a) - y)^2,   in training, with dropout
//   targets : q'_i <- q'_i + tau (q_i - q'_i)
//
// The networks are nn/layer_norm_mlp.h's. Sources: DHMBPO, the published code's critics (Kubo et al., TMLR 2025); the
// least of two drawn of more critics: REDQ (Chen et al. 2021).
#ifndef REVERIE_LEARNERS_VALUE_CRITICS_H_
#define REVERIE_LEARNERS_VALUE_CRITICS_H_

#include <vector>

#include "reverie/config/fields.h"
#include "reverie/core/state.h"
#include "reverie/data/normalizer.h"
#include "reverie/data/transitions.h"
#include "reverie/nn/layer_norm_mlp.h"

namespace reverie {

struct ValueCriticsConfig {
  int64_t members = 5;
  std::vector<int64_t> hidden{256, 256, 256};
  bool layer_norm = true;
  double dropout = 1e-3;
  double learning_rate = 3e-4;
  double tau = 0.005;

  void Visit(Fields& fields);
};

class ValueCritics {
 public:
  // options: a device, or float64 on one for gradients to be checked. `normalizer` is shared with whoever fits it.
  ValueCritics(const ValueCriticsConfig& config, const TransitionLayout& layout, double discount,
               const Normalizer& normalizer, const Rng& rng, const torch::TensorOptions& options);

  // Q_i [E, B] at obs [B, obs_dim], action [B, act_dim], in the caller's gradient mode; in training, with dropout,
  // where there is a generator.
  torch::Tensor Q(const torch::Tensor& obs, const torch::Tensor& action, torch::Generator* dropout) const;
  // The lower of two target critics, drawn for all rows at once, held within center +- width: [B]. Without gradients.
  torch::Tensor TargetQ(const torch::Tensor& obs, const torch::Tensor& action, torch::Generator& generator) const;

  // Lets the bounds follow rewards [any shape], those of the entropy included.
  void FollowRewards(const torch::Tensor& rewards);

  struct Update {
    torch::Tensor loss;       // [] mean over the critics
    torch::Tensor q;          // [] mean
    torch::Tensor spread;     // [] mean deviation between the critics
    torch::Tensor grad_norm;  // []
  };
  // A step towards y [B], and the targets'.
  Update Learn(const torch::Tensor& obs, const torch::Tensor& action, const torch::Tensor& y,
               torch::Generator& generator);

  // Forgets the optimiser's moments.
  void ResetOptimizer() { adam_.Reset(); }

  // [2]: q_low, q_high.
  const torch::Tensor& bounds() const { return bounds_; }
  FlatParameters& parameters() { return parameters_; }
  FlatParameters& target_parameters() { return target_parameters_; }

  void VisitState(StateVisitor& state);

 private:
  torch::Tensor Center() const;
  torch::Tensor Width() const;
  torch::Tensor Scaled(const torch::Tensor& q) const;  // [E, B, 1] -> [E, B]
  // Two of the target critics.
  LayerNormMlp Drawn(torch::Generator& generator) const;

  ValueCriticsConfig config_;
  double discount_;
  Normalizer normalizer_;
  FlatParameters parameters_, target_parameters_;
  LayerNormMlp mlp_, target_mlp_;
  Adam adam_;
  torch::Tensor bounds_;     // [2]
  torch::Tensor following_;  // [], how far the next batch moves them: 1 at first
};

}  // namespace reverie

#endif  // REVERIE_LEARNERS_VALUE_CRITICS_H_
