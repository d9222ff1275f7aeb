#include "reverie/env/observed_env.h"

#include <algorithm>
#include <numeric>
#include <set>
#include <stdexcept>
#include <utility>

#include "reverie/core/text.h"

namespace reverie {
namespace {

constexpr double kMostFrames = 100;

std::vector<size_t> ColumnsOf(const ObserveConfig& config, int64_t obs_dim) {
  std::vector<size_t> columns(config.columns.begin(), config.columns.end());
  if (columns.empty()) {
    columns.resize(static_cast<size_t>(obs_dim));
    std::iota(columns.begin(), columns.end(), size_t{0});
  }
  return columns;
}

}  // namespace

void ObserveConfig::Visit(Fields& fields) {
  fields("columns", columns, "the numbers of the observation that are seen, from 0; none: all", AtLeast(0));
  fields("frames", frames, "so many observations are seen, the last and those before it", Between(1, kMostFrames));
  fields.When({.key = "env.observe.frames", .wanted = "above 1", .holds = [this] { return frames > 1; }},
              [&] { fields("differences", differences, "the older ones are seen as the change to the next"); });
}

std::string ObserveConfig::Misfit(int64_t obs_dim) const {
  for (const int64_t column : columns) {
    if (column >= obs_dim) {
      return Text("columns: expected numbers from 0 to ", obs_dim - 1, ", as an observation has ", obs_dim, ", got ",
                  column);
    }
  }
  return std::set<int64_t>(columns.begin(), columns.end()).size() < columns.size() ? "columns: one is there twice" : "";
}

ObservedEnv::ObservedEnv(std::unique_ptr<Env> env, const ObserveConfig& config)
    : env_(std::move(env)), differences_(config.differences && config.frames > 1), spec_(env_->spec()) {
  if (const std::string misfit = config.Misfit(spec_.obs_dim()); !misfit.empty()) {
    throw std::invalid_argument("env.observe." + misfit);
  }
  env_->SetTimeLimit(0);  // which is this one's to tell
  columns_ = ColumnsOf(config, spec_.obs_dim());
  whole_.resize(spec_.obs_low.size());
  spec_.obs_low.clear();
  spec_.obs_high.clear();
  for (int64_t frame = 1; frame <= config.frames; ++frame) {
    for (const size_t column : columns_) {
      const double low = env_->spec().obs_low[column];
      const double high = env_->spec().obs_high[column];
      const bool is_difference = differences_ && frame < config.frames;
      spec_.obs_low.push_back(is_difference ? low - high : low);
      spec_.obs_high.push_back(is_difference ? high - low : high);
    }
  }
  frames_.resize(spec_.obs_low.size());
}

void ObservedEnv::Fill(std::span<double> obs) {
  for (size_t i = 0; i < frames_.size(); ++i) {
    frames_[i] = whole_[columns_[i % columns_.size()]];
  }
  Show(obs);
}

void ObservedEnv::Show(std::span<double> obs) const {
  std::copy(frames_.begin(), frames_.end(), obs.begin());
  const size_t columns = columns_.size();
  for (size_t i = 0; differences_ && i + columns < frames_.size(); ++i) {
    obs[i] = frames_[i + columns] - frames_[i];
  }
}

void ObservedEnv::DoReset(RandomEngine& rng, std::span<double> obs) {
  env_->Reset(rng, whole_);
  Fill(obs);
}

void ObservedEnv::DoSetState(std::span<const double> state, std::span<double> obs) {
  env_->SetState(state, whole_);
  Fill(obs);
}

StepResult ObservedEnv::DoStep(std::span<const double> action, std::span<double> obs) {
  const StepResult result = env_->Step(action, whole_);
  const auto last =
      std::rotate(frames_.begin(), frames_.begin() + static_cast<ptrdiff_t>(columns_.size()), frames_.end());
  std::transform(columns_.begin(), columns_.end(), last, [this](size_t column) { return whole_[column]; });
  Show(obs);
  return result;
}

std::vector<double> ObservedEnv::DoSnapshot() const {
  std::vector<double> snapshot = env_->Snapshot();
  snapshot.insert(snapshot.end(), frames_.begin(), frames_.end());
  return snapshot;
}

void ObservedEnv::DoRestore(std::span<const double> snapshot) {
  if (snapshot.size() <= frames_.size()) {
    throw std::runtime_error(
        Text(spec_.id, ": a snapshot of ", snapshot.size(), " numbers, expected more than ", frames_.size()));
  }
  const size_t of_task = snapshot.size() - frames_.size();
  env_->Restore(snapshot.first(of_task));
  std::copy(snapshot.begin() + static_cast<ptrdiff_t>(of_task), snapshot.end(), frames_.begin());
}

TaskFunctions ObservedFunctions(const TaskFunctions& task, const ObserveConfig& config, int64_t obs_dim) {
  if (config.changes_nothing()) {
    return task;
  }
  TaskFunctions observed{.state_cost = task.state_cost};
  if (!MayTerminate(task)) {
    observed.terminated = NeverTerminated;
  }
  if (config.columns.empty()) {
    const auto of_last_frame = [obs_dim](const TaskFunctions::Batched& function) -> TaskFunctions::Batched {
      return [function, obs_dim](const torch::Tensor& obs, const torch::Tensor& action, const torch::Tensor& next_obs) {
        return function(obs.slice(1, -obs_dim), action, next_obs.slice(1, -obs_dim));
      };
    };
    if (task.reward) {
      observed.reward = of_last_frame(task.reward);
    }
    if (task.terminated && MayTerminate(task)) {
      observed.terminated = of_last_frame(task.terminated);
    }
  }
  return observed;
}

}  // namespace reverie
