// Policies learned by backpropagation through a model: stochastic value gradients over H imagined steps.
//
//   a_t = pi(s_t, eta_t);   s_{t+1}, r_t = f(s_t, a_t, h_t, eps_t)     t = 0 ... H - 1, eta_t, eps_t ~ N(0, I)
//   m_0 = 1;   m_{t+1} = m_t (1 - [s_{t+1} ends the task])             g: the discount
//   y     = sum_{t < H} g^t m_t (r_t - [t > 0] alpha log pi_t) + g^H m_H (min Q'(s_H, a_H) - alpha log pi_H)
//   critics : sum_i mean (Q_i(s_0, a_0) - y)^2
//   actor   : -mean [ sum_{t < H} g^t m_t (r_t - alpha log pi_t) + g^H m_H (mean_i Q_i(s_H, a_H) - alpha log pi_H) ]
//   alpha   : alpha (entropy of pi at s_0 - target_entropy), the entropy detached
//
// in this order, from one imagined trajectory a row: the critics' target is its value expansion (Feinberg et al. 2018),
// the actor's gradient goes through all of its steps (Heess et al. 2015; Amos et al. 2021), and through the critics
// just updated, with dropout. With H = 0 the actor's loss is SAC's, but for the mean over critics. A row whose imagined
// step is not finite ends before it.
//
// Everything is on autograd. Source of the whole: DHMBPO, the published code (Kubo et al., TMLR 2025).
#ifndef REVERIE_LEARNERS_VALUE_GRADIENT_LEARNER_H_
#define REVERIE_LEARNERS_VALUE_GRADIENT_LEARNER_H_

#include <functional>
#include <optional>
#include <vector>

#include "reverie/config/fields.h"
#include "reverie/core/metrics.h"
#include "reverie/core/repeated_work.h"
#include "reverie/core/state.h"
#include "reverie/learners/metric_means.h"
#include "reverie/learners/value_critics.h"
#include "reverie/models/imagine.h"
#include "reverie/models/model_env.h"
#include "reverie/policies/gaussian_actor.h"

namespace reverie {

struct ValueGradientConfig {
  std::vector<int64_t> hidden{256, 256, 256};
  int64_t horizon = 5;
  int64_t batch_size = 256;
  double learning_rate = 3e-4;
  double discount = 0.995;
  double initial_alpha = 0.1;
  std::optional<double> target_entropy;
  ValueCriticsConfig critics;

  void Visit(Fields& fields);
};

class ValueGradientLearner {
 public:
  // options: a device, or float64 on one for gradients to be checked.
  ValueGradientLearner(const ValueGradientConfig& config, const TransitionLayout& layout, const Rng& rng,
                       const torch::TensorOptions& options);

  // Writes start states [batch_size, obs_dim], drawn with that generator.
  using DrawStarts = std::function<void(torch::Tensor& obs, torch::Generator& generator)>;

  // `updates` updates of critics, actor and alpha, or of the critics alone. Their losses are copied to the host at the
  // end, to be looked at: throws std::runtime_error naming the first quantity that is not finite.
  void Update(const DrawStarts& starts, const ModelEnv& model_env, int64_t updates);
  void UpdateCritics(const DrawStarts& starts, const ModelEnv& model_env, int64_t updates);

  // What an update draws for B rows.
  struct Draws {
    std::vector<torch::Tensor> policy;  // H + 1 of [B, act_dim]
    std::vector<StepDraws> model;       // H
  };
  Draws DrawNoise(const DynamicsModel& model, int64_t rows);

  // B trajectories under the policy, in the caller's gradient mode.
  struct Trajectories {
    Imagined steps;                // H + 1 actions, the last one at the last state
    torch::Tensor reward;          // [H, B]
    torch::Tensor log_prob;        // [H + 1, B]
    torch::Tensor discount_alive;  // [H + 1, B] g^t m_t
  };
  Trajectories Roll(const torch::Tensor& start, const ModelEnv& model_env, const Draws& draws) const;

  // y [B], without gradients.
  torch::Tensor CriticTarget(const Trajectories& trajectories);
  // [], of the actor, with dropout in the critics where there is a generator.
  torch::Tensor ActorLoss(const Trajectories& trajectories, torch::Generator* dropout) const;

  // For networks that see observations in other units from now on, and optimisers that have seen nothing: rows [N,
  // obs_dim].
  void FitNormalizer(const torch::Tensor& rows) { normalizer_.Fit(rows); }
  void ResetOptimizers();

  GaussianActor& actor() { return actor_; }
  const GaussianActor& actor() const { return actor_; }
  ValueCritics& critics() { return critics_; }
  int64_t updates() const { return updates_; }  // of the actor

  // Means since the last call, those of the actor over the updates that had one.
  Metrics DrainMetrics();

  void VisitState(StateVisitor& state);

 private:
  void Step(const ModelEnv& model_env, bool actor_too);
  torch::Tensor Alpha() const { return torch::exp(log_alpha_.values().detach()[0]); }

  ValueGradientConfig config_;
  TransitionLayout layout_;
  double target_entropy_;
  Normalizer normalizer_;
  GaussianActor actor_;
  FlatParameters log_alpha_;
  torch::Tensor log_alpha_leaf_;
  ValueCritics critics_;
  Adam actor_adam_, alpha_adam_;
  torch::Tensor discounts_;  // [H + 1, 1] g^t
  torch::Generator generator_;
  RepeatedWork update_, critic_update_;
  torch::Tensor starts_;  // [batch_size, obs_dim]
  MetricMeans critic_means_, actor_means_;
  int64_t updates_ = 0, critic_updates_ = 0;
};

}  // namespace reverie

#endif  // REVERIE_LEARNERS_VALUE_GRADIENT_LEARNER_H_
