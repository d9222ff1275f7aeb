// Gaussian processes, one for each target, whose hypotheses are functions drawn from their posterior.
//
//   y_d = f_d(z) + s_d eps_d        f_d ~ GP given the rows (models/gp_regression.h), d = 1 ... D targets
//   hypothesis h: f_1h ... f_Dh     one draw of each, as a function: what it says at one point agrees with what it says
//                                   at others, so that along a trajectory its errors do not average out
//
// z and y are those of models/transition_codec.h, every target in units of its deviation. All is float64 inside. Each
// target has lengths, signal and noise of its own, found by maximising the likelihood of the rows, from those of the
// last fit and from `restarts` others: lengths 1, signal 1, noise 0.1, the lengths times e^U(-1, 1).
//
// Up to `exact_rows` rows the processes are exact. Beyond, `inducing` rows stand for all of them (SGPR). While a
// target's parameters are sought they are its own, and the bound is that of at most 5 exact_rows random rows; the draws
// are then given all rows by points that all targets share, chosen among as many random rows for the geometric mean of
// their lengths. Nothing is held out: the likelihood itself keeps a process from fitting noise.
//
// Cost of a fit: D (1 + restarts) likelihoods of up to 1.25 `iterations`, each exact_rows^3 or n inducing^2. Of a step:
// D (n + features) exponentials and cosines a row. On a GPU all rows that an exact process may have are computed with,
// as captured work reads tensors of one size. For autograd as many numbers a row are kept as are computed.
//
// Not supported: targets that depend on each other given the input; export within a planner.
#ifndef REVERIE_MODELS_GAUSSIAN_PROCESS_H_
#define REVERIE_MODELS_GAUSSIAN_PROCESS_H_

#include <optional>
#include <string>

#include "reverie/config/fields.h"
#include "reverie/models/dynamics_model.h"
#include "reverie/models/gp_regression.h"
#include "reverie/models/model_spec.h"
#include "reverie/models/transition_codec.h"

namespace reverie {

struct GaussianProcessConfig {
  int64_t draws = 10;
  int64_t exact_rows = 2000;
  int64_t inducing = 300;
  int64_t features = 1024;
  int64_t iterations = 40;
  int64_t restarts = 1;
  ModelTarget target = ModelTarget::kDelta;

  void Visit(Fields& fields);

  // What a first fit to so many rows lacks, or "": for Fields::Check.
  std::string LacksOf(int64_t rows) const;
  ModelCard Card() const;
};

class GaussianProcess final : public DynamicsModel {
 public:
  GaussianProcess(const GaussianProcessConfig& config, const ModelSpec& spec, const Rng& rng,
                  const torch::Device& device);

  using DynamicsModel::Fit;
  std::optional<Metrics> Fit(const ReplayBuffer& data, const Rng& rng, const std::function<bool()>& stop) override;
  void Step(const torch::Tensor& obs, const torch::Tensor& action, const StepDraws& draws,
            ModelSample& next) const override;
  ModelStep Next(const torch::Tensor& obs, const torch::Tensor& action, const StepDraws& draws) const override;
  int64_t noise_dim() const override { return codec_.target_dim(); }
  GaussianPrediction Predict(const torch::Tensor& obs, const torch::Tensor& action, Members members) const override;
  torch::Tensor DecodeObs(const torch::Tensor& target, const torch::Tensor& obs) const override {
    return codec_.DecodeObs(target, obs);
  }
  const torch::Tensor& target_std() const override { return codec_.standardizer().target_std(); }
  const torch::Tensor& hypotheses() const override { return hypotheses_; }
  const TransitionBatch& holdout() const override { return no_rows_; }
  bool learns_reward() const override { return codec_.spec().learn_reward; }
  void Rehearse() override;  // a likelihood of some hundred rows of zeros
  void VisitState(StateVisitor& state) override;

  const torch::Tensor& theta() const { return theta_; }  // [D, in + 2]

 private:
  // The draws f_d at z, [M, R, D] in the targets' units: z [R, in] for all of them, or each its own, [M, R, in].
  torch::Tensor Functions(const torch::Tensor& z) const;
  torch::Tensor NoiseStd() const { return torch::exp(theta_.select(1, theta_.size(1) - 1)); }  // s [D]
  // Parameters of target d for rows z, y: the best of several fits. Nothing where `stop` said yes.
  std::optional<GpFit> FitTarget(const torch::Tensor& z, const torch::Tensor& y, int64_t d, torch::Generator& generator,
                                 const std::function<bool()>& stop) const;

  GaussianProcessConfig config_;
  TransitionCodec codec_;
  int64_t centres_used_ = 0;  // rows of centres_
  torch::Tensor centres_;     // C, [capacity, in]
  torch::Tensor theta_;
  FourierFeatures features_;
  torch::Tensor prior_weights_;  // w [D, F, M]
  torch::Tensor row_weights_;    // v [D, capacity, M]; 0 from centres_used_ on
  torch::Tensor hypotheses_;
  TransitionBatch no_rows_;
};

}  // namespace reverie

#endif  // REVERIE_MODELS_GAUSSIAN_PROCESS_H_
