#include "reverie/models/registry.h"

#include <algorithm>

#include "reverie/core/text.h"
#include "reverie/models/bayesian_network.h"
#include "reverie/models/diffusion_ensemble.h"
#include "reverie/models/dropout_network.h"
#include "reverie/models/flow_ensemble.h"
#include "reverie/models/gan_ensemble.h"
#include "reverie/models/gaussian_process.h"
#include "reverie/models/homoscedastic_ensemble.h"
#include "reverie/models/mixture_ensemble.h"
#include "reverie/models/vae_ensemble.h"

namespace reverie {
namespace {

// Of a model with a config of that type.
template <class Model, class Config>
ModelMaker MakerOf(const Config& defaults) {
  auto config = std::make_shared<Config>(defaults);
  return {.options = [config] { return Fields::Of(*config); },
          .make = [config](const ModelSpec& spec, const Rng& rng, const torch::Device& device)
              -> std::unique_ptr<DynamicsModel> { return std::make_unique<Model>(*config, spec, rng, device); },
          .card = [config] { return config->Card(); },
          .lacks_of = [config](int64_t rows) { return config->LacksOf(rows); }};
}

std::vector<Kind<ModelMaker>> Kinds(const GaussianEnsembleConfig& ensemble, bool with_simulator) {
  std::vector<Kind<ModelMaker>> kinds = LearnedModels(ensemble);
  if (with_simulator) {
    kinds.push_back(
        {.name = "simulator",
         .summary = "the environment itself, as a mark for the others",
         .maker =
             [] {
               return ModelMaker{
                   .options = [] { return Fields(); }, .make = {}, .card = [] { return ModelCard(); }, .lacks_of = {}};
             },
         .former = {}});
  }
  return kinds;
}

}  // namespace

std::vector<Kind<ModelMaker>> LearnedModels(const GaussianEnsembleConfig& ensemble) {
  return {
      {.name = "ensemble",
       .summary = "a bootstrap ensemble of networks (PETS: Chua et al. 2018)",
       .maker = [ensemble] { return MakerOf<GaussianEnsemble>(ensemble); },
       .former = {{.name = "probabilistic", .key = "deterministic", .value = false},
                  {.name = "deterministic", .key = "deterministic", .value = true}}},
      {.name = "homoscedastic",
       .summary = "an ensemble of layer-normalised networks with one noise for all inputs (DHMBPO: Kubo et al. 2025)",
       .maker = [] { return MakerOf<HomoscedasticEnsemble>(HomoscedasticEnsembleConfig()); },
       .former = {}},
      {.name = "dropout",
       .summary = "one network of which units are missing, at a rate that it learns (Gal et al. 2017)",
       .maker = [] { return MakerOf<DropoutNetwork>(DropoutNetworkConfig()); },
       .former = {}},
      {.name = "bnn",
       .summary = "one network with a distribution over its weights (Bayes by backprop: Blundell et al. 2015)",
       .maker = [] { return MakerOf<BayesianNetwork>(BayesianNetworkConfig()); },
       .former = {}},
      {.name = "gp",
       .summary = "Gaussian processes, functions of which are drawn; sparse where rows are many",
       .maker = [] { return MakerOf<GaussianProcess>(GaussianProcessConfig()); },
       .former = {}},
      {.name = "mdn",
       .summary = "a bootstrap ensemble of mixture density networks (Bishop 1994), where one step may lead to several",
       .maker = [] { return MakerOf<MixtureEnsemble>(MixtureEnsembleConfig()); },
       .former = {}},
      {.name = "flow",
       .summary =
           "an ensemble of normalising flows (Durkan et al. 2019): steps of whatever distribution, and its density",
       .maker = [] { return MakerOf<FlowEnsemble>(FlowEnsembleConfig()); },
       .former = {}},
      {.name = "diffusion",
       .summary =
           "an ensemble of flow matching (Lipman et al. 2023) or diffusion models (Karras et al. 2022): likewise, and "
           "steps cost more networks",
       .maker = [] { return MakerOf<DiffusionEnsemble>(DiffusionEnsembleConfig()); },
       .former = {}},
      {.name = "vae",
       .summary = "an ensemble of conditional variational autoencoders (Sohn et al. 2015): likewise, with a lower "
                  "bound of the "
                  "density",
       .maker = [] { return MakerOf<VaeEnsemble>(VaeEnsembleConfig()); },
       .former = {}},
      {.name = "gan",
       .summary =
           "an ensemble of Wasserstein GANs (Gulrajani et al. 2017): steps of whatever distribution, without a density",
       .maker = [] { return MakerOf<GanEnsemble>(GanEnsembleConfig()); },
       .former = {}}};
}

std::string LearnedModelsWith(const std::function<bool(const ModelCard&)>& property) {
  std::vector<std::string> names;
  for (const Kind<ModelMaker>& kind : LearnedModels({})) {
    if (property(kind.maker().card())) {
      names.push_back(kind.name);
    }
  }
  return Joined(names);
}

ModelConfig::ModelConfig(const ModelDefaults& defaults)
    : may_be_simulator(defaults.with_simulator),
      rolls_out(defaults.rolls_out),
      choice("model.kind", Kinds(defaults.ensemble, defaults.with_simulator), defaults.kind),
      retrain_every(defaults.retrain_every),
      reward(defaults.reward) {}

void ModelConfig::Visit(Fields& fields) {
  choice.VisitKind(fields, "what is imagined with");
  const auto when_learned = [&](const std::function<void()>& add) {
    may_be_simulator ? fields.When(IsLearned(), add) : add();
  };
  const auto add_retrain_every = [&] {
    fields("retrain_every", retrain_every, "env steps from one fit, and rollout after it, to the next", AtLeast(1));
  };
  rolls_out ? add_retrain_every() : when_learned(add_retrain_every);
  when_learned([&] {
    fields("reward", reward, "imagined rewards: learned, the task's own (known), or known where there is one (auto)");
  });
  choice.VisitOptions(fields);
}

Condition ModelConfig::IsLearned() const {
  return {.key = "model.kind", .wanted = "not simulator", .holds = [this] { return learned(); }};
}

std::unique_ptr<DynamicsModel> ModelConfig::Make(const TransitionLayout& layout, const TaskFunctions& task,
                                                 const Rng& rng, const torch::Device& device) const {
  return choice.maker().make({.layout = layout, .learn_reward = LearnsReward(reward, task), .features = task.features},
                             rng.Split("model"), device);
}

std::string ModelConfig::LacksDerivatives() const {
  return card().has_derivatives ? ""
                                : "the steps of model.kind: " + choice.kind() +
                                      " jump between components and have no derivatives to follow; expected one of " +
                                      LearnedModelsWith([](const ModelCard& card) { return card.has_derivatives; });
}

std::string ModelConfig::LacksOf(int64_t exploration_steps, int64_t replay_capacity) const {
  return learned() ? choice.maker().lacks_of(std::min(exploration_steps, replay_capacity)) : "";
}

}  // namespace reverie
