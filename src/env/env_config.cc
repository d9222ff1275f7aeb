#include "reverie/env/env_config.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <variant>

#include "reverie/config/writer.h"
#include "reverie/core/text.h"

namespace reverie {
namespace {

constexpr double kMostStartDraws = 1000;

// From the options of an environment to others of the same one.
void CopyAllButFiles(const Fields& from, const Fields& to) {
  for (size_t i = 0; i < to.list().size(); ++i) {
    const Field& field = to.list()[i];
    std::visit(
        [&](const auto& target) {
          using Target = std::decay_t<decltype(target)>;
          if constexpr (std::is_same_v<Target, EnumTarget>) {
            target.set(std::get<Target>(from.list()[i].target).get());
          } else if constexpr (std::is_pointer_v<Target>) {
            if (!NamesAFile(field)) {
              *target = *std::get<Target>(from.list()[i].target);
            }
          }
        },
        field.target);
  }
}

}  // namespace

bool EnvConfig::NamesAFileOfTheUsers() const {
  const EnvMaker own = registry->Find(id).maker();
  const Fields defaults = own.options();
  const Fields options = maker.options();
  return !std::equal(options.list().begin(), options.list().end(), defaults.list().begin(),
                     [](const Field& field, const Field& by_default) {
                       return !NamesAFile(field) || ValueText(field) == ValueText(by_default);
                     });
}

std::string EnvConfig::UnlikeItsOwn() const {
  if (!NamesAFileOfTheUsers()) {
    return "";
  }
  const EnvMaker own = registry->Find(id).maker();
  CopyAllButFiles(maker.options(), own.options());
  const EnvSpec here = own_.make()->spec();
  EnvSpec there;
  try {
    there = own.make()->spec();
  } catch (const std::invalid_argument&) {
    there = registry->Find(id).maker().make()->spec();  // the options are for the named files alone
  }
  if (here.obs_dim() == there.obs_dim() && here.act_dim() == there.act_dim()) {
    return "";
  }
  return Text(id, " has observations of ", here.obs_dim(), " numbers and actions of ", here.act_dim(),
              " with the files that the config names, and of ", there.obs_dim(), " and ", there.act_dim(),
              " with its own: its reward may read others than those that it means");
}

void EnvConfig::Visit(Fields& fields) {
  fields.Required("id", id, "the environment; `reverie envs` lists them");
  fields.Check([this]() -> std::string {
    try {
      registry->Find(id);
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "";
  });
  fields("max_episode_steps", max_episode_steps,
         "steps after which an episode is truncated; auto: the environment's own limit", AtLeast(1));
  fields.Late(
      "options",
      [this] {
        if (maker_id_ != id) {
          own_ = registry->Find(id).maker();
          maker_id_ = id;
        }
        maker = own_;
        maker.make = [make = own_.make, steps = max_episode_steps, observed = observed_, starts = starts_] {
          std::unique_ptr<Env> env = make();
          if (!observed->changes_nothing()) {
            env = std::make_unique<ObservedEnv>(std::move(env), *observed);
          }
          if (steps) {
            env->SetTimeLimit(*steps);
          }
          env->SetStartStates(*starts);
          return env;
        };
        maker.task_functions = [functions = own_.task_functions, make = own_.make, observed = observed_] {
          return observed->changes_nothing() ? functions()
                                             : ObservedFunctions(functions(), *observed, make()->spec().obs_dim());
        };
        return maker.options();
      },
      "options of " + (id.empty() ? "the environment" : id) +
          ", each environment has its own; `reverie envs ID` lists them");
  fields.Check([this]() -> std::string {
    try {
      if (NamesAFileOfTheUsers()) {
        maker.make();
      }
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "";
  });
  fields("observe", observe, "what of its observations is seen");
  fields.Check([this] { return UseObserve(); });
  fields("start_states", start_states,
         "states that episodes begin in, by chance in training and in turn in evaluation, as `reverie envs ID` names "
         "them; none: those of resets");
  fields.Check([this]() -> std::string { return start_states.empty() ? "" : UseStartStates(start_states); });
  fields.When({.key = "env.start_states", .wanted = "empty", .holds = [this] { return start_states.empty(); }}, [&] {
    fields("start_draws", start_draws, "so many states that resets draw, once, are those that episodes begin in",
           Between(0, kMostStartDraws));
    fields.Check([this]() -> std::string {
      try {
        return UseStartStates(DrawnStates());
      } catch (const std::exception& error) {
        return error.what();
      }
    });
  });
}

Env::States EnvConfig::DrawnStates() const {
  Env::States states;
  if (start_draws > 0) {
    const std::unique_ptr<Env> env = own_.make();
    std::vector<double> obs(env->spec().obs_low.size());
    for (int64_t i = 0; i < start_draws; ++i) {
      RandomEngine engine = Rng(0).Split("start states").Split(static_cast<uint64_t>(i)).Engine();
      env->Reset(engine, obs);
      states.push_back(env->GetState());
    }
  }
  return states;
}

std::string EnvConfig::UseObserve() {
  *observed_ = {};
  if (!observe.changes_nothing()) {
    try {
      if (const std::string misfit = observe.Misfit(own_.make()->spec().obs_dim()); !misfit.empty()) {
        return misfit;
      }
    } catch (const std::exception& error) {
      return error.what();
    }
  }
  *observed_ = observe;
  return "";
}

std::string EnvConfig::UseStartStates(const Env::States& states) {
  starts_->clear();
  if (std::string misfit = StartStatesMisfit(states, own_); !misfit.empty()) {
    return misfit;
  }
  *starts_ = states;
  return "";
}

std::string StartStatesMisfit(const Env::States& states, const EnvMaker& maker) {
  if (states.empty()) {
    return "";
  }
  try {
    const std::unique_ptr<Env> env = maker.make();
    std::vector<double> obs(env->spec().obs_low.size());
    for (const std::vector<double>& state : states) {
      env->SetState(state, obs);
      const auto finite = [](double x) { return std::isfinite(x); };
      if (!std::all_of(state.begin(), state.end(), finite) || !std::all_of(obs.begin(), obs.end(), finite)) {
        return env->spec().id + ": expected finite states that have finite observations";
      }
    }
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

}  // namespace reverie
