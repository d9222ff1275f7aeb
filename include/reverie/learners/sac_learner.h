// Soft actor-critic's gradient update, with no environment and no loop.
//
//   y       = r + discount (1 - terminated) (min_i Q'_i(s', a') - alpha log pi(a'|s')),   a' ~ pi(s')
//   critics : 0.5 mean w (Q_i(s, a) - y)^2 for i = 1, 2        (w: exp of the row's log_weight, 1 for real rows)
//   actor   : mean alpha log pi(a|s) - min_i Q_i(s, a),        a ~ pi(s), through the critics just updated
//   alpha   : -log_alpha mean(log pi(a|s) + target_entropy),   log pi detached
//   targets : Q'_i <- Q'_i + tau (Q_i - Q'_i)
//
// in this order, all on the same batch and with the alpha from before the update; alpha stays in [exp(-20), exp(10)].
// Source: Haarnoja et al. 2018b, algorithm 1 and section 5 (automatic temperature). With a value expansion y is its
// target (learners/value_expansion.h) and everything else the same.
//
// Gradients are written by hand (nn/ensemble_mlp.h, nn/squashed_gaussian.h); no autograd graph is built and nothing is
// copied to the host inside an update. Tests hold every one of them against PyTorch's autograd.
#ifndef REVERIE_LEARNERS_SAC_LEARNER_H_
#define REVERIE_LEARNERS_SAC_LEARNER_H_

#include <optional>
#include <vector>

#include "reverie/config/fields.h"
#include "reverie/core/metrics.h"
#include "reverie/core/repeated_work.h"
#include "reverie/core/state.h"
#include "reverie/data/mixed_sampler.h"
#include "reverie/learners/metric_means.h"
#include "reverie/learners/value_expansion.h"
#include "reverie/nn/ensemble_mlp.h"
#include "reverie/nn/parameters.h"
#include "reverie/nn/squashed_gaussian.h"
#include "reverie/policies/gaussian_actor.h"

namespace reverie {

struct SacConfig {
  std::vector<int64_t> hidden{256, 256};
  double learning_rate = 3e-4;
  double discount = 0.99;
  int64_t batch_size = 256;
  std::optional<double> target_entropy;
  double tau = 0.005;

  void Visit(Fields& fields);
};

class SacLearner {
 public:
  // expansion: where there is one, with the config's discount.
  SacLearner(const SacConfig& config, const TransitionLayout& layout, const Rng& rng, const torch::Device& device,
             std::optional<ValueExpansion> expansion = std::nullopt);

  // `updates` updates, each on a fresh batch. One copy to the host at the end, for the losses to be looked at: throws
  // std::runtime_error naming the first quantity that is not finite.
  void Update(MixedSampler& sampler, int64_t updates);

  // One update on a given batch and given noise [B, act_dim] for a' and a. An expansion draws the rest of its noise.
  void UpdateOn(const TransitionBatch& batch, const torch::Tensor& next_noise, const torch::Tensor& noise);

  GaussianActor& actor() { return actor_; }
  const GaussianActor& actor() const { return actor_; }

  int64_t updates() const { return updates_; }

  // Means since the last call: critic_loss, actor_loss, alpha_loss, alpha, entropy, q. One copy to the host; throws as
  // Update does. q_max is the largest |Q| of the last minibatch; far beyond what the rewards allow it is warned of.
  Metrics DrainMetrics();

  void VisitState(StateVisitor& state);

  // The three gradient computations of one update, apart so that tests can look between them. Each returns its loss, a
  // scalar tensor that the next update overwrites, and leaves the gradients in the parameters' block.
  torch::Tensor CriticGradients(const TransitionBatch& batch, const torch::Tensor& next_noise);
  torch::Tensor ActorGradients(const TransitionBatch& batch, const torch::Tensor& noise);
  torch::Tensor AlphaGradient();  // after ActorGradients, from its log-probabilities

  FlatParameters& critic_parameters() { return critic_parameters_; }
  FlatParameters& target_parameters() { return target_parameters_; }
  FlatParameters& alpha_parameters() { return log_alpha_; }
  const EnsembleMlp& critics() const { return critics_; }
  const EnsembleMlp& target_critics() const { return target_critics_; }

 private:
  // One update but for what is counted on the host.
  void Step(const TransitionBatch& batch, const torch::Tensor& next_noise, const torch::Tensor& noise);
  // After that many updates, the last of them on `batch`.
  void Count(const TransitionBatch& batch, int64_t updates);
  // Makes the workspace fit batches of that many rows.
  void Prepare(int64_t rows);
  // obs_action_ = [obs | the action just drawn]
  void JoinObsAction(const torch::Tensor& obs);
  // The largest |Q| of the last minibatch. Warns, once, where that is far beyond what rewards as large as any seen, and
  // that bonus at every step, could add up to.
  double LargestValue(double entropy_bonus);

  SacConfig config_;
  TransitionLayout layout_;
  std::optional<ValueExpansion> expansion_;
  double target_entropy_;
  GaussianActor actor_;
  FlatParameters critic_parameters_, target_parameters_, log_alpha_;
  EnsembleMlp critics_, target_critics_;  // two members: [s | a] -> Q
  Adam actor_adam_, critic_adam_, alpha_adam_;
  torch::Generator generator_;
  RepeatedWork update_;
  TransitionBatch batch_;
  torch::Tensor noise_;  // [2, B, act_dim]

  // Workspace of one update.
  EnsembleMlp::Tape actor_tape_, critic_tape_, target_tape_;
  SquashedSample sample_;
  torch::Tensor obs_action_;     // [B, obs_dim + act_dim]
  torch::Tensor q_grad_;         // [2, B, 1]
  torch::Tensor action_grad_;    // [2, B, act_dim], through each critic
  torch::Tensor head_grad_;      // [1, B, 2 act_dim]
  torch::Tensor log_prob_grad_;  // [] alpha / B
  int64_t workspaces_ = 0;       // made so far

  torch::Tensor losses_;  // the metrics of this update
  MetricMeans means_;
  torch::Tensor largest_reward_;  // [] in absolute value, of the minibatches so far
  bool warned_ = false;
  int64_t updates_ = 0;
};

}  // namespace reverie

#endif  // REVERIE_LEARNERS_SAC_LEARNER_H_
