#include "sac_losses.h"

#include "core/gpu.h"
#include "sac_losses_cuda.h"
#include "sac_losses_math.h"

namespace reverie {

void CriticLoss(const TransitionBatch& batch, const torch::Tensor& q, const torch::Tensor& next_q,
                const torch::Tensor& next_log_prob, const torch::Tensor& alpha, double discount, torch::Tensor& q_grad,
                torch::Tensor& loss, torch::Tensor& q_mean) {
  const cuda::CriticLossArguments a{
      .transitions = batch.rows.data_ptr<float>() + 2 * batch.layout.obs_dim + batch.layout.act_dim,
      .stride = batch.rows.stride(0),
      .q = q.data_ptr<float>(),
      .next_q = next_q.data_ptr<float>(),
      .next_log_prob = next_log_prob.data_ptr<float>(),
      .alpha = alpha.data_ptr<float>(),
      .q_grad = q_grad.data_ptr<float>(),
      .loss = loss.data_ptr<float>(),
      .q_mean = q_mean.data_ptr<float>(),
      .rows = batch.size(),
      .discount = static_cast<float>(discount)};
  if (!q.is_cpu()) {
    OnGpu(q, [&](auto stream) { cuda::CriticLoss(a, stream); });
    return;
  }
  double loss_sum = 0;
  double q_sum = 0;
  for (int64_t i = 0; i < a.rows; ++i) {
    const float* row = a.transitions + i * a.stride;
    const float q1 = a.q[i];
    const float q2 = a.q[a.rows + i];
    const CriticTerms terms = CriticTermsOf({.reward = row[0],
                                             .terminated = row[1],
                                             .log_weight = row[3],
                                             .q1 = q1,
                                             .q2 = q2,
                                             .next_q1 = a.next_q[i],
                                             .next_q2 = a.next_q[a.rows + i],
                                             .next_log_prob = a.next_log_prob[i]},
                                            *a.alpha, a.discount, static_cast<float>(a.rows));
    a.q_grad[i] = terms.grad1;
    a.q_grad[a.rows + i] = terms.grad2;
    loss_sum += static_cast<double>(terms.loss);
    q_sum += static_cast<double>(q1 + q2);
  }
  *a.loss = static_cast<float>(0.5 * loss_sum);
  *a.q_mean = static_cast<float>(q_sum / static_cast<double>(2 * a.rows));
}

void CriticLossTowards(const TransitionBatch& batch, const torch::Tensor& q, const torch::Tensor& y,
                       torch::Tensor& q_grad, torch::Tensor& loss, torch::Tensor& q_mean) {
  const torch::Tensor error = q.squeeze(2) - y;  // [2, B]
  const torch::Tensor grad = error * batch.log_weight().exp() / batch.size();
  q_grad.copy_(grad.unsqueeze(2));
  loss.copy_(0.5 * (grad * error).sum());
  q_mean.copy_(q.mean());
}

void ActorLoss(const torch::Tensor& q, const torch::Tensor& log_prob, const torch::Tensor& alpha, torch::Tensor& q_grad,
               torch::Tensor& log_prob_grad, torch::Tensor& loss, torch::Tensor& entropy) {
  const cuda::ActorLossArguments a{.q = q.data_ptr<float>(),
                                   .log_prob = log_prob.data_ptr<float>(),
                                   .alpha = alpha.data_ptr<float>(),
                                   .q_grad = q_grad.data_ptr<float>(),
                                   .log_prob_grad = log_prob_grad.data_ptr<float>(),
                                   .loss = loss.data_ptr<float>(),
                                   .entropy = entropy.data_ptr<float>(),
                                   .rows = q.size(1)};
  if (!q.is_cpu()) {
    OnGpu(q, [&](auto stream) { cuda::ActorLoss(a, stream); });
    return;
  }
  const auto count = static_cast<double>(a.rows);
  const auto share = static_cast<float>(-1 / count);
  double min_q_sum = 0;
  double log_prob_sum = 0;
  for (int64_t i = 0; i < a.rows; ++i) {
    const ActorTerms terms = ActorTermsOf(a.q[i], a.q[a.rows + i], share);
    a.q_grad[i] = terms.grad1;
    a.q_grad[a.rows + i] = terms.grad2;
    min_q_sum += static_cast<double>(terms.min_q);
    log_prob_sum += static_cast<double>(a.log_prob[i]);
  }
  const auto temperature = static_cast<double>(*a.alpha);
  *a.log_prob_grad = static_cast<float>(temperature / count);
  *a.entropy = static_cast<float>(-log_prob_sum / count);
  *a.loss = static_cast<float>((temperature * log_prob_sum - min_q_sum) / count);
}

void AlphaLoss(const torch::Tensor& log_alpha, const torch::Tensor& entropy, double target_entropy, torch::Tensor& grad,
               torch::Tensor& loss) {
  const float* log_alpha_value = log_alpha.data_ptr<float>();
  const float* entropy_value = entropy.data_ptr<float>();
  float* grad_value = grad.data_ptr<float>();
  float* loss_value = loss.data_ptr<float>();
  if (!log_alpha.is_cpu()) {
    OnGpu(log_alpha, [&](auto stream) {
      cuda::AlphaLoss(log_alpha_value, entropy_value, target_entropy, grad_value, loss_value, stream);
    });
    return;
  }
  const auto excess = static_cast<float>(static_cast<double>(*entropy_value) - target_entropy);
  *grad_value = excess;
  *loss_value = *log_alpha_value * excess;
}

}  // namespace reverie
