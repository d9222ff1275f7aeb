#include "reverie/policies/linear_gaussian_policy.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <utility>

namespace reverie {

class LinearGaussianPolicy::Memory final : public PolicyMemory {
 public:
  explicit Memory(int64_t rows) : start_of_row(static_cast<size_t>(rows), -1) {}

  void Reset(std::span<const int64_t> rows) override {
    for (const int64_t row : rows) {
      start_of_row.at(static_cast<size_t>(row)) = -1;
    }
  }
  void VisitState(StateVisitor& state) override { state("start_of_row", start_of_row); }

  std::vector<int64_t> start_of_row;  // -1: to be chosen
};

LinearGaussianPolicy::LinearGaussianPolicy(Env::States starts, ControllerOf controller_of)
    : starts_(std::move(starts)), controller_of_(std::move(controller_of)) {
  if (starts_.empty()) {
    throw std::invalid_argument("a linear-Gaussian policy has at least one state that episodes begin in");
  }
}

std::unique_ptr<PolicyMemory> LinearGaussianPolicy::NewMemory(int64_t rows) const {
  return std::make_unique<Memory>(rows);
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
    int64_t none = -1;
    int64_t& start =
        memory != nullptr ? dynamic_cast<Memory&>(*memory).start_of_row.at(static_cast<size_t>(input.rows[i])) : none;
    if (start < 0) {
      start = static_cast<int64_t>(NearestTo(state));
    }
    const LinearGaussianController& controller = controller_of_(static_cast<size_t>(start));
    const int64_t t = std::min(env.elapsed_steps(), controller.horizon() - 1);
    torch::Tensor u = torch::mv(controller.gains.feedback[t], torch::tensor(state, torch::kFloat64)) +
                      controller.gains.feedforward[t];
    if (mode == ActMode::kSample) {
      u = u + torch::mv(controller.factor[t], torch::randn({controller.controls()}, generator, torch::kFloat64));
    }
    actions.push_back(u.clamp(-1, 1).to(torch::kFloat32));
  }
  return torch::stack(actions);
}

}  // namespace reverie
