// Dynamics models by name, and the `model` section of a config.
#ifndef REVERIE_MODELS_REGISTRY_H_
#define REVERIE_MODELS_REGISTRY_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "reverie/config/choice.h"
#include "reverie/config/fields.h"
#include "reverie/models/dynamics_model.h"
#include "reverie/models/gaussian_ensemble.h"
#include "reverie/models/model_env.h"

namespace reverie {

// One kind of model with one set of keys: reads them, then makes models.
struct ModelMaker {
  std::function<Fields()> options;  // borrows from this object
  // Empty where nothing is learned: the environment itself.
  std::function<std::unique_ptr<DynamicsModel>(const ModelSpec& spec, const Rng& rng, const torch::Device& device)>
      make;
  std::function<ModelCard()> card;
  std::function<std::string(int64_t rows)> lacks_of;  // what a first fit to so many rows lacks, or ""
};

// Every learned kind, an ensemble with those defaults. The table is in src/models/registry.cc.
std::vector<Kind<ModelMaker>> LearnedModels(const GaussianEnsembleConfig& ensemble);

// The names of those whose card says so by default, "a, b, c": for messages.
std::string LearnedModelsWith(const std::function<bool(const ModelCard&)>& property);

// What a `model` section says by default, as each paper has its own.
struct ModelDefaults {
  GaussianEnsembleConfig ensemble = {};
  std::string kind = "ensemble";
  int64_t retrain_every = 250;
  ModelReward reward = ModelReward::kAuto;
  // For an algorithm that can imagine with the environment itself, which is then a kind too.
  bool with_simulator = false;
  // Whether the algorithm rolls out after each fit: retrain_every is then read with the simulator too.
  bool rolls_out = false;
};

// The `model` section: a kind with its keys, when it is fitted, and where rewards come from. Copies share the kinds'
// keys.
struct ModelConfig {
  explicit ModelConfig(const ModelDefaults& defaults);

  bool may_be_simulator, rolls_out;
  Choice<ModelMaker> choice;
  int64_t retrain_every;
  ModelReward reward;

  void Visit(Fields& fields);

  bool learned() const { return static_cast<bool>(choice.maker().make); }
  // For what is read only with a learned model.
  Condition IsLearned() const;
  // The model, learning the reward where `reward` says so; rng.Split("model") is its stream. Of a learned kind.
  std::unique_ptr<DynamicsModel> Make(const TransitionLayout& layout, const TaskFunctions& task, const Rng& rng,
                                      const torch::Device& device) const;
  ModelCard card() const { return choice.maker().card(); }  // of a learned one
  // Why nothing can follow derivatives of a learned one's steps, or "".
  std::string LacksDerivatives() const;
  // What a first fit after so many steps, of which a buffer keeps so many, lacks: for Fields::Check.
  std::string LacksOf(int64_t exploration_steps, int64_t replay_capacity) const;
};

}  // namespace reverie

#endif  // REVERIE_MODELS_REGISTRY_H_
