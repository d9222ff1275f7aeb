// What is modelled of an environment.
#ifndef REVERIE_MODELS_MODEL_SPEC_H_
#define REVERIE_MODELS_MODEL_SPEC_H_

#include "reverie/data/transitions.h"
#include "reverie/env/task_functions.h"

namespace reverie {

struct ModelSpec {
  TransitionLayout layout;
  bool learn_reward = false;
  TaskFunctions::Features features;  // what the networks see of an observation; empty: all of it

  // Numbers in a target: an observation, then the reward where it is learned.
  int64_t target_dim() const { return layout.obs_dim + (learn_reward ? 1 : 0); }
  // Numbers in an input: what is seen of an observation, and the action.
  int64_t input_dim() const { return feature_dim() + layout.act_dim; }
  // What the networks see of obs [B, obs_dim], [B, feature_dim].
  torch::Tensor Features(const torch::Tensor& obs) const { return features ? features(obs) : obs; }
  int64_t feature_dim() const {
    return features ? features(torch::zeros({1, layout.obs_dim})).size(1) : layout.obs_dim;
  }
};

}  // namespace reverie

#endif  // REVERIE_MODELS_MODEL_SPEC_H_
