#include "sac_losses.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

namespace reverie {

void CriticLoss(const TransitionBatch& batch, const torch::Tensor& q, const torch::Tensor& next_q,
                const torch::Tensor& next_log_prob, const torch::Tensor& alpha, double discount, torch::Tensor& q_grad,
                torch::Tensor& loss, torch::Tensor& q_mean) {
  const int64_t rows = batch.size();
  if (!q.is_cpu()) {
    const torch::Tensor next_value = at::minimum(next_q[0], next_q[1]).squeeze(1) - alpha * next_log_prob;
    const torch::Tensor target = batch.reward() + discount * (1 - batch.terminated()) * next_value;  // [B]
    const torch::Tensor error = q - target.unsqueeze(1);                                             // [2, B, 1]
    at::mul_out(q_grad, error, batch.log_weight().exp().unsqueeze(1) / static_cast<double>(rows));
    loss.copy_(0.5 * (q_grad * error).sum());
    q_mean.copy_(q.mean());
    return;
  }
  const float* row = batch.rows.data_ptr<float>();
  const int64_t stride = batch.rows.stride(0);
  const int64_t reward_at = 2 * batch.layout.obs_dim + batch.layout.act_dim;
  const float* q1 = q.data_ptr<float>();
  const float* q2 = q1 + rows;
  const float* next_q1 = next_q.data_ptr<float>();
  const float* next_q2 = next_q1 + rows;
  const float* log_prob = next_log_prob.data_ptr<float>();
  const float temperature = *alpha.data_ptr<float>();
  const auto gamma = static_cast<float>(discount);
  float* grad1 = q_grad.data_ptr<float>();
  float* grad2 = grad1 + rows;
  double loss_sum = 0;
  double q_sum = 0;
  for (int64_t i = 0; i < rows; ++i, row += stride) {
    const float reward = row[reward_at];
    const float terminated = row[reward_at + 1];
    const float weight = std::exp(row[reward_at + 3]) / static_cast<float>(rows);
    const float smaller = next_q2[i] < next_q1[i] ? next_q2[i] : next_q1[i];
    const float target = reward + gamma * (1.0F - terminated) * (smaller - temperature * log_prob[i]);
    const float error1 = q1[i] - target;
    const float error2 = q2[i] - target;
    grad1[i] = weight * error1;
    grad2[i] = weight * error2;
    loss_sum += static_cast<double>(weight * (error1 * error1 + error2 * error2));
    q_sum += static_cast<double>(q1[i] + q2[i]);
  }
  *loss.data_ptr<float>() = static_cast<float>(0.5 * loss_sum);
  *q_mean.data_ptr<float>() = static_cast<float>(q_sum / static_cast<double>(2 * rows));
}

void ActorLoss(const torch::Tensor& q, const torch::Tensor& log_prob, const torch::Tensor& alpha, torch::Tensor& q_grad,
               torch::Tensor& log_prob_grad, torch::Tensor& loss, torch::Tensor& entropy) {
  const int64_t rows = q.size(1);
  const auto count = static_cast<double>(rows);
  if (!q.is_cpu()) {
    const torch::Tensor first_is_min = (q[0] <= q[1]).to(q.scalar_type());
    q_grad[0].copy_(first_is_min / -count);
    q_grad[1].copy_((first_is_min - 1) / count);
    log_prob_grad.copy_(alpha / count);
    entropy.copy_(-log_prob.mean());
    loss.copy_(-alpha * entropy - at::minimum(q[0], q[1]).mean());
    return;
  }
  const float* q1 = q.data_ptr<float>();
  const float* q2 = q1 + rows;
  const float* log_probs = log_prob.data_ptr<float>();
  float* grad1 = q_grad.data_ptr<float>();
  float* grad2 = grad1 + rows;
  const auto share = static_cast<float>(-1 / count);
  double min_q_sum = 0;
  double log_prob_sum = 0;
  for (int64_t i = 0; i < rows; ++i) {
    const bool first_is_min = q1[i] <= q2[i];
    grad1[i] = first_is_min ? share : 0.0F;
    grad2[i] = first_is_min ? 0.0F : share;
    min_q_sum += static_cast<double>(first_is_min ? q1[i] : q2[i]);
    log_prob_sum += static_cast<double>(log_probs[i]);
  }
  const auto temperature = static_cast<double>(*alpha.data_ptr<float>());
  *log_prob_grad.data_ptr<float>() = static_cast<float>(temperature / count);
  *entropy.data_ptr<float>() = static_cast<float>(-log_prob_sum / count);
  *loss.data_ptr<float>() = static_cast<float>((temperature * log_prob_sum - min_q_sum) / count);
}

void AlphaLoss(const torch::Tensor& log_alpha, const torch::Tensor& entropy, double target_entropy, torch::Tensor& grad,
               torch::Tensor& loss) {
  if (!log_alpha.is_cpu()) {
    grad.copy_((entropy - target_entropy).view(1));
    loss.copy_(log_alpha[0] * grad[0]);
    return;
  }
  const auto excess = static_cast<float>(static_cast<double>(*entropy.data_ptr<float>()) - target_entropy);
  *grad.data_ptr<float>() = excess;
  *loss.data_ptr<float>() = *log_alpha.data_ptr<float>() * excess;
}

}  // namespace reverie
