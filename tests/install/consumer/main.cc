// A project of one's own: two environments, registered beside the built-in ones, and the whole program around it.
#include <reverie/apps/program.h>
#include <reverie/core/tensor.h>
#include <reverie/env/env.h>
#include <reverie/env/registry.h>

#include <cmath>
#include <random>
#include <span>
#include <string>
#include <vector>

namespace {

// A cart on a rail, pushed by a force: it should come to rest at the goal, and falls off where the rail ends.
//
//   v' = v + dt (force - friction v),  x' = x + dt v',  reward = -(x' - goal)^2 - 0.01 force^2
class Cart : public reverie::Env {
 public:
  struct Options {
    double goal = 0.5;
    double rail = 2.0;
    double friction = 0.1;
    void Visit(reverie::Fields& fields) {
      fields("goal", goal, "where the cart should rest, in metres");
      fields("rail", rail, "half the rail's length, in metres", reverie::Above(0));
      fields("friction", friction, "friction per unit of velocity, 1/s", reverie::AtLeast(0));
    }
  };

  static reverie::TaskFunctions MakeTaskFunctions(const Options& options) {
    const double goal = options.goal;
    const double rail = options.rail;
    return {.reward = [goal](const torch::Tensor&, const torch::Tensor& action,
                             const torch::Tensor& next_obs) -> torch::Tensor {
              return -(next_obs.select(1, 0) - goal).square() - 0.01 * action.select(1, 0).square();
            },
            .terminated = [rail](const torch::Tensor&, const torch::Tensor&, const torch::Tensor& next_obs)
                -> torch::Tensor { return next_obs.select(1, 0).abs() > rail; }};
  }

  Cart(const std::string& id, const Options& options)
      : options_(options),
        spec_{.id = id,
              .obs_low = {-INFINITY, -INFINITY},
              .obs_high = {INFINITY, INFINITY},
              .action_low = {-2},
              .action_high = {2},
              .dt = 0.05,
              .time_limit = 50,
              .state_names = {"x", "v"}} {}

  const reverie::EnvSpec& spec() const override { return spec_; }

 private:
  void DoReset(reverie::RandomEngine& rng, std::span<double> obs) override {
    std::uniform_real_distribution<double> start(-0.5, 0.5);
    position_ = start(rng);
    velocity_ = start(rng);
    Observe(obs);
  }

  reverie::StepResult DoStep(std::span<const double> action, std::span<double> obs) override {
    velocity_ += spec_.dt * (action[0] - options_.friction * velocity_);
    position_ += spec_.dt * velocity_;
    Observe(obs);
    const double error = position_ - options_.goal;
    return {.reward = -error * error - 0.01 * action[0] * action[0], .terminated = std::abs(position_) > options_.rail};
  }

  void DoSetState(std::span<const double> state, std::span<double> obs) override {
    DoRestore(state);
    Observe(obs);
  }

  std::vector<double> DoSnapshot() const override { return {position_, velocity_}; }

  void DoRestore(std::span<const double> snapshot) override {
    position_ = snapshot[0];
    velocity_ = snapshot[1];
  }

  void Observe(std::span<double> obs) const {
    obs[0] = position_;
    obs[1] = velocity_;
  }

  Options options_;
  reverie::EnvSpec spec_;
  double position_ = 0;
  double velocity_ = 0;
};

// The same cart for which imagined rollouts are told nothing: its reward is learned, and they never end.
class PlainCart final : public Cart {
 public:
  using Cart::Cart;
  static reverie::TaskFunctions MakeTaskFunctions(const Options&) { return {}; }
};

}  // namespace

int main(int argc, char** argv) {
  reverie::EnvRegistry envs = reverie::BuiltinEnvs();
  envs.Add<Cart>("Cart-v0", "a cart on a rail that should rest at a goal");
  envs.Add<PlainCart>("PlainCart-v0", "the same cart, with its reward and end to be found out");
  return reverie::RunProgram(argc, argv, envs);
}
