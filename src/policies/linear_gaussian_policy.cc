#include "reverie/policies/linear_gaussian_policy.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <utility>

namespace reverie {

class LinearGaussianPolicy::Memory final : public PolicyMemory {
 public:
  Memory(int64_t rows, bool keeps_noise)
      : start_of_row(static_cast<size_t>(rows), -1),
        noise_of_row(keeps_noise ? static_cast<size_t>(rows) : 0, torch::empty({0, 0}, torch::kFloat64)) {}

  void Reset(std::span<const int64_t> rows) override {
    for (const int64_t row : rows) {
      start_of_row.at(static_cast<size_t>(row)) = -1;
    }
  }
  void VisitState(StateVisitor& state) override {
    state("start_of_row", start_of_row);
    for (size_t i = 0; i < noise_of_row.size(); ++i) {
      state.Resizable("noise_" + std::to_string(i), noise_of_row[i]);
    }
  }

  std::vector<int64_t> start_of_row;        // -1: to be chosen
  std::vector<torch::Tensor> noise_of_row;  // [T, m] of the episode; none where it is not smoothed
};

torch::Tensor SmoothedNoise(const torch::Tensor& noise, double deviation) {
  constexpr double kCutOff = 4;
  const int64_t steps = noise.size(0);
  const auto radius = static_cast<int64_t>(kCutOff * deviation + 0.5);
  torch::Tensor smooth = torch::zeros_like(noise);
  for (int64_t shift = -radius; shift <= radius; ++shift) {
    // Mirrored at both ends, the last row being its own neighbour.
    torch::Tensor at = torch::arange(steps) + shift;
    at = at.remainder(2 * steps);
    at = torch::minimum(at, 2 * steps - 1 - at);
    const double away = static_cast<double>(shift) / deviation;
    smooth.add_(noise.index_select(0, at), std::exp(-0.5 * away * away));
  }
  const torch::Tensor std = smooth.std(0, /*unbiased=*/false, /*keepdim=*/true);
  return torch::where(std > 0, smooth / std, noise);
}

LinearGaussianPolicy::LinearGaussianPolicy(Env::States starts, ControllerOf controller_of, double noise_smoothing)
    : starts_(std::move(starts)), controller_of_(std::move(controller_of)), noise_smoothing_(noise_smoothing) {
  if (starts_.empty()) {
    throw std::invalid_argument("a linear-Gaussian policy has at least one state that episodes begin in");
  }
}

std::unique_ptr<PolicyMemory> LinearGaussianPolicy::NewMemory(int64_t rows) const {
  return std::make_unique<Memory>(rows, noise_smoothing_ > 0);
}

size_t LinearGaussianPolicy::NearestTo(const std::vector<double>& state) const {
  const auto distance = [&state](const std::vector<double>& start) {
    return std::transform_reduce(start.begin(), start.end(), state.begin(), 0.0, std::plus<>(),
                                 [](double a, double b) { return (a - b) * (a - b); });
  };
  return static_cast<size_t>(std::min_element(starts_.begin(), starts_.end(),
                                              [&](const std::vector<double>& a, const std::vector<double>& b) {
                                                return distance(a) < distance(b);
                                              }) -
                             starts_.begin());
}

torch::Tensor LinearGaussianPolicy::Act(const ActInput& input, PolicyMemory* memory, ActMode mode,
                                        torch::Generator& generator) const {
  const int64_t count = input.obs.size(0);
  if (static_cast<int64_t>(input.envs.size()) != count) {
    throw std::invalid_argument("a linear-Gaussian policy acts on the state of environments, not on observations");
  }
  std::vector<torch::Tensor> actions;
  for (size_t i = 0; i < input.envs.size(); ++i) {
    const Env& env = *input.envs[i];
    const std::vector<double> state = env.GetState();
    Memory* kept = memory != nullptr ? &dynamic_cast<Memory&>(*memory) : nullptr;
    const size_t row = kept != nullptr ? static_cast<size_t>(input.rows[i]) : 0;
    int64_t none = -1;
    int64_t& start = kept != nullptr ? kept->start_of_row.at(row) : none;
    const bool begins = start < 0;
    if (begins) {
      start = static_cast<int64_t>(NearestTo(state));
    }
    const LinearGaussianController& controller = controller_of_(static_cast<size_t>(start));
    const int64_t t = std::min(env.elapsed_steps(), controller.horizon() - 1);
    torch::Tensor u = torch::mv(controller.gains.feedback[t], torch::tensor(state, torch::kFloat64)) +
                      controller.gains.feedforward[t];
    if (mode == ActMode::kSample && kept != nullptr && noise_smoothing_ > 0) {
      torch::Tensor& noise = kept->noise_of_row.at(row);
      if (begins) {
        noise = SmoothedNoise(torch::randn({controller.horizon(), controller.controls()}, generator, torch::kFloat64),
                              noise_smoothing_);
      }
      u = u + torch::mv(controller.factor[t], noise[t]);
    } else if (mode == ActMode::kSample) {
      u = u + torch::mv(controller.factor[t], torch::randn({controller.controls()}, generator, torch::kFloat64));
    }
    actions.push_back(u.clamp(-1, 1).to(torch::kFloat32));
  }
  return torch::stack(actions);
}

}  // namespace reverie
