// Targets of SAC's critics, expanded by H imagined steps under the current policy.
//
//   s_0 = s';   a_t ~ pi(s_t);   s_{t+1}, r_t = f(s_t, a_t)
//   m_0 = 1 - terminated;   m_{t+1} = m_t (1 - [s_{t+1} ends the task])
//   T_h = r + sum_{t < h} g^{t+1} m_t (r_t - alpha log pi_t) + g^{h+1} m_h (min_i Q'_i(s_h, a_h) - alpha log pi_h)
//   y   = sum_{h = 0 ... H} w_h T_h,   sum_h w_h = 1
//
// g is the discount, pi_t stands for pi(a_t|s_t). T_0 is SAC's own target. Each T_h is an estimate of the soft value
// r + g (1 - terminated) V(s'), in which the policy's entropy counts at every state, imagined ones included
// (Haarnoja et al. 2018b, equation 3). The weights:
//
//   last              w_H = 1                                  (MVE: Feinberg et al. 2018)
//   mean              w_h = 1 / (H + 1)
//   lambda            w_h = (1 - l) l^h for h < H, w_H = l^H   (TD(lambda): Sutton 1988)
//   inverse_variance  w_h ~ 1 / (var_h + 1e-8)                 (STEVE: Buckman et al. 2018)
//
// With the first three a hypothesis of the model is drawn for each row and step, as in branched rollouts. With
// inverse_variance every hypothesis j imagines a trajectory of its own and every critic i ends it, without the minimum:
// T_h and var_h are the mean and the variance (of the population) of all T_h^{ji}. All trajectories of a row get the
// same noise, so that the variance tells of what hypotheses and critics do not agree in.
//
// A step that is not finite expands no further: T_{h+1} = T_h from there on. Rewards and ends are those of ModelEnv.
// What a config does with the model's uncertainty (models/uncertainty_use.h) concerns rollouts and not these steps.
//
// Not supported: gradients; critics trained at the imagined states too (Feinberg et al.'s TD-k); a learned end.
#ifndef REVERIE_LEARNERS_VALUE_EXPANSION_H_
#define REVERIE_LEARNERS_VALUE_EXPANSION_H_

#include <string>
#include <utility>
#include <vector>

#include "reverie/config/fields.h"
#include "reverie/data/transitions.h"
#include "reverie/models/model_env.h"
#include "reverie/nn/ensemble_mlp.h"
#include "reverie/policies/gaussian_actor.h"

namespace reverie {

enum class ExpansionWeights { kLast, kMean, kLambda, kInverseVariance };
std::vector<std::pair<std::string, ExpansionWeights>> EnumNames(ExpansionWeights);

// The section `sac.expansion`.
struct ValueExpansionConfig {
  int64_t horizon = 0;  // 0: no expansion
  ExpansionWeights weights = ExpansionWeights::kLast;
  double lambda = 0.95;

  void Visit(Fields& fields);
};

class ValueExpansion {
 public:
  // Borrows model_env, which must outlive this. discount: g.
  ValueExpansion(const ValueExpansionConfig& config, const ModelEnv& model_env, double discount,
                 const torch::Device& device);

  // What is drawn for B rows.
  struct Draws {
    std::vector<torch::Tensor> policy;  // H + 1 of [B, act_dim], standard normal
    std::vector<StepDraws> model;       // H, of the rows of a step
  };
  // next_noise [B, act_dim]: what the action a_0 is drawn with. The rest comes from `generator`.
  Draws Draw(const torch::Tensor& next_noise, torch::Generator& generator) const;

  // y [B] float32 for the rows of `batch`. target_critics: two members, [s | a] -> Q'. alpha: [] float32. Without
  // gradients; nothing is copied to the host. Cost: H + 1 passes of policy and critics and H steps of the model, of B
  // rows, or of M B with inverse_variance and M hypotheses.
  torch::Tensor Target(const TransitionBatch& batch, const GaussianActor& actor, const EnsembleMlp& target_critics,
                       const torch::Tensor& alpha, const Draws& draws) const;

  // Its two halves. The estimates of every T_h, [H + 1, n, B]: n = 1, or with inverse_variance one for each of two
  // critics and M hypotheses.
  torch::Tensor Estimates(const TransitionBatch& batch, const GaussianActor& actor, const EnsembleMlp& target_critics,
                          const torch::Tensor& alpha, const Draws& draws) const;
  // y [B] of estimates [H + 1, n, B].
  torch::Tensor Combine(const torch::Tensor& estimates) const;

 private:
  bool by_variance() const { return config_.weights == ExpansionWeights::kInverseVariance; }
  // Trajectories that are imagined of each row.
  int64_t Trajectories() const { return by_variance() ? model_env_.model().hypotheses().size(0) : 1; }

  ValueExpansionConfig config_;
  const ModelEnv& model_env_;
  double discount_;
  torch::Tensor weights_;  // [H + 1, 1] w_h; undefined where they depend on the rows
};

}  // namespace reverie

#endif  // REVERIE_LEARNERS_VALUE_EXPANSION_H_
