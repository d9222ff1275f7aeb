// A bootstrap ensemble of conditional generative models: for dynamics whose randomness has no simple shape.
//
//   member i, hypothesis h:  y = G_i(z, eps)        (models/conditional_generator.h)
//
// z and y are those of models/transition_codec.h, every target in units of its deviation; the hypotheses are all
// members. What is asked of moments (the measures of uncertainty, propagation ds and e) is answered by those of
// `moment_samples` draws of the same noise at every input, so that moments change smoothly with it. The noise comes in
// pairs of opposite sign and with the deviation 1: moments of a Gaussian are exact, others have the standard error of
// so many draws. A report card has them too, and sees the distribution as as many draws, of noise of each row's own,
// and its density, where the generator has one. Both cost `moment_samples` times a step.
//
// A fit is that of models/gaussian_ensemble.h, with the generator's own error on the hold-out rows: a member improved
// if it is 1 % below its best of this fit, or where it is in nats, 0.01 below. A target that does not vary is predicted
// exactly.
#ifndef REVERIE_MODELS_GENERATIVE_ENSEMBLE_H_
#define REVERIE_MODELS_GENERATIVE_ENSEMBLE_H_

#include <memory>
#include <optional>
#include <string>

#include "reverie/config/fields.h"
#include "reverie/models/conditional_generator.h"
#include "reverie/models/dynamics_model.h"
#include "reverie/models/holdout_config.h"
#include "reverie/models/model_spec.h"
#include "reverie/models/transition_codec.h"

namespace reverie {

// The keys that all of them have.
struct GenerativeEnsembleConfig {
  int64_t members = 3;
  double learning_rate = 1e-3;
  int64_t batch_size = 256;
  int64_t moment_samples = 32;
  HoldoutConfig holdout;
  ModelTarget target = ModelTarget::kDelta;

  void Visit(Fields& fields);

  std::string LacksOf(int64_t rows) const { return holdout.LacksOf(rows); }
  ModelCard Card() const;
};

struct FitRows;
struct MinibatchWork;
class MinibatchFit;

class GenerativeEnsemble : public DynamicsModel {
 public:
  // `generator` is for the codec's input_dim() and target_dim() and for config.members.
  GenerativeEnsemble(const GenerativeEnsembleConfig& config, const ModelSpec& spec, const Rng& rng,
                     const torch::Device& device, std::unique_ptr<ConditionalGenerator> generator);
  ~GenerativeEnsemble() override;

  using DynamicsModel::Fit;
  std::optional<Metrics> Fit(const ReplayBuffer& data, const Rng& rng, const std::function<bool()>& stop) override;
  void Step(const torch::Tensor& obs, const torch::Tensor& action, const StepDraws& draws,
            ModelSample& next) const override;
  ModelStep Next(const torch::Tensor& obs, const torch::Tensor& action, const StepDraws& draws) const override;
  int64_t noise_dim() const override { return generator_->noise_dim(); }
  GaussianPrediction Predict(const torch::Tensor& obs, const torch::Tensor& action, Members members) const override;
  bool is_gaussian() const override { return false; }
  bool has_mixture() const override { return false; }
  MixturePrediction PredictMixture(const torch::Tensor& obs, const torch::Tensor& action) const override;
  std::optional<torch::Tensor> LogDensity(const TransitionBatch& rows) const override;
  bool density_is_bound() const override { return generator_->density_is_bound(); }
  torch::Tensor DecodeObs(const torch::Tensor& target, const torch::Tensor& obs) const override {
    return codec_.DecodeObs(target, obs);
  }
  const torch::Tensor& target_std() const override { return codec_.standardizer().target_std(); }
  const torch::Tensor& hypotheses() const override { return hypotheses_; }
  const TransitionBatch& holdout() const override { return holdout_; }
  bool learns_reward() const override { return codec_.spec().learn_reward; }
  void Rehearse() override;  // a gradient step on a whole minibatch of zeros
  void VisitState(StateVisitor& state) override;

  const ConditionalGenerator& generator() const { return *generator_; }

 private:
  MinibatchWork WorkOn(const FitRows& rows, const Rng& rng);

  GenerativeEnsembleConfig config_;
  TransitionCodec codec_;
  std::unique_ptr<ConditionalGenerator> generator_;
  torch::Generator random_;  // of the gradient steps; begun anew by each fit
  std::unique_ptr<MinibatchFit> fit_;
  torch::Tensor moment_noise_;  // [K, noise_dim]
  torch::Tensor hypotheses_;
  TransitionBatch holdout_;
};

}  // namespace reverie

#endif  // REVERIE_MODELS_GENERATIVE_ENSEMBLE_H_
