#include "reverie/env/toy/linear_quadratic.h"

#include <algorithm>
#include <limits>
#include <random>
#include <stdexcept>
#include <utility>

namespace reverie {
namespace {

constexpr size_t kN = LinearQuadratic::kStates;
constexpr size_t kM = LinearQuadratic::kForces;
template <size_t kRows, size_t kColumns>
using Matrix = LinearQuadratic::Matrix<kRows, kColumns>;

constexpr double kLinearQuadraticDt = 0.1;
constexpr Matrix<kN, kN> kA{{{1, 0, 0.1, 0}, {0, 1, 0, 0.1}, {-0.05, 0.05, 0.98, 0}, {0.05, -0.05, 0, 0.98}}};
constexpr Matrix<kN, kM> kB{{{0, 0}, {0, 0}, {0.1, 0}, {0, 0.1}}};
constexpr std::array<double, kN> kQ{1, 1, 0.1, 0.1};
constexpr std::array<double, kM> kR{1, 1};

template <size_t kRows, size_t kInner, size_t kColumns>
Matrix<kRows, kColumns> Product(const Matrix<kRows, kInner>& a, const Matrix<kInner, kColumns>& b) {
  Matrix<kRows, kColumns> c{};
  for (size_t i = 0; i < kRows; ++i) {
    for (size_t k = 0; k < kInner; ++k) {
      for (size_t j = 0; j < kColumns; ++j) {
        c[i][j] += a[i][k] * b[k][j];
      }
    }
  }
  return c;
}

template <size_t kRows, size_t kColumns>
Matrix<kColumns, kRows> Transposed(const Matrix<kRows, kColumns>& a) {
  Matrix<kColumns, kRows> t{};
  for (size_t i = 0; i < kRows; ++i) {
    for (size_t j = 0; j < kColumns; ++j) {
      t[j][i] = a[i][j];
    }
  }
  return t;
}

}  // namespace

const LinearQuadratic::Matrix<kN, kN>& LinearQuadratic::A() { return kA; }
const LinearQuadratic::Matrix<kN, kM>& LinearQuadratic::B() { return kB; }
const std::array<double, kN>& LinearQuadratic::QDiagonal() { return kQ; }
const std::array<double, kM>& LinearQuadratic::RDiagonal() { return kR; }

LinearQuadratic::Solution LinearQuadratic::Solve(int64_t steps) {
  // S = R + B^T P B, K = S^-1 B^T P A, P <- Q + A^T P (A - B K).
  Solution solution;
  for (int64_t step = 0; step < steps; ++step) {
    const Matrix<kM, kN> bt_p = Product(Transposed(kB), solution.p);
    Matrix<kM, kM> s = Product(bt_p, kB);
    for (size_t i = 0; i < kM; ++i) {
      s[i][i] += kR[i];
    }
    const double determinant = s[0][0] * s[1][1] - s[0][1] * s[1][0];
    const Matrix<kM, kM> inverse{
        {{s[1][1] / determinant, -s[0][1] / determinant}, {-s[1][0] / determinant, s[0][0] / determinant}}};
    solution.k = Product(inverse, Product(bt_p, kA));
    Matrix<kN, kN> closed = kA;
    const Matrix<kN, kN> feedback = Product(kB, solution.k);
    for (size_t i = 0; i < kN; ++i) {
      for (size_t j = 0; j < kN; ++j) {
        closed[i][j] -= feedback[i][j];
      }
    }
    solution.p = Product(Product(Transposed(kA), solution.p), closed);
    for (size_t i = 0; i < kN; ++i) {
      solution.p[i][i] += kQ[i];
    }
  }
  return solution;
}

double LinearQuadratic::OptimalReturn(std::span<const double> state, int64_t steps) {
  const Solution solution = Solve(steps);
  double cost = 0;
  for (size_t i = 0; i < kN; ++i) {
    for (size_t j = 0; j < kN; ++j) {
      cost += state[i] * solution.p[i][j] * state[j];
    }
  }
  return -cost;
}

LinearQuadratic::LinearQuadratic(std::string id, const Options&) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  spec_ = {.id = std::move(id),
           .obs_low = std::vector<double>(kN, -kInfinity),
           .obs_high = std::vector<double>(kN, kInfinity),
           .action_low = std::vector<double>(kM, -1.0),
           .action_high = std::vector<double>(kM, 1.0),
           .dt = kLinearQuadraticDt,
           .time_limit = 200,
           .state_names = {"position_1", "position_2", "velocity_1", "velocity_2"}};
}

void LinearQuadratic::DoReset(RandomEngine& rng, std::span<double> obs) {
  std::uniform_real_distribution<double> position(-0.3, 0.3);
  std::uniform_real_distribution<double> velocity(-0.1, 0.1);
  state_ = {position(rng), position(rng), velocity(rng), velocity(rng)};
  std::copy(state_.begin(), state_.end(), obs.begin());
}

StepResult LinearQuadratic::DoStep(std::span<const double> action, std::span<double> obs) {
  double cost = 0;
  for (size_t i = 0; i < kN; ++i) {
    cost += kQ[i] * state_[i] * state_[i];
  }
  for (size_t i = 0; i < kM; ++i) {
    cost += kR[i] * action[i] * action[i];
  }
  std::array<double, kN> next{};
  for (size_t i = 0; i < kN; ++i) {
    for (size_t j = 0; j < kN; ++j) {
      next[i] += kA[i][j] * state_[j];
    }
    for (size_t j = 0; j < kM; ++j) {
      next[i] += kB[i][j] * action[j];
    }
  }
  state_ = next;
  std::copy(state_.begin(), state_.end(), obs.begin());
  return {.reward = -cost};
}

void LinearQuadratic::DoSetState(std::span<const double> state, std::span<double> obs) {
  std::copy(state.begin(), state.end(), state_.begin());
  std::copy(state.begin(), state.end(), obs.begin());
}

void LinearQuadratic::DoRestore(std::span<const double> snapshot) {
  if (snapshot.size() != kN) {
    throw std::runtime_error(spec_.id + ": a snapshot of " + std::to_string(snapshot.size()) + " numbers, expected " +
                             std::to_string(kN));
  }
  std::copy(snapshot.begin(), snapshot.end(), state_.begin());
}

TaskFunctions LinearQuadratic::MakeTaskFunctions(const Options&) {
  const auto reward = [](const torch::Tensor& obs, const torch::Tensor& action, const torch::Tensor&) {
    // Column by column: no weights need to be copied to the tensors' device.
    torch::Tensor sum = torch::zeros_like(obs.select(1, 0));
    for (size_t i = 0; i < kN; ++i) {
      sum = sum - kQ[i] * obs.select(1, static_cast<int64_t>(i)).square();
    }
    for (size_t i = 0; i < kM; ++i) {
      sum = sum - kR[i] * action.select(1, static_cast<int64_t>(i)).square();
    }
    return sum;
  };
  return {.reward = reward,
          .terminated = NeverTerminated,
          .state_cost = [reward](const torch::Tensor& state, const torch::Tensor& action, const torch::Tensor& next) {
            return -reward(state, action, next);
          }};
}

}  // namespace reverie
