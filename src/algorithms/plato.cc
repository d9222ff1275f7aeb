#include "reverie/algorithms/plato.h"

#include <utility>

#include "reverie/control/adaptive_teacher.h"

namespace reverie {

Plato::Config::Config(const EnvRegistry& envs) : run({.explores = false}), env(envs) {}

void Plato::Config::Visit(Fields& fields) {
  run.Visit(fields);
  fields("env", env, "the environment");
  fields("expert", expert, "whose actions are the labels");
  fields.Check([this] { return expert.Misfit(env.maker); });
  fields.Check([this]() -> std::string {
    return expert.choice.maker().knows_curvature
               ? ""
               : "kind: " + expert.choice.kind() + " does not know what another action costs, which the teacher weighs";
  });
  fields("lambda", lambda,
         "weight of the divergence from the network, in units of the expert's cost; 0: the expert acts", AtLeast(0));
  fields("lambda_growth", lambda_growth, "factor of it after a fit whose loss fell below that of the fit before",
         AtLeast(1));
  fields("lessons", lessons, "the iterations");
  fields.Check([this] { return lessons.Misfit(env.maker, run.total_steps); });
  fields("learner", learner, "the network and its fits");
}

Plato::Plato(const Config& config, const torch::Device& device)
    : config_(config),
      rng_(static_cast<uint64_t>(config.run.seed)),
      collector_(config.lessons.Limited(config.env.maker.make()), rng_.Split("collector"), device),
      expert_(config.expert.choice.maker().make(config.env.maker)),
      learner_(config.learner, collector_.spec().obs_dim(), collector_.spec().act_dim(), rng_.Split("learner"), device),
      lessons_(config.lessons),
      lambda_(config.lambda),
      pupil_precision_(torch::zeros({collector_.spec().act_dim(), collector_.spec().act_dim()}, torch::kFloat64)) {}

torch::Tensor Plato::TaughtAction(const Advice& label) {
  if (lessons_.iteration() == 0) {
    return label.Act();
  }
  torch::Generator unused = MakeGenerator(Rng(0), learner_.actor().device());
  const torch::Tensor pupil =
      learner_.actor()
          .Act({.obs = collector_.Observed().to(learner_.actor().device())}, nullptr, ActMode::kMean, unused)[0]
          .to(torch::kCPU, torch::kFloat64);
  return AdaptedAction(label.action, label.curvature, pupil, pupil_precision_, lambda_)
      .unsqueeze(0)
      .to(torch::kFloat32);
}

void Plato::Train(RunContext& run) {
  while (collector_.env_steps() < config_.run.total_steps && !run.stopping()) {
    collector_.BeginIfNone();
    const Advice label = run.Timed("expert", [&] { return expert_(collector_.env()); });
    learner_.Add(collector_.Observed(), label.Act(), label.curvature.unsqueeze(0));
    const std::optional<EpisodeStats> episode =
        run.Timed("env", [&] { return collector_.StepWith(TaughtAction(label), nullptr); });
    run.NoteEpisode(episode);
    if (lessons_.EndedBy(episode, collector_.last())) {
      const Metrics fit = run.Timed("fit", [&] { return learner_.Fit(); });
      const double loss = fit.Find("loss").value();
      if (lessons_.iteration() > 1 && loss < last_loss_) {
        lambda_ *= config_.lambda_growth;
      }
      last_loss_ = loss;
      pupil_precision_ = learner_.precision();
      run.Log("learner", fit);
      run.Log("lessons", lessons_.Report());
    }
    run.Tick(collector_.env_steps(), lessons_.iteration(), "policy", [] { return Metrics(); });
  }
}

std::vector<std::filesystem::path> Plato::Export(const std::filesystem::path& torchscript) {
  return ExportActor(learner_.actor(), collector_.spec(), config_.env, torchscript);
}

void Plato::VisitState(StateVisitor& state) {
  state("collector", collector_);
  state("learner", learner_);
  state("lessons", lessons_);
  state("lambda", lambda_);
  state("last_loss", last_loss_);
  state("pupil_precision", pupil_precision_);
}

}  // namespace reverie
