// Transitions as the rows of a regression, and back.
//
//   input    z = (x - mean) / std,  x = [features(s); a]
//   target   [s' - s; r] or [s'; r]  = offset + scale y      r where the model learns it
//
// Networks see z and predict y; the units are models/standardizer.h's.
#ifndef REVERIE_MODELS_TRANSITION_CODEC_H_
#define REVERIE_MODELS_TRANSITION_CODEC_H_

#include <string>
#include <utility>
#include <vector>

#include "reverie/models/dynamics_model.h"
#include "reverie/models/model_spec.h"
#include "reverie/models/standardizer.h"

namespace reverie {

enum class ModelTarget {
  kDelta,    // next_obs - obs
  kNextObs,  // next_obs
};
std::vector<std::pair<std::string, ModelTarget>> EnumNames(ModelTarget);

class TransitionCodec {
 public:
  TransitionCodec(ModelSpec spec, ModelTarget target, const torch::Device& device);

  const ModelSpec& spec() const { return spec_; }
  int64_t input_dim() const { return standardizer_.input_mean().size(0); }
  int64_t target_dim() const { return spec_.target_dim(); }  // D
  bool adds_obs() const { return target_ == ModelTarget::kDelta; }
  const Standardizer& standardizer() const { return standardizer_; }

  torch::Tensor Seen(const torch::Tensor& obs, const torch::Tensor& action) const;     // x, [N, input_dim]
  torch::Tensor Inputs(const torch::Tensor& obs, const torch::Tensor& action) const {  // z
    return standardizer_.Inputs(Seen(obs, action));
  }
  torch::Tensor Targets(const TransitionBatch& rows) const;  // [N, D], in the task's units
  // The magnitudes of the targets' columns (data/column_statistics.h): a change has the rounding of what it is between.
  torch::Tensor Magnitudes(const TransitionBatch& rows, const torch::Tensor& targets) const;

  // Takes the units of inputs and of targets from the rows of a fit.
  void FitInputs(const torch::Tensor& seen) { standardizer_.FitInputs(seen); }
  void FitTargets(const torch::Tensor& targets, const torch::Tensor& magnitudes, PlainDeviations plain) {
    standardizer_.FitTargets(targets, magnitudes, plain);
  }

  // Both at once.
  void FitTo(const TransitionBatch& rows, PlainDeviations plain);

  // The observation that a target [..., B, D] stands for, at obs [B, obs_dim].
  torch::Tensor DecodeObs(const torch::Tensor& target, const torch::Tensor& obs) const;
  // A step, of targets [B, D].
  ModelStep Decode(const torch::Tensor& target, const torch::Tensor& obs) const;

  // `scales_all`: as Standardizer::VisitState.
  void VisitState(StateVisitor& state, bool scales_all) { standardizer_.VisitState(state, scales_all); }

 private:
  ModelSpec spec_;
  ModelTarget target_;
  Standardizer standardizer_;
};

}  // namespace reverie

#endif  // REVERIE_MODELS_TRANSITION_CODEC_H_
