// One network with a distribution over its weights, of which some are drawn at each fit: what dropout and Bayesian
// networks have in common.
//
// The hypotheses are the drawn networks, with Gaussian outputs (models/gaussian_networks.h); every target is in units
// of its deviation. One fit: as models/mixture_ensemble.h says, with one network that sees every training row in each
// epoch and, for what is judged on hold-out rows, the mixture of the hypotheses.
#ifndef REVERIE_MODELS_NETWORK_POSTERIOR_H_
#define REVERIE_MODELS_NETWORK_POSTERIOR_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "reverie/models/dynamics_model.h"
#include "reverie/models/gaussian_networks.h"
#include "reverie/models/holdout_config.h"
#include "reverie/models/model_spec.h"
#include "reverie/models/transition_codec.h"
#include "reverie/nn/ensemble_mlp.h"

namespace reverie {

struct FitRows;
struct MinibatchWork;
class MinibatchFit;

class NetworkPosterior : public DynamicsModel {
 public:
  ~NetworkPosterior() override;

  using DynamicsModel::Fit;
  std::optional<Metrics> Fit(const ReplayBuffer& data, const Rng& rng, const std::function<bool()>& stop) override;
  void Step(const torch::Tensor& obs, const torch::Tensor& action, const StepDraws& draws,
            ModelSample& next) const override {
    networks_.Step(obs, action, draws, next);
  }
  ModelStep Next(const torch::Tensor& obs, const torch::Tensor& action, const StepDraws& draws) const override {
    return networks_.Next(obs, action, draws);
  }
  int64_t noise_dim() const override { return networks_.noise_dim(); }
  GaussianPrediction Predict(const torch::Tensor& obs, const torch::Tensor& action, Members) const override {
    return networks_.Predict(obs, action);
  }
  torch::Tensor DecodeObs(const torch::Tensor& target, const torch::Tensor& obs) const override {
    return codec_.DecodeObs(target, obs);
  }
  const torch::Tensor& target_std() const override { return codec_.standardizer().target_std(); }
  const torch::Tensor& hypotheses() const override { return hypotheses_; }
  const TransitionBatch& holdout() const override { return holdout_; }
  bool learns_reward() const override { return codec_.spec().learn_reward; }
  const GaussianNetworks* gaussian_networks() const override { return &networks_; }
  void Rehearse() override;  // a gradient step on a whole minibatch of zeros
  void VisitState(StateVisitor& state) override;

  // Sets N, the training rows.
  void SetTrainRows(int64_t rows) { train_rows_.fill_(static_cast<double>(rows)); }

 protected:
  struct Options {
    int64_t draws = 10;
    std::vector<int64_t> hidden;
    int64_t batch_size = 256;
    HoldoutConfig holdout;
    ModelTarget target = ModelTarget::kDelta;
  };

  // `stream` names the one that gradient steps draw from. The derived class ends its constructor with SetHypotheses().
  NetworkPosterior(const Options& options, std::string stream, const ModelSpec& spec, const Rng& rng,
                   const torch::Device& device);

  // Of `members` such networks: hidden layers with silu between.
  static MlpShape Shape(const std::vector<int64_t>& hidden, const ModelSpec& spec, int64_t members, int64_t outputs);

  // A gradient step on inputs [1, B, in] and targets [1, B, D], which draws from `generator`; returns its loss [].
  virtual torch::Tensor GradientStep(const torch::Tensor& inputs, const torch::Tensor& targets,
                                     torch::Generator& generator) = 0;
  // Fills draws() for the next fit.
  virtual void Redraw(torch::Generator& generator) = 0;
  // Gives networks() the weights that draws() stand for.
  virtual void SetHypotheses() = 0;
  // What is learned, of which the best epoch's are kept.
  virtual std::vector<torch::Tensor> Learned() const = 0;
  // What is added to a row's hold-out error, over all targets, where a fit is judged: nats [].
  virtual torch::Tensor Complexity() const { return torch::zeros_like(train_rows_); }
  // Gradient steps from now on after which hold-out errors count.
  virtual int64_t Unjudged() const { return 0; }
  // What else is worth logging of a fit.
  virtual void AddMetrics(Metrics& metrics) const = 0;
  // What is learned, and its optimisers.
  virtual void VisitLearned(StateVisitor& state) = 0;

  const TransitionCodec& codec() const { return codec_; }
  GaussianNetworks& networks() { return networks_; }
  const GaussianNetworks& networks() const { return networks_; }
  const torch::Tensor& train_rows() const { return train_rows_; }  // N []
  torch::Tensor& draws() { return draws_; }                        // [draws, numbers of a hypothesis]
  const torch::Tensor& draws() const { return draws_; }

 private:
  MinibatchWork WorkOn(const FitRows& rows);

  Options options_;
  std::string stream_;
  TransitionCodec codec_;
  GaussianNetworks networks_;
  torch::Generator generator_;  // of gradient steps; begun anew by each fit
  std::unique_ptr<MinibatchFit> fit_;
  torch::Tensor train_rows_, draws_, hypotheses_;
  TransitionBatch holdout_;
};

}  // namespace reverie

#endif  // REVERIE_MODELS_NETWORK_POSTERIOR_H_
