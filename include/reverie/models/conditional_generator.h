// A generative model of targets y given inputs z: how to draw y, and perhaps how likely one is.
//
//   y = G(z, eps)        eps standard normal, noise_dim() numbers
//
// E of them are trained side by side, as an ensemble's members. z [E, R, in] and y [E, R, D] are in the units of
// models/transition_codec.h, and y is 0 where a target does not vary over the training rows.
#ifndef REVERIE_MODELS_CONDITIONAL_GENERATOR_H_
#define REVERIE_MODELS_CONDITIONAL_GENERATOR_H_

#include <optional>
#include <vector>

#include "reverie/core/metrics.h"
#include "reverie/core/rng.h"
#include "reverie/core/state.h"
#include "reverie/core/tensor.h"

namespace reverie {

class ConditionalGenerator {
 public:
  virtual ~ConditionalGenerator() = default;
  ConditionalGenerator() = default;
  ConditionalGenerator(const ConditionalGenerator&) = delete;
  ConditionalGenerator& operator=(const ConditionalGenerator&) = delete;

  virtual int64_t noise_dim() const = 0;

  // Before a fit's first gradient step.
  virtual void BeginFit() {}

  // A gradient step of all members on their own rows. Draws from `generator`. Returns the sum of their losses [].
  virtual torch::Tensor Step(const torch::Tensor& z, const torch::Tensor& y, torch::Generator& generator) = 0;

  // What a fit is judged by: [E], of z [N, in] and y [N, D], less being better. Draws from `generator`, which is at the
  // same place each time.
  virtual torch::Tensor HoldoutError(const torch::Tensor& z, const torch::Tensor& y,
                                     torch::Generator& generator) const = 0;
  // In nats a varying target, of which differences count; else a number with a scale.
  virtual bool error_is_logarithm() const { return true; }
  // Gradient steps, from now on, in which a fit does not end however long that has not improved.
  virtual int64_t WarmUp() const { return 0; }

  // G: z [E, R, in], noise [E, R, noise_dim] -> y [E, R, D], in the type of z. Differentiable in both.
  virtual torch::Tensor Sample(const torch::Tensor& z, const torch::Tensor& noise) const = 0;

  // log p(y | z) of all varying targets together, [E, N], of z [N, in] and y [N, D] -> nats in the units of y. Nothing
  // where there is no such number.
  virtual std::optional<torch::Tensor> LogDensity(const torch::Tensor& /*z*/, const torch::Tensor& /*y*/) const {
    return std::nullopt;
  }
  virtual bool density_is_bound() const { return false; }  // that number is a lower bound

  // What else is worth logging of a fit on z [N, in] and y [N, D].
  virtual void AddMetrics(const torch::Tensor& /*z*/, const torch::Tensor& /*y*/, Metrics& /*metrics*/) const {}

  // 1 where a target varies over the training rows, else 0: [D], changed in place from fit to fit.
  virtual torch::Tensor& varying() = 0;

  // What a fit's best epoch is kept of: [E, n, m] each.
  virtual std::vector<torch::Tensor> parameters() const = 0;
  virtual double grad_norm() const = 0;  // of the last step

  virtual void VisitState(StateVisitor& state) = 0;
};

}  // namespace reverie

#endif  // REVERIE_MODELS_CONDITIONAL_GENERATOR_H_
