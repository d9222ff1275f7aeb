// The contract of a learned model of the dynamics: one step as a function.
//
//   y = f(s, a, h, eps)     target = D numbers: the change of the observation or the next observation itself, then the
//                           reward where the model learns it
//
// h, a hypothesis out of 0 ... M - 1, is one draw of everything about the dynamics that the model does not know, such
// as an elite of an ensemble. It holds for as long as the caller says: for a step, or along a trajectory. eps is
// standard normal noise, noise_dim() numbers a row, which stand for what is random in the dynamics themselves. Both are
// arguments, so that the same draws give the same step. Observations are the environment's own, actions in [-1, 1].
#ifndef REVERIE_MODELS_DYNAMICS_MODEL_H_
#define REVERIE_MODELS_DYNAMICS_MODEL_H_

#include <functional>
#include <optional>

#include "reverie/core/metrics.h"
#include "reverie/core/rng.h"
#include "reverie/core/state.h"
#include "reverie/core/tensor.h"
#include "reverie/data/replay_buffer.h"

namespace reverie {

// What is drawn for one step of B rows. The rows are dealt to the M hypotheses in consecutive shares of ceil(B / M), so
// that each hypothesis computes its own rows only and no count comes back to the host.
struct StepDraws {
  // [B] int64, a permutation: the order in which rows are dealt. Drawn anew for every step it makes each row's
  // hypothesis uniform. In order (0, 1, ...), where B is a multiple of M, each gets as many consecutive rows and keeps
  // them from step to step.
  torch::Tensor deal;
  // [M ceil(B / M), noise_dim] float32: row i is the noise of row deal[i]; those from B on are not looked at. Undefined
  // where noise_dim is 0.
  torch::Tensor noise;
};

// Rows that each of M hypotheses computes of B.
inline int64_t RowsPerHypothesis(int64_t rows, int64_t hypotheses) { return (rows + hypotheses - 1) / hypotheses; }

// x [B, n] as it is dealt, [M, ceil(B / M), n]: slot i of the M ceil(B / M) holds row deal[i mod B]. Differentiable.
inline torch::Tensor DealRows(const torch::Tensor& x, const torch::Tensor& deal, int64_t hypotheses) {
  const int64_t rows = x.size(0);
  const int64_t share = RowsPerHypothesis(rows, hypotheses);
  const torch::Tensor slots = torch::arange(hypotheses * share, deal.options()).remainder_(rows);
  return x.index_select(0, deal.index_select(0, slots)).view({hypotheses, share, -1});
}

// The rows again, [B, n], of what was computed of them, y [M, ceil(B / M), n]. Differentiable.
inline torch::Tensor CollectRows(const torch::Tensor& y, const torch::Tensor& deal) {
  const torch::Tensor slot_of_row =
      torch::empty_like(deal).index_copy_(0, deal, torch::arange(deal.size(0), deal.options()));
  return y.flatten(0, 1).index_select(0, slot_of_row);
}

// Which hypothesis each row is dealt to, [B] int64.
inline torch::Tensor HypothesisOfRows(const torch::Tensor& deal, int64_t hypotheses) {
  const int64_t share = RowsPerHypothesis(deal.size(0), hypotheses);
  return torch::empty_like(deal).index_copy_(0, deal, torch::arange(deal.size(0), deal.options()).div_(share, "floor"));
}

// Where B imagined transitions are written: tensors, or columns of packed rows.
struct ModelSample {
  torch::Tensor next_obs;    // [B, obs_dim]
  torch::Tensor reward;      // [B]; undefined where the model learns none
  torch::Tensor hypothesis;  // [B] int64: which one the row was dealt to
};

// One step of B rows.
struct ModelStep {
  torch::Tensor next_obs;  // [B, obs_dim]
  torch::Tensor reward;    // [B]; undefined where the model learns none

  void CopyTo(ModelSample& sample) const;
};

// Gaussians of M hypotheses, or of as many networks, at B points in units of the target: mean, var [M, B, D] float32.
struct GaussianPrediction {
  torch::Tensor mean;
  torch::Tensor var;
};

// The same of mixtures: C Gaussians for each of M hypotheses, mean, var [M, C, B, D], and the logarithms of their
// weights, [M, C, B], which sum to 1 over C.
struct MixturePrediction {
  torch::Tensor mean;
  torch::Tensor var;
  torch::Tensor log_weight;
};

// The mean and variance of each hypothesis' mixture.
GaussianPrediction MomentsOf(const MixturePrediction& mixture);

enum class Members {
  kElites,  // the hypotheses
  kAll,     // every trained network
};

// What a config says of the model that it makes.
struct ModelCard {
  int64_t hypotheses = 1;                       // M
  std::string hypotheses_key = "model.elites";  // that says so
  int64_t networks = 1;                         // that predict; the hypotheses are some of them
  bool has_variance = true;                     // its Gaussians have one; else what it predicts is not random
  bool variance_is_constant = false;            // one for all inputs
  bool has_holdout = true;                      // a fit holds rows out
  bool is_gaussian = true;                      // a step's target is mean + std eps
  bool has_derivatives = true;                  // a step's, by all that it takes
  bool is_exported = false;                     // within a planner
  bool is_coarse = false;                       // imagined steps without derivatives may be coarser than float32
};

class GaussianNetworks;

class DynamicsModel {
 public:
  virtual ~DynamicsModel() = default;
  DynamicsModel() = default;
  DynamicsModel(const DynamicsModel&) = delete;
  DynamicsModel& operator=(const DynamicsModel&) = delete;

  // Fits to all of `data`, going on from the last fit. `rng` is this fit's own stream. Returns what is worth logging.
  // `stop` is asked after every minibatch: where it says yes, the model is as before the fit and nothing is returned.
  // Throws std::runtime_error where a loss is not finite.
  virtual std::optional<Metrics> Fit(const ReplayBuffer& data, const Rng& rng, const std::function<bool()>& stop) = 0;
  Metrics Fit(const ReplayBuffer& data, const Rng& rng) {
    return Fit(data, rng, [] { return false; }).value();
  }

  // A piece of a fit, some milliseconds of it on made-up rows, to be timed. The model is of no use afterwards.
  virtual void Rehearse() = 0;

  // Says in the log what of its config has no effect on this machine.
  virtual void LogRemarks() const {}

  // f for every row: obs [B, obs_dim], action [B, act_dim] float32, both whole or columns of packed rows. Without
  // gradients.
  virtual void Step(const torch::Tensor& obs, const torch::Tensor& action, const StepDraws& draws,
                    ModelSample& next) const = 0;

  // The same for autograd, which differentiates it in obs, action and the noise in the caller's gradient mode: Step's
  // plain twin, in the type of `action`, float32 or float64.
  virtual ModelStep Next(const torch::Tensor& obs, const torch::Tensor& action, const StepDraws& draws) const = 0;

  // Numbers of noise that a row's step takes; 0 where its Gaussians have no variance.
  virtual int64_t noise_dim() const = 0;

  // The mean and variance of f's target over the noise, at (obs, action), of every hypothesis or of every network.
  // Differentiable in both unless the caller holds a NoGradGuard.
  virtual GaussianPrediction Predict(const torch::Tensor& obs, const torch::Tensor& action, Members members) const = 0;

  // Whether f's target has that mean and variance and is normal: what is drawn of Predict is then a step. Else only
  // Step and Next draw steps, and what goes on from the moments (propagation ds and e, MeanNextObs) may go where no
  // step leads.
  virtual bool is_gaussian() const { return true; }

  // Whether PredictMixture is the distribution of f's target, and Predict has its moments; else they are of some draws.
  virtual bool has_mixture() const { return true; }

  // The distribution of f's target of every hypothesis: Predict's Gaussians, one each, where is_gaussian. Of a model
  // that draws steps and cannot say more, some draws, as components without variance.
  virtual MixturePrediction PredictMixture(const torch::Tensor& obs, const torch::Tensor& action) const;

  // log p of the rows' targets that vary, all of a row together, given their observations and actions: [M, N], in nats
  // and the task's units. Nothing where PredictMixture is the distribution, or where there is no such number.
  virtual std::optional<torch::Tensor> LogDensity(const TransitionBatch& /*rows*/) const { return std::nullopt; }
  virtual bool density_is_bound() const { return false; }  // that number is a lower bound

  // The observation that a target [..., B, D] stands for, at obs [B, obs_dim].
  virtual torch::Tensor DecodeObs(const torch::Tensor& target, const torch::Tensor& obs) const = 0;

  // Standard deviation of the training targets, [D]: puts their dimensions on one scale. 0 where a target did not vary,
  // which is then predicted exactly, with variance 0.
  virtual const torch::Tensor& target_std() const = 0;

  // Which of all networks each hypothesis is, [M] int64, on the model's device.
  virtual const torch::Tensor& hypotheses() const = 0;

  // The rows that the last fit held out.
  virtual const TransitionBatch& holdout() const = 0;

  virtual bool learns_reward() const = 0;

  // The networks that all its predictions are those of, to be written elsewhere; null where there are none such.
  virtual const GaussianNetworks* gaussian_networks() const { return nullptr; }

  virtual void VisitState(StateVisitor& state) = 0;
};

// Draws for a step of so many rows: noise from `generator`, rows dealt as `deal` says.
inline StepDraws DrawNoise(const DynamicsModel& model, const torch::Tensor& deal, torch::Generator& generator) {
  if (model.noise_dim() == 0) {
    return {.deal = deal, .noise = {}};
  }
  const int64_t hypotheses = model.hypotheses().size(0);
  const int64_t slots = hypotheses * RowsPerHypothesis(deal.size(0), hypotheses);
  return {.deal = deal,
          .noise =
              torch::empty({slots, model.noise_dim()}, deal.options().dtype(torch::kFloat32)).normal_(0, 1, generator)};
}

// Draws by which a step of a Gaussian model is its hypothesis' mean: without noise, rows dealt in order, ceil(B / M) to
// each hypothesis.
inline StepDraws MeanDraws(const DynamicsModel& model, int64_t rows) {
  const int64_t hypotheses = model.hypotheses().size(0);
  const int64_t slots = hypotheses * RowsPerHypothesis(rows, hypotheses);
  const auto options = model.hypotheses().options();
  return {.deal = torch::arange(rows, options),
          .noise = model.noise_dim() == 0 ? torch::Tensor()
                                          : torch::zeros({slots, model.noise_dim()}, options.dtype(torch::kFloat32))};
}

// Draws for a step of so many rows, each being dealt to a hypothesis at random.
inline StepDraws DrawStep(const DynamicsModel& model, int64_t rows, torch::Generator& generator) {
  const torch::Tensor deal = torch::randperm(rows, generator, model.hypotheses().options());
  return DrawNoise(model, deal, generator);
}

// The hypotheses' part of what `members` predicted.
inline GaussianPrediction OfHypotheses(const DynamicsModel& model, const GaussianPrediction& prediction,
                                       Members members) {
  if (members == Members::kElites) {
    return prediction;
  }
  return {.mean = prediction.mean.index_select(0, model.hypotheses()),
          .var = prediction.var.index_select(0, model.hypotheses())};
}

}  // namespace reverie

#endif  // REVERIE_MODELS_DYNAMICS_MODEL_H_
