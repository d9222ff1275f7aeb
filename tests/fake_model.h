// A dynamics model that does nothing yet, for tests to give a step to. One hypothesis, without noise, with a reward.
#ifndef REVERIE_TESTS_FAKE_MODEL_H_
#define REVERIE_TESTS_FAKE_MODEL_H_

#include <stdexcept>

#include "reverie/models/dynamics_model.h"

namespace reverie {

class FakeModel : public DynamicsModel {
 public:
  std::optional<Metrics> Fit(const ReplayBuffer&, const Rng&, const std::function<bool()>&) override { return {}; }
  void Rehearse() override {}
  void Step(const torch::Tensor&, const torch::Tensor&, const StepDraws&, ModelSample&) const override { Missing(); }
  ModelStep Next(const torch::Tensor&, const torch::Tensor&, const StepDraws&) const override { Missing(); }
  int64_t noise_dim() const override { return 0; }
  GaussianPrediction Predict(const torch::Tensor&, const torch::Tensor&, Members) const override { Missing(); }
  torch::Tensor DecodeObs(const torch::Tensor&, const torch::Tensor&) const override { Missing(); }
  const torch::Tensor& target_std() const override { return target_std_; }
  const torch::Tensor& hypotheses() const override { return hypotheses_; }
  const TransitionBatch& holdout() const override { return holdout_; }
  bool learns_reward() const override { return true; }
  void VisitState(StateVisitor&) override {}

 protected:
  [[noreturn]] static void Missing() { throw std::logic_error("the test's model was asked for what it does not have"); }

  torch::Tensor target_std_ = torch::ones({2});
  torch::Tensor hypotheses_ = torch::zeros({1}, torch::kInt64);
  TransitionBatch holdout_;
};

}  // namespace reverie

#endif  // REVERIE_TESTS_FAKE_MODEL_H_
