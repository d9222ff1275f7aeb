#include "reverie/planning/imagined_return.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <limits>
#include <stdexcept>

#include "nn/safe_sqrt.h"
#include "reverie/core/state.h"
#include "reverie/core/text.h"
#include "reverie/models/imagine.h"

namespace reverie {
namespace {

constexpr float kLeast = -std::numeric_limits<float>::infinity();
// Fewer are not worth a thread of their own.
constexpr int64_t kLeastCpuRows = 128;
// Of transitions whose rewards and ends are asked for at once, as small steps cost more in calls than in work.
constexpr int64_t kJudgedNumbers = 1 << 20;

}  // namespace

std::vector<std::pair<std::string, Propagation>> EnumNames(Propagation) {
  return {{"ts1", Propagation::kTs1}, {"tsinf", Propagation::kTsInf}, {"ds", Propagation::kDs}, {"e", Propagation::kE}};
}

void PropagationConfig::Visit(Fields& fields) {
  fields(
      "kind", kind,
      "how imagined particles move on: an elite drawn at every step (ts1) or kept (tsinf), one Gaussian of all (ds), "
      "or the elites' mean (e)");
  fields("particles", particles, "particles of a candidate (N)", AtLeast(1));
  fields.Check([this] {
    return kind == Propagation::kE && particles != 1 ? "expected 1 with kind: e, where all would be the same" : "";
  });
}

std::string PropagationConfig::MisfitOf(const ModelCard& card) const {
  if (kind == Propagation::kTsInf && particles % card.hypotheses != 0) {
    return "particles: with kind: tsinf each network that predicts carries as many of them, expected a multiple of " +
           card.hypotheses_key + ", " + std::to_string(card.hypotheses) + ", got " + std::to_string(particles);
  }
  return "";
}

ImaginedReturn::ImaginedReturn(const ModelEnv& model_env, const PropagationConfig& propagation,
                               const UncertaintyConfig& uncertainty)
    : model_env_(model_env), propagation_(propagation), uncertainty_(uncertainty) {
  const std::string misfit = propagation.MisfitOf({.hypotheses = model_env.model().hypotheses().size(0)});
  if (!misfit.empty()) {
    throw std::logic_error(misfit);
  }
  if (uncertainty.use == UncertaintyUse::kWeight || uncertainty.use == UncertaintyUse::kMask) {
    throw std::logic_error("uncertainty.use: weight and mask have no rows in a plan");
  }
}

torch::Tensor ImaginedReturn::Score(const torch::Tensor& obs, const torch::Tensor& actions,
                                    torch::Generator& generator) const {
  const int64_t candidates = actions.size(0);
  const bool samples_suffice = !torch::GradMode::is_enabled() && uncertainty_.config().use == UncertaintyUse::kNone &&
                               (propagation_.kind == Propagation::kTs1 || propagation_.kind == Propagation::kTsInf);
  if (samples_suffice && actions.is_cpu() && at::get_num_threads() > 1) {
    return ScoreOnThreads(obs, actions, generator);
  }
  const int64_t at_once = actions.is_cpu() ? std::max<int64_t>(1, kCpuRows / propagation_.particles) : candidates;
  std::vector<torch::Tensor> scores;
  for (int64_t begin = 0; begin < candidates; begin += at_once) {
    const torch::Tensor part = actions.narrow(0, begin, std::min(at_once, candidates - begin));
    scores.push_back(
        MeanReturn(samples_suffice ? RollSampled(obs, part, generator) : RollPredicted(obs, part, generator)));
  }
  return scores.size() == 1 ? scores[0] : torch::cat(scores);
}

torch::Tensor ImaginedReturn::ScoreOnThreads(const torch::Tensor& obs, const torch::Tensor& actions,
                                             torch::Generator& generator) const {
  const int64_t candidates = actions.size(0);
  const int64_t rows = propagation_.particles * candidates;
  const int64_t threads = at::get_num_threads();
  const int64_t most = std::clamp<int64_t>(rows / kLeastCpuRows, 1, candidates);
  const int64_t shares = std::min(threads * at::divup(rows, threads * kCpuRows), most);
  const torch::Tensor seeds =
      torch::randint(std::numeric_limits<int64_t>::max(), {shares}, generator, torch::dtype(torch::kInt64));
  torch::Tensor scores = torch::empty({candidates}, actions.options());
  at::parallel_for(0, shares, 1, [&](int64_t first, int64_t last) {
    for (int64_t share = first; share < last; ++share) {
      const int64_t begin = share * candidates / shares;
      const int64_t count = (share + 1) * candidates / shares - begin;
      torch::Generator own = MakeGenerator(Rng(static_cast<uint64_t>(seeds.data_ptr<int64_t>()[share])), torch::kCPU);
      scores.narrow(0, begin, count).copy_(MeanReturn(RollSampled(obs, actions.narrow(0, begin, count), own)));
    }
  });
  return scores;
}

std::string ImaginedReturn::WhatIsNotFinite(const torch::Tensor& obs, const torch::Tensor& plan,
                                            torch::Generator& generator) const {
  const torch::NoGradGuard no_grad;
  const DynamicsModel& model = model_env_.model();
  const UncertaintyConfig& config = uncertainty_.config();
  // The first column of x [N, n] with a number that is not finite, or -1.
  const auto culprit = [](const torch::Tensor& x) {
    const torch::Tensor bad = torch::isfinite(x).all(0).logical_not().nonzero();
    return bad.numel() == 0 ? -1 : bad[0].item<int64_t>();
  };
  if (const int64_t j = culprit(obs.unsqueeze(0)); j >= 0) {
    return Text("number ", j, " of the observation");
  }
  const TransitionLayout layout{.obs_dim = obs.size(0), .act_dim = plan.size(1)};
  TransitionBatch step = TransitionBatch::Empty(layout, propagation_.particles, plan.device());
  step.next_obs().copy_(obs.expand({propagation_.particles, layout.obs_dim}));
  torch::Tensor ended = torch::zeros({propagation_.particles, 1}, plan.options().dtype(torch::kBool));
  for (int64_t t = 0; t < plan.size(0); ++t) {
    step.obs().copy_(step.next_obs().clone());
    step.action().copy_(plan[t].expand({propagation_.particles, layout.act_dim}));
    const ImaginedStep imagined = model_env_.Step(step, generator);
    step.next_obs_reward().masked_fill_(ended, 0);  // nothing counts after an end
    if (const int64_t j = culprit(step.next_obs()); j >= 0) {
      return Text("number ", j, " of the observation that the model imagines after ", t + 1, " steps");
    }
    if (culprit(step.reward().unsqueeze(1)) >= 0) {
      return Text(model.learns_reward() ? "the reward that the model predicts for imagined step "
                                        : "the task's reward for imagined step ",
                  t + 1);
    }
    if (config.use != UncertaintyUse::kNone) {
      const GaussianPrediction prediction = model.Predict(step.obs(), step.action(), config.over);
      const torch::Tensor u = ScaledUncertainty(config.measure, config, model, prediction, imagined.hypothesis);
      if (culprit(u.unsqueeze(1).masked_fill(ended, 0)) >= 0) {
        return Text("the model's uncertainty at imagined step ", t + 1);
      }
    }
    ended.logical_or_(imagined.terminated.unsqueeze(1));
  }
  return "";
}

torch::Tensor ImaginedReturn::MeanReturn(const Steps& steps) const {
  const torch::Tensor ended_before = (steps.ended.cumsum(0) - steps.ended.to(torch::kInt64)) > 0;
  const torch::Tensor sum = torch::where(ended_before, 0, steps.reward).sum(0);
  const torch::Tensor finite = steps.finite.logical_or(ended_before).all(0);
  const torch::Tensor mean = sum.view({propagation_.particles, -1}).mean(0);
  return mean.masked_fill(finite.view({propagation_.particles, -1}).all(0).logical_not(), kLeast);
}

ImaginedReturn::Steps ImaginedReturn::RollSampled(const torch::Tensor& obs, const torch::Tensor& actions,
                                                  torch::Generator& generator) const {
  const c10::InferenceMode inference;  // spares views and calls what gradients would need
  const int64_t candidates = actions.size(0);
  const int64_t horizon = actions.size(1);
  const int64_t rows = propagation_.particles * candidates;
  const TransitionLayout layout{.obs_dim = obs.size(0), .act_dim = actions.size(2)};
  const int64_t at_once = std::clamp<int64_t>(kJudgedNumbers / (rows * layout.width()), 1, horizon);
  const TransitionBatch workspace = TransitionBatch::Empty(layout, at_once * rows, actions.device());
  const DynamicsModel& model = model_env_.model();
  // Dealt in their order the hypotheses get consecutive particles.
  const torch::Tensor in_order = torch::arange(rows, model.hypotheses().options());
  std::vector<torch::Tensor> rewards, finite, ended;
  torch::Tensor state = obs;
  for (int64_t begin = 0; begin < horizon; begin += at_once) {
    const int64_t count = std::min(at_once, horizon - begin);
    TransitionBatch steps{layout, workspace.rows.narrow(0, 0, count * rows)};
    steps.action()
        .view({count, propagation_.particles, candidates, layout.act_dim})
        .copy_(actions.narrow(1, begin, count).transpose(0, 1).unsqueeze(1));
    for (int64_t t = 0; t < count; ++t) {
      TransitionBatch step{layout, steps.rows.narrow(0, t * rows, rows)};
      step.obs().copy_(state);
      model_env_.Move(step, propagation_.kind == Propagation::kTsInf ? DrawNoise(model, in_order, generator)
                                                                     : DrawStep(model, rows, generator));
      state = step.next_obs();
    }
    const ImaginedStep judged = model_env_.Complete(steps);
    rewards.push_back(steps.reward().view({count, rows}).clone());
    finite.push_back(judged.finite.view({count, rows}));
    ended.push_back(judged.terminated.view({count, rows}));
  }
  return {.reward = torch::cat(rewards), .finite = torch::cat(finite), .ended = torch::cat(ended)};
}

ImaginedReturn::Steps ImaginedReturn::RollPredicted(const torch::Tensor& obs, const torch::Tensor& actions,
                                                    torch::Generator& generator) const {
  const DynamicsModel& model = model_env_.model();
  const UncertaintyConfig& config = uncertainty_.config();
  const int64_t candidates = actions.size(0);
  const int64_t rows = propagation_.particles * candidates;
  const int64_t obs_dim = obs.size(0);
  const int64_t hypotheses = model.hypotheses().size(0);
  const auto indices = torch::dtype(torch::kInt64).device(actions.device());
  const torch::Tensor kept = torch::arange(propagation_.particles, indices)
                                 .mul_(hypotheses)
                                 .div_(propagation_.particles, "floor")
                                 .repeat_interleave(candidates);
  // What is drawn of the moments of a model that is not Gaussian is no step of it.
  const bool draws_steps =
      !model.is_gaussian() && (propagation_.kind == Propagation::kTs1 || propagation_.kind == Propagation::kTsInf);
  const auto action_at = [&](const torch::Tensor&, int64_t t) {
    return actions.select(1, t).repeat({propagation_.particles, 1});
  };
  const auto step = [&](const torch::Tensor& state, const torch::Tensor& action, int64_t) -> ImaginedTransition {
    GaussianPrediction measured, prediction;
    if (!draws_steps || config.use != UncertaintyUse::kNone) {
      measured = model.Predict(state, action, config.over);
      prediction = OfHypotheses(model, measured, config.over);
    }
    torch::Tensor hypothesis;
    torch::Tensor moved;
    if (draws_steps) {
      const torch::Tensor deal = propagation_.kind == Propagation::kTsInf ? torch::arange(rows, indices)
                                                                          : torch::randperm(rows, generator, indices);
      hypothesis = HypothesisOfRows(deal, hypotheses);
      const ModelStep drawn = model.Next(state, action, DrawNoise(model, deal, generator));
      moved = drawn.reward.defined() ? torch::cat({drawn.next_obs, drawn.reward.unsqueeze(1)}, 1) : drawn.next_obs;
    } else {
      hypothesis =
          propagation_.kind == Propagation::kTsInf ? kept : torch::randint(hypotheses, {rows}, generator, indices);
      const torch::Tensor next_mean =
          torch::cat({model.DecodeObs(prediction.mean, state), prediction.mean.slice(-1, obs_dim)}, -1);
      moved = Moved({.mean = next_mean, .var = prediction.var}, hypothesis, generator);
    }
    const torch::Tensor next_state = moved.slice(1, 0, obs_dim);
    const ModelEnv::Verdict verdict = model_env_.Judge(state, action, next_state);
    ImaginedTransition made{.next_obs = next_state,
                            .reward = verdict.reward.defined() ? verdict.reward : moved.select(1, obs_dim),
                            .ended = verdict.terminated,
                            .finite = {}};
    made.finite = torch::isfinite(moved).all(1).logical_and(torch::isfinite(made.reward));
    if (config.use != UncertaintyUse::kNone) {
      const torch::Tensor u = ScaledUncertainty(config.measure, config, model, measured, hypothesis);
      const UncertaintyRule::Judgement judged = uncertainty_.Judge(made.reward, u);
      made.reward = judged.reward;
      made.ended = made.ended.logical_or(judged.exceeded);
      made.finite = made.finite.logical_and(torch::isfinite(u));
    }
    return made;
  };
  const Imagined imagined = Imagine(obs.expand({rows, obs_dim}), actions.size(1), action_at, step);
  return {.reward = torch::stack(imagined.reward),
          .finite = torch::stack(imagined.finite),
          .ended = torch::stack(imagined.ended)};
}

torch::Tensor ImaginedReturn::Moved(const GaussianPrediction& next, const torch::Tensor& hypothesis,
                                    torch::Generator& generator) const {
  const torch::Tensor& mean = next.mean;
  const torch::Tensor& var = next.var;
  const int64_t rows = mean.size(1);
  const int64_t dim = mean.size(2);
  const auto noise = [&] {
    return torch::randn({rows, dim}, generator, torch::dtype(torch::kFloat32).device(mean.device()));
  };
  switch (propagation_.kind) {
    // Means are taken of the differences from the first: where all are the same, so is their mean, to the bit.
    case Propagation::kE:
      return mean[0] + (mean - mean[0]).mean(0);
    case Propagation::kDs: {
      const std::vector<int64_t> by_candidate{mean.size(0) * propagation_.particles, rows / propagation_.particles,
                                              dim};
      const torch::Tensor means = mean.reshape(by_candidate);
      const torch::Tensor spread = means - means[0];
      const torch::Tensor matched_var = var.reshape(by_candidate).mean(0) + spread.var(0, /*unbiased=*/false);
      const torch::Tensor std = SafeSqrt(matched_var);
      return (means[0] + spread.mean(0)).repeat({propagation_.particles, 1}) +
             std.repeat({propagation_.particles, 1}) * noise();
    }
    case Propagation::kTs1:
    case Propagation::kTsInf: {
      const torch::Tensor index = hypothesis.view({1, rows, 1}).expand({1, rows, dim});
      return mean.gather(0, index).squeeze(0) + SafeSqrt(var.gather(0, index).squeeze(0)) * noise();
    }
  }
  throw std::logic_error("unknown propagation");
}

}  // namespace reverie
