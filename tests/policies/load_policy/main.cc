// Acts with an exported policy using nothing but LibTorch.
//
//   load_policy policy.pt < observations.txt > actions.txt
//
// One observation a line, its numbers separated by spaces; one mean action a line comes out.
#include <torch/script.h>

#include <cstdio>
#include <iostream>
#include <vector>

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: load_policy policy.pt < observations.txt > actions.txt\n";
    return 2;
  }
  torch::jit::Module policy = torch::jit::load(argv[1]);
  const int64_t obs_dim = policy.attr("obs_dim").toInt();
  std::vector<float> numbers;
  for (float number = 0; std::cin >> number;) {
    numbers.push_back(number);
  }
  const torch::Tensor obs = torch::tensor(numbers).reshape({-1, obs_dim});
  const torch::Tensor actions = policy.forward({obs}).toTensor();
  for (int64_t row = 0; row < actions.size(0); ++row) {
    for (int64_t i = 0; i < actions.size(1); ++i) {
      std::printf(i == 0 ? "%.9g" : " %.9g", actions[row][i].item<float>());
    }
    std::printf("\n");
  }
}
