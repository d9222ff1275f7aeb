#include "reverie/planning/policy_of_states.h"

#include <torch/autograd.h>

#include <utility>
#include <vector>

namespace reverie {

DifferentiablePolicy PolicyOfStates(std::shared_ptr<SimulatorDynamics> dynamics,
                                    std::function<torch::Tensor(const torch::Tensor& obs)> mean) {
  const auto observe = [dynamics](const torch::Tensor& x) {
    torch::Tensor obs = torch::empty({x.size(0), dynamics->obs_dim()}, torch::kFloat64);
    dynamics->Observe(x, obs);
    return obs.to(torch::kFloat32);
  };
  return {.mean =
              [observe, mean](const torch::Tensor& x) {
                const torch::NoGradGuard no_gradients;
                return mean(observe(x)).to(torch::kFloat64);
              },
          .jacobian =
              [dynamics, observe, mean](const torch::Tensor& x) {
                const torch::AutoGradMode with_gradients(true);
                const torch::Tensor obs = observe(x).requires_grad_(true);
                const torch::Tensor action = mean(obs);
                std::vector<torch::Tensor> of_obs;  // d pi_j / do, [R, obs_dim] each
                for (int64_t j = 0; j < action.size(1); ++j) {
                  of_obs.push_back(torch::autograd::grad({action.select(1, j).sum()}, {obs}, {},
                                                         /*retain_graph=*/true)[0]);
                }
                torch::Tensor of_x = torch::empty({x.size(0), obs.size(1), dynamics->tangent_size()}, torch::kFloat64);
                dynamics->LineariseObs(x, of_x);
                return torch::matmul(torch::stack(of_obs, 1).to(torch::kFloat64), of_x);
              }};
}

}  // namespace reverie
