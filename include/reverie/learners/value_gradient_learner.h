// Policies learned by backpropagation through a model: stochastic value gradients over H imagined steps.
//
//   a_t = pi(s_t, eta_t);   s_{t+1}, r_t = f(s_t, a_t, h_t, xi_t)      t = 0 ... H - 1
//   m_0 = 1;   m_{t+1} = m_t (1 - [s_{t+1} ends the task])             g: the discount
//   b_t = -alpha log pi(a_t | s_t)
//   actor   : -mean [ sum_{t < K} g^t m_t (r_t + b_t) + g^K m_K (mean_i Q_i(s_K, a_K) + b_K) ]
//   alpha   : alpha (entropy of pi at s_0 - target_entropy), the entropy detached
//   critics : sum_i mean (Q_i(s, a) - y)^2, by critic_target
//     expansion   at (s_0, a_0): y = sum_{t < H} g^t m_t (r_t + [t > 0] b_t) + g^H m_H (min Q'(s_H, a_H) + b_H)
//     td          at a real row (s, a, r, s'): y = r + g (1 - terminated) (min Q'(s', a') - alpha log pi(a' | s')),
//                 a' ~ pi(s')
//
// An update is that of the critics, then, through the critics just updated and with dropout, that of actor and alpha,
// from one imagined trajectory a row. K is the actor's horizon, H unless the config says less. With K = 0 the actor's
// loss is SAC's, but for the mean over critics. A row whose imagined step is not finite ends before it.
//
// The switches:
//   policy         gaussian: a = tanh(mean + std eta); deterministic: a = tanh(mean), with neither entropy nor alpha
//   noise          sampled: eta_t, xi_t ~ N(0, I). inferred, with H = 1: those that would have made the real row from
//                  its s under the present policy and the row's hypothesis of the model, both held constant:
//                    eta_0 = (atanh a - mean(s)) / std(s),   xi_0 = (target - mean_h(s, a)) / std_h(s, a),
//                  so that s_1, r_0 and m_1 are the row's own, and policy and model give derivatives alone. A model
//                  without noise adds to its prediction what is missing to s_1
//   entropy        all: as above; first: b_t = 0 for t > 0 in the actor's loss (MAAC); none: alpha = 0
//   terminal_value critic: as above; none: the actor's loss ends with the last reward, and there are no critics
//
// Sources: SVG(0), SVG(1): Heess et al. 2015. SAC-SVG(H) (td, all): Amos et al. 2021. MAAC: Clavera et al. 2020. The
// expansion: Feinberg et al. 2018. DHMBPO (expansion, all): the published code (Kubo et al., TMLR 2025).
//
// Not supported: importance weights of old rows, as the densities that they were drawn with are not stored, so that
// inferred noise is of the actions in the buffer, not of the policy's own; inferred noise along more than one step.
// Everything is on autograd. Cost of an update: H steps of the model and H + 1 of the actor, forwards and backwards.
#ifndef REVERIE_LEARNERS_VALUE_GRADIENT_LEARNER_H_
#define REVERIE_LEARNERS_VALUE_GRADIENT_LEARNER_H_

#include <functional>
#include <optional>
#include <vector>

#include "reverie/core/metrics.h"
#include "reverie/core/repeated_work.h"
#include "reverie/core/state.h"
#include "reverie/learners/metric_means.h"
#include "reverie/learners/value_critics.h"
#include "reverie/learners/value_gradient_config.h"
#include "reverie/models/imagine.h"
#include "reverie/models/model_env.h"
#include "reverie/policies/gaussian_actor.h"

namespace reverie {

class ValueGradientLearner {
 public:
  // options: a device, or float64 on one for gradients to be checked.
  ValueGradientLearner(const ValueGradientConfig& config, const TransitionLayout& layout, const Rng& rng,
                       const torch::TensorOptions& options);

  // Writes what an update starts from, batch_size rows drawn with that generator: real transitions, or where neither
  // the critics' targets nor the noise are theirs, the columns of obs alone.
  using DrawStarts = std::function<void(TransitionBatch& rows, torch::Generator& generator)>;

  // `updates` updates of critics, actor and alpha, or of the critics alone, which have to be there. `model_env` may be
  // null where the horizon is 0. Their losses are copied to the host at the end, to be looked at: throws
  // std::runtime_error naming the first quantity that is not finite.
  void Update(const DrawStarts& starts, const ModelEnv* model_env, int64_t updates);
  void UpdateCritics(const DrawStarts& starts, const ModelEnv* model_env, int64_t updates);

  // What an update draws for B rows.
  struct Draws {
    std::vector<torch::Tensor> policy;  // eta_t: H + 1 of [B, act_dim]
    std::vector<StepDraws> model;       // h_t and xi_t: H
    torch::Tensor td;                   // of a' [B, act_dim]; undefined without such a target
  };
  // `model` may be null where the horizon is 0.
  Draws DrawNoise(const DynamicsModel* model, int64_t rows);
  // Puts the noise of real rows in the place of what was drawn for their step.
  void InferNoise(const TransitionBatch& real, const DynamicsModel& model, Draws& draws) const;

  // B trajectories under the policy, in the caller's gradient mode.
  struct Trajectories {
    Imagined steps;                // H + 1 actions, the last one at the last state
    torch::Tensor reward;          // [H, B]
    torch::Tensor log_prob;        // [H + 1, B]
    torch::Tensor discount_alive;  // [H + 1, B] g^t m_t
  };
  // From start [B, obs_dim]. `real`: rows whose obs `start` is, along which the one step goes (ModelEnv::NextAlong).
  Trajectories Roll(const torch::Tensor& start, const ModelEnv* model_env, const Draws& draws,
                    const TransitionBatch* real = nullptr) const;

  // y [B] of the expansion, without gradients.
  torch::Tensor CriticTarget(const Trajectories& trajectories);
  // y [B] of real rows, for the noise of a' [B, act_dim], without gradients.
  torch::Tensor TdTarget(const TransitionBatch& real, const torch::Tensor& noise);
  // [], of the actor, with dropout in the critics where there is a generator.
  torch::Tensor ActorLoss(const Trajectories& trajectories, torch::Generator* dropout) const;

  // For networks that see observations in other units from now on, and optimisers that have seen nothing: rows [N,
  // obs_dim].
  void FitNormalizer(const torch::Tensor& rows) { normalizer_.Fit(rows); }
  void ResetOptimizers();

  GaussianActor& actor() { return actor_; }
  const GaussianActor& actor() const { return actor_; }
  ValueCritics& critics() { return critics_.value(); }
  int64_t updates() const { return updates_; }  // of the actor

  // Means since the last call, those of the actor over the updates that had one. alpha is 0 without an entropy in the
  // losses. entropy is -log pi of the first actions: of the rows' own, where noise is inferred; 0 of a deterministic
  // policy.
  Metrics DrainMetrics();

  void VisitState(StateVisitor& state);

 private:
  void Step(const DrawStarts& starts, const ModelEnv* model_env, bool actor_too);
  void StepCritics(const Trajectories& trajectories, const Draws& draws);
  void StepActor(const Trajectories& trajectories);
  torch::Tensor Alpha() const { return torch::exp(log_alpha_.values().detach()[0]); }
  // b of log-probabilities.
  torch::Tensor EntropyBonus(const torch::Tensor& log_prob) const;

  ValueGradientConfig config_;
  TransitionLayout layout_;
  double target_entropy_;
  Normalizer normalizer_;
  GaussianActor actor_;
  FlatParameters log_alpha_;
  torch::Tensor log_alpha_leaf_;
  std::optional<ValueCritics> critics_;
  Adam actor_adam_, alpha_adam_;
  torch::Tensor discounts_;  // [H + 1, 1] g^t
  torch::Generator generator_;
  RepeatedWork update_, critic_update_;
  TransitionBatch starts_;  // batch_size rows
  MetricMeans critic_means_, actor_means_;
  int64_t updates_ = 0, critic_updates_ = 0;
};

}  // namespace reverie

#endif  // REVERIE_LEARNERS_VALUE_GRADIENT_LEARNER_H_
