// Every kernel of the CUDA sources, run on the CPU (cuda_on_host.h), against the functions that it mirrors there, which
// tests of their own hold against autograd. Sizes lie below, at and beyond those that the kernels divide their work by.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "learners/sac_losses.h"
#include "learners/sac_losses_cuda.h"
#include "models/imagination.h"
#include "models/imagination_cuda.h"
#include "nn/kernels_cuda.h"
#include "nn/squashed_gaussian_cuda.h"
#include "reverie/core/state.h"
#include "reverie/nn/kernels.h"
#include "reverie/nn/squashed_gaussian.h"

namespace reverie {
namespace {

const CudaStream kStream;

class CudaOnHost : public testing::Test {
 protected:
  torch::Tensor Draw(at::IntArrayRef sizes) { return torch::randn(sizes, generator_); }

  torch::Generator generator_ = MakeGenerator(Rng(5), torch::kCPU);
};

float* Data(const torch::Tensor& tensor) { return tensor.data_ptr<float>(); }

// What a kernel has to write before anybody reads it.
torch::Tensor Unwritten(at::IntArrayRef sizes) { return torch::full(sizes, std::numeric_limits<float>::quiet_NaN()); }

// NaN counts as a difference.
void ExpectNear(const torch::Tensor& ours, const torch::Tensor& expected, double tolerance) {
  const double scale = std::max(1e-12, expected.abs().max().item<double>());
  EXPECT_LE((ours - expected).abs().max().item<double>(), tolerance * scale) << expected.sizes();
}

// One number, one column, one row; whole blocks; rows of several batches with columns left over; several blocks wide.
const std::vector<cuda::Sizes> kSizes{{1, 1, 1}, {2, 300, 1}, {3, 1, 37}, {2, 256, 64}, {3, 131, 45}, {1, 5, 70}};

TEST_F(CudaOnHost, ForwardPassesAreThoseOfTheCpu) {
  for (const cuda::Sizes& sizes : kSizes) {
    const torch::Tensor x = 2 * Draw({sizes.members, sizes.rows, sizes.width});
    const torch::Tensor bias = Draw({sizes.members, 1, sizes.width});
    torch::Tensor expected = x.clone();
    torch::Tensor ours = x.clone();
    AddBias(expected, bias);
    cuda::AddBias(Data(ours), Data(bias), sizes, kStream);
    ExpectNear(ours, expected, 0);

    expected = x.clone();
    ours = x.clone();
    BiasRelu(expected, bias);
    cuda::BiasRelu(Data(ours), Data(bias), sizes, kStream);
    ExpectNear(ours, expected, 0);

    expected = x.clone();
    ours = x.clone();
    BiasSilu(expected, bias);
    cuda::BiasSilu(Data(ours), Data(bias), sizes, kStream);
    ExpectNear(ours, expected, 1e-6);

    torch::Tensor expected_slope = torch::empty_like(x);
    const torch::Tensor slope = Unwritten(x.sizes());
    ours = x.clone();
    expected = x.clone();
    BiasSiluWithSlope(expected, bias, expected_slope);
    cuda::BiasSiluWithSlope(Data(ours), Data(bias), Data(slope), sizes, kStream);
    ExpectNear(ours, expected, 1e-6);
    ExpectNear(slope, expected_slope, 1e-6);
  }
}

TEST_F(CudaOnHost, BackwardPassesAreThoseOfTheCpu) {
  for (const cuda::Sizes& sizes : kSizes) {
    const torch::Tensor grad = Draw({sizes.members, sizes.rows, sizes.width});
    const torch::Tensor through = Draw(grad.sizes());
    for (const bool relu : {true, false}) {
      torch::Tensor expected = grad.clone();
      const torch::Tensor expected_sums = torch::empty({sizes.members, 1, sizes.width});
      const auto run = [&](const torch::Tensor& to, float* sums) {
        relu ? cuda::ReluBackward(Data(to), Data(through), sums, sizes, kStream)
             : cuda::SlopeBackward(Data(to), Data(through), sums, sizes, kStream);
      };
      relu ? ReluBackward(expected, through, expected_sums) : SlopeBackward(expected, through, expected_sums);
      const torch::Tensor ours = grad.clone();
      const torch::Tensor sums = Unwritten(expected_sums.sizes());
      run(ours, Data(sums));
      ExpectNear(ours, expected, 0);
      ExpectNear(sums, expected_sums, 2e-6);
      const torch::Tensor again = grad.clone();
      const torch::Tensor sums_again = Unwritten(expected_sums.sizes());
      run(again, Data(sums_again));
      EXPECT_TRUE(torch::equal(sums_again, sums));
      const torch::Tensor alone = grad.clone();
      run(alone, nullptr);
      EXPECT_TRUE(torch::equal(alone, ours));
    }
    const torch::Tensor expected = torch::empty({sizes.members, 1, sizes.width});
    SumRows(grad, expected);
    const torch::Tensor sums = Unwritten(expected.sizes());
    cuda::SumRows(Data(grad), Data(sums), sizes, kStream);
    ExpectNear(sums, expected, 2e-6);
  }
}

TEST_F(CudaOnHost, TheGaussianLossIsThatOfTheCpu) {
  struct Case {
    int64_t members, rows, dim;
  };
  // The last has more rows than a round of all blocks.
  for (const auto& [members, rows, dim] : {Case{1, 1, 1}, Case{7, 45, 18}, Case{2, 16, 8}, Case{1, 4150, 3}}) {
    const torch::Tensor output = 3 * Draw({members, rows, 2 * dim});
    const torch::Tensor target = Draw({members, rows, dim});
    const torch::Tensor l_max = 0.5 + 0.1 * Draw({1, dim});
    const torch::Tensor l_min = -4 + 0.1 * Draw({1, dim});
    torch::Tensor expected = torch::empty_like(output), expected_max = torch::empty({1, dim});
    torch::Tensor expected_min = torch::empty({1, dim}), expected_loss = torch::empty({});
    GaussianLossGradient(output, target, l_max, l_min, 0.01F, 0.25F, expected, expected_max, expected_min,
                         expected_loss);
    const auto run = [&] {
      const torch::Tensor workspace = Unwritten({3, cuda::kGaussianLossBlocks, dim});
      const torch::Tensor grad = Unwritten(output.sizes());
      const torch::Tensor sums = Unwritten({2 * dim + 1});
      cuda::GaussianLossGradient({.output = Data(output),
                                  .target = Data(target),
                                  .l_max = Data(l_max),
                                  .l_min = Data(l_min),
                                  .grad = Data(grad),
                                  .max_grad = Data(sums),
                                  .min_grad = Data(sums) + dim,
                                  .loss = Data(sums) + 2 * dim,
                                  .workspace = Data(workspace),
                                  .rows = members * rows,
                                  .dim = dim,
                                  .c = 0.01F,
                                  .penalty = 0.25F},
                                 kStream);
      return std::pair{grad, sums};
    };
    const auto [grad, sums] = run();
    ExpectNear(grad, expected, 1e-6);
    ExpectNear(sums.slice(0, 0, dim), expected_max[0], 5e-6);
    ExpectNear(sums.slice(0, dim, 2 * dim), expected_min[0], 5e-6);
    ExpectNear(sums[2 * dim], expected_loss, 5e-6);
    if (rows < 100) {
      EXPECT_TRUE(torch::equal(run().second, sums));
    }
  }
}

TEST_F(CudaOnHost, StepsOfAdamAreThoseOfTheCpu) {
  const AdamConstants constants{.learning_rate = 1e-2};
  for (const int64_t n : {1, 256, 1003}) {
    const std::vector<DecaySegment> decay{{0, n / 3, 0.1F}, {n / 2, n, 0.01F}};
    for (const bool with_target : {true, false}) {
      const torch::Tensor start = Draw({n});
      torch::Tensor expected = start.clone(), expected_m = torch::zeros({n}), expected_v = torch::zeros({n});
      torch::Tensor expected_target = start.clone(), expected_step = torch::zeros({});
      const torch::Tensor values = start.clone(), m = torch::zeros({n}), v = torch::zeros({n});
      const torch::Tensor target = start.clone(), step = torch::zeros({});
      for (int i = 0; i < 3; ++i) {
        torch::Tensor grads = Draw({n});
        AdamStep(constants, decay, expected_step, expected, grads, expected_m, expected_v,
                 with_target ? expected_target : torch::Tensor(), 0.05);
        cuda::AdamArguments arguments{.constants = constants,
                                      .tau = 0.05,
                                      .step = Data(step),
                                      .values = Data(values),
                                      .grads = Data(grads),
                                      .first_moment = Data(m),
                                      .second_moment = Data(v),
                                      .target = with_target ? Data(target) : nullptr,
                                      .count = n,
                                      .segments = static_cast<int>(decay.size()),
                                      .decay = {}};
        std::copy(decay.begin(), decay.end(), arguments.decay);
        cuda::AdamStep(arguments, kStream);
      }
      EXPECT_EQ(step.item<float>(), 3);
      EXPECT_GT((expected - start).abs().mean().item<double>(), 1e-3);
      ExpectNear(values, expected, 3e-7);
      ExpectNear(m, expected_m, 1e-6);
      ExpectNear(v, expected_v, 1e-6);
      EXPECT_EQ(torch::equal(target, start), !with_target);
      ExpectNear(target, expected_target, 1e-6);
    }
  }
}

TEST_F(CudaOnHost, SquashedDrawsAndTheirGradientsAreThoseOfTheCpu) {
  struct Case {
    int64_t rows, act_dim;
  };
  for (const auto& [rows, act_dim] : {Case{1, 1}, Case{32, 8}, Case{75, 17}, Case{301, 3}}) {
    const torch::Tensor head = Draw({rows, 2 * act_dim});
    head[0][act_dim] = 5;  // beyond the clamp
    const torch::Tensor noise = Draw({rows, act_dim});
    SquashedSample expected = SquashedSample::Empty(rows, act_dim, torch::kCPU);
    SampleSquashed(head, noise, expected);
    const SquashedSample sample{.action = Unwritten({rows, act_dim}),
                                .log_prob = Unwritten({rows}),
                                .by_log_std = Unwritten({rows, act_dim}),
                                .unclamped = Unwritten({rows, act_dim}),
                                .log_density = Unwritten({rows, act_dim})};
    const cuda::SquashedArrays arrays{.action = Data(sample.action),
                                      .log_prob = Data(sample.log_prob),
                                      .by_log_std = Data(sample.by_log_std),
                                      .unclamped = Data(sample.unclamped),
                                      .log_density = Data(sample.log_density)};
    const LogStdBounds bounds{.low = static_cast<float>(kLogStdMin), .high = static_cast<float>(kLogStdMax)};
    cuda::SampleSquashed(Data(head), Data(noise), bounds, arrays, rows, act_dim, kStream);
    ExpectNear(sample.action, expected.action, 1e-6);
    ExpectNear(sample.log_prob, expected.log_prob, 1e-6);
    ExpectNear(sample.by_log_std, expected.by_log_std, 1e-6);
    ExpectNear(sample.unclamped, expected.unclamped, 0);
    ExpectNear(sample.log_density, expected.log_density, 1e-6);

    const torch::Tensor action_grad = Draw({rows, act_dim});
    const torch::Tensor log_prob_grad = torch::tensor(0.3F);
    const torch::Tensor expected_grad = torch::empty_like(head);
    SquashedHeadGradient(sample, action_grad, log_prob_grad, expected_grad);
    const torch::Tensor grad = Unwritten(head.sizes());
    cuda::SquashedHeadGradient(arrays, Data(action_grad), Data(log_prob_grad), Data(grad), rows, act_dim, kStream);
    ExpectNear(grad, expected_grad, 1e-6);
  }
}

TEST_F(CudaOnHost, SacsLossesAreThoseOfTheCpu) {
  for (const int64_t rows : {1, 37, 256, 1000}) {
    TransitionBatch batch = TransitionBatch::Empty({.obs_dim = 5, .act_dim = 2}, rows, torch::kCPU);
    batch.rows.normal_(0, 1, generator_);
    batch.terminated().copy_(Draw({rows}) < -0.8);
    const torch::Tensor q = Draw({2, rows, 1});
    const torch::Tensor next_q = Draw({2, rows, 1});
    const torch::Tensor log_prob = Draw({rows});
    const torch::Tensor alpha = torch::tensor(0.3F);
    torch::Tensor expected_grad = torch::empty({2, rows, 1}), expected_log_prob_grad = torch::empty({});
    torch::Tensor expected_loss = torch::empty({}), expected_other = torch::empty({});
    CriticLoss(batch, q, next_q, log_prob, alpha, 0.97, expected_grad, expected_loss, expected_other);
    torch::Tensor grad = Unwritten({2, rows, 1});
    torch::Tensor values = Unwritten({3});
    cuda::CriticLoss({.transitions = Data(batch.reward()),
                      .stride = batch.rows.stride(0),
                      .q = Data(q),
                      .next_q = Data(next_q),
                      .next_log_prob = Data(log_prob),
                      .alpha = Data(alpha),
                      .q_grad = Data(grad),
                      .loss = Data(values),
                      .q_mean = Data(values) + 1,
                      .rows = rows,
                      .discount = 0.97F},
                     kStream);
    ExpectNear(grad, expected_grad, 1e-6);
    ExpectNear(values[0], expected_loss, 1e-6);
    ExpectNear(values[1], expected_other, 1e-6);

    ActorLoss(q, log_prob, alpha, expected_grad, expected_log_prob_grad, expected_loss, expected_other);
    grad = Unwritten({2, rows, 1});
    values = Unwritten({3});
    cuda::ActorLoss({.q = Data(q),
                     .log_prob = Data(log_prob),
                     .alpha = Data(alpha),
                     .q_grad = Data(grad),
                     .log_prob_grad = Data(values),
                     .loss = Data(values) + 1,
                     .entropy = Data(values) + 2,
                     .rows = rows},
                    kStream);
    ExpectNear(grad, expected_grad, 0);
    ExpectNear(values[0], expected_log_prob_grad, 0);
    ExpectNear(values[1], expected_loss, 1e-6);
    ExpectNear(values[2], expected_other, 1e-6);
  }
  const torch::Tensor log_alpha = Draw({1});
  const torch::Tensor entropy = Draw({});
  torch::Tensor expected_grad = torch::empty({1}), expected_loss = torch::empty({});
  AlphaLoss(log_alpha, entropy, -2.5, expected_grad, expected_loss);
  const torch::Tensor grad = Unwritten({1});
  const torch::Tensor loss = Unwritten({});
  cuda::AlphaLoss(Data(log_alpha), Data(entropy), -2.5, Data(grad), Data(loss), kStream);
  ExpectNear(grad, expected_grad, 0);
  ExpectNear(loss, expected_loss, 0);
}

TEST_F(CudaOnHost, ImaginedRowsAreThoseOfTheCpu) {
  const TransitionLayout layout{.obs_dim = 5, .act_dim = 2};
  for (const bool normalized : {false, true}) {
    for (const bool learn_reward : {false, true}) {
      for (const int64_t rows : {1, 41, 300}) {
        const int64_t dim = layout.obs_dim + (learn_reward ? 1 : 0);
        const int64_t share = (rows + 2) / 3;
        const TransitionBatch batch{layout, Draw({rows, layout.width()})};
        const torch::Tensor order = torch::randperm(rows, generator_, torch::kInt64);
        const torch::Tensor mean = Draw({7}), std = 0.5 + torch::rand({7}, generator_);
        torch::Tensor expected_inputs = torch::empty({3, share, 7});
        DealInputs(batch.obs(), batch.action(), order, mean, std, expected_inputs);
        const torch::Tensor inputs = Unwritten({3, share, 7});
        cuda::DealInputs({.obs = Data(batch.obs()),
                          .action = Data(batch.action()),
                          .mean = Data(mean),
                          .std = Data(std),
                          .order = order.data_ptr<int64_t>(),
                          .inputs = Data(inputs),
                          .rows = rows,
                          .slots = 3 * share,
                          .obs_dim = layout.obs_dim,
                          .act_dim = layout.act_dim,
                          .obs_stride = batch.obs().stride(0),
                          .action_stride = batch.action().stride(0)},
                         kStream);
        ExpectNear(inputs, expected_inputs, 1e-7);

        const torch::Tensor output = 2 * Draw({3, share, 2 * dim});
        const torch::Tensor noise = Draw({3, share, dim});
        TargetDecoder decoder{
            .max_log_var = 0.5 + 0.1 * Draw({1, dim}), .min_log_var = -4 + 0.1 * Draw({1, dim}), .add_obs = rows != 41};
        decoder.offset = normalized ? Draw({dim}) : torch::zeros({dim});
        decoder.scale = normalized ? 0.5 + torch::rand({dim}, generator_) : torch::ones({dim});
        const TransitionBatch theirs{layout, batch.rows.clone()};
        ModelSample expected{.next_obs = theirs.next_obs(),
                             .reward = learn_reward ? theirs.reward() : torch::Tensor(),
                             .hypothesis = torch::empty({rows}, torch::kInt64)};
        DrawTargets(output, noise, order, decoder, theirs.obs(), expected);
        const torch::Tensor hypothesis = torch::full({rows}, -1, torch::kInt64);
        const TransitionBatch ours{layout, batch.rows.clone()};
        cuda::DrawTargets({.output = Data(output),
                           .noise = Data(noise),
                           .obs = Data(ours.obs()),
                           .max_log_var = Data(decoder.max_log_var),
                           .min_log_var = Data(decoder.min_log_var),
                           .offset = Data(decoder.offset),
                           .scale = Data(decoder.scale),
                           .order = order.data_ptr<int64_t>(),
                           .next_obs = Data(ours.next_obs()),
                           .reward = learn_reward ? Data(ours.reward()) : nullptr,
                           .hypothesis = hypothesis.data_ptr<int64_t>(),
                           .rows = rows,
                           .share = share,
                           .obs_dim = layout.obs_dim,
                           .dim = dim,
                           .obs_stride = ours.obs().stride(0),
                           .next_obs_stride = ours.next_obs().stride(0),
                           .reward_stride = learn_reward ? ours.reward().stride(0) : 0,
                           .add_obs = decoder.add_obs},
                          kStream);
        ExpectNear(ours.rows, theirs.rows, 1e-6);
        EXPECT_FALSE(torch::equal(ours.rows, batch.rows));
        EXPECT_TRUE(torch::equal(hypothesis, expected.hypothesis));

        ours.rows[rows / 2][layout.width() - 4] = std::numeric_limits<float>::infinity();  // that row's reward
        torch::Tensor expected_finite = torch::empty({rows}, torch::kBool);
        FiniteRows(ours.next_obs_reward(), expected_finite);
        EXPECT_TRUE(torch::equal(expected_finite, torch::isfinite(ours.next_obs_reward()).all(1)));
        EXPECT_EQ(expected_finite.sum().item<int64_t>(), rows - 1);
        const torch::Tensor finite = expected_finite.logical_not();
        cuda::FiniteRows(Data(ours.next_obs_reward()), finite.data_ptr<bool>(), rows, layout.obs_dim + 1,
                         ours.rows.stride(0), kStream);
        EXPECT_TRUE(torch::equal(finite, expected_finite));
      }
    }
  }
}

TEST_F(CudaOnHost, NothingIsDoneForNoRows) {
  const torch::Tensor bias = Draw({2, 1, 5});
  const torch::Tensor sums = Unwritten({2, 1, 5});
  cuda::AddBias(nullptr, Data(bias), {2, 0, 5}, kStream);
  cuda::SumRows(nullptr, Data(sums), {2, 0, 5}, kStream);
  EXPECT_TRUE(torch::equal(sums, torch::zeros_like(sums)));
}

}  // namespace
}  // namespace reverie
