// A network that learns to act as labels say, each as sure as its precision.
//
//   min_theta  1/N sum_i  1/2 (mu_theta(o_i) - y_i)^T P_i (mu_theta(o_i) - y_i) / p,     p = mean_i tr(P_i) / m
//
// With labels N(y, P^-1) and the pupil's action N(mu_theta(o), S) this is the part in theta of the mean divergence
// KL(pupil || labels); in S it is least for S^-1 = mean_i P_i (Levine et al. 2016, "End-to-end training", appendix A).
// p only makes a learning rate mean the same for every unit of P. mu_theta is tanh of a network of SiLUs. All rows are
// kept until they are forgotten, and a fit goes on from the weights of the last one with a new Adam; observations are
// seen in units of the rows of each fit, as the first may tell of one corner of the task alone.
#ifndef REVERIE_LEARNERS_REGRESSION_LEARNER_H_
#define REVERIE_LEARNERS_REGRESSION_LEARNER_H_

#include <cstdint>
#include <vector>

#include "reverie/config/fields.h"
#include "reverie/core/metrics.h"
#include "reverie/core/state.h"
#include "reverie/nn/parameters.h"
#include "reverie/policies/gaussian_actor.h"

namespace reverie {

struct RegressionConfig {
  std::vector<int64_t> hidden{64, 64};
  double learning_rate = 1e-3;
  int64_t batch_size = 64;
  int64_t updates = 1500;  // of a fit
  double weight_decay = 1e-4;

  void Visit(Fields& fields);
};

class RegressionLearner {
 public:
  RegressionLearner(const RegressionConfig& config, int64_t obs_dim, int64_t act_dim, const Rng& rng,
                    const torch::Device& device);

  // Labels rows: obs [B, obs_dim]; action y [B, m] in [-1, 1]; precision P [B, m, m], symmetric, or none for that of
  // equal weights.
  void Add(const torch::Tensor& obs, const torch::Tensor& action, const torch::Tensor& precision = {});
  // Forgets all of them; the network stays.
  void ForgetRows();
  int64_t rows() const;

  // `updates` steps of Adam, each on batch_size rows drawn with replacement, or on all where there are no more.
  // Metrics: loss (mean over the steps), rows. Throws std::runtime_error where the loss is not finite, std::logic_error
  // where there is no row.
  Metrics Fit();

  // Deterministic; its mean is mu_theta.
  const GaussianActor& actor() const { return actor_; }
  GaussianActor& actor() { return actor_; }
  // S^-1 of the rows, [m, m] float64 on the CPU.
  torch::Tensor precision();

  void VisitState(StateVisitor& state);

 private:
  // Has all rows in rows_: one copy for all that were added since.
  void Gather();

  RegressionConfig config_;
  int64_t obs_dim_, act_dim_;
  torch::Generator generator_;
  Normalizer normalizer_;
  GaussianActor actor_;
  Adam adam_;
  torch::Tensor rows_;                // [N, obs_dim + m + m^2] on the device: o, y, P
  std::vector<torch::Tensor> added_;  // since they were gathered, likewise
};

}  // namespace reverie

#endif  // REVERIE_LEARNERS_REGRESSION_LEARNER_H_
