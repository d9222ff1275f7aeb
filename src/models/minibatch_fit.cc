#include "minibatch_fit.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "reverie/core/text.h"

namespace reverie {
namespace {

// A permutation of [0, n) per member, [E, n].
torch::Tensor Permutations(int64_t members, int64_t n, torch::Generator& generator, const torch::Device& device) {
  std::vector<torch::Tensor> list;
  for (int64_t e = 0; e < members; ++e) {
    list.push_back(torch::randperm(n, generator, torch::dtype(torch::kInt64).device(device)));
  }
  return torch::stack(list);
}

}  // namespace

SplitRows SplitForFit(const TransitionBatch& all, const HoldoutConfig& config, torch::Generator& generator) {
  const int64_t count = all.size();
  const auto wanted = static_cast<int64_t>(static_cast<double>(count) * config.ratio);
  const int64_t holdout_count = config.ratio > 0 ? std::max<int64_t>(1, std::min(wanted, config.most)) : 0;
  if (count <= holdout_count) {
    throw std::runtime_error(Text("the model needs at least ", config.LeastRows(), " transitions to fit, got ", count));
  }
  const torch::Tensor order = torch::randperm(count, generator, all.rows.options().dtype(torch::kInt64));
  const auto rows = [&](int64_t begin, int64_t size) -> TransitionBatch {
    return {all.layout, all.rows.index_select(0, order.narrow(0, begin, size))};
  };
  return {.train = rows(holdout_count, count - holdout_count), .holdout = rows(0, holdout_count)};
}

FitRows InUnits(const TransitionCodec& codec, const SplitRows& split) {
  const Standardizer& units = codec.standardizer();
  return {.train_inputs = codec.Inputs(split.train.obs(), split.train.action()),
          .train_targets = units.Scaled(codec.Targets(split.train)),
          .holdout_inputs = codec.Inputs(split.holdout.obs(), split.holdout.action()),
          .holdout_targets = units.Scaled(codec.Targets(split.holdout))};
}

MinibatchFit::MinibatchFit(const std::string& name, int64_t members, int64_t batch_size, int64_t input_dim,
                           int64_t target_dim, const torch::Device& device,
                           const std::vector<torch::Generator>& generators)
    : members_(members),
      batch_size_(batch_size),
      minibatch_(name, device, generators),
      input_rows_(torch::empty({members, batch_size, input_dim}, torch::device(device))),
      target_rows_(torch::empty({members, batch_size, target_dim}, torch::device(device))),
      loss_sum_(torch::zeros({}, torch::device(device))) {}

std::optional<int64_t> MinibatchFit::Epoch(const FitRows& rows, const torch::Tensor& order, const MinibatchWork& work,
                                           const std::function<bool()>& stop) {
  const int64_t count = order.size(1);
  loss_sum_.zero_();
  int64_t minibatches = 0;
  for (int64_t begin = 0; begin < count; begin += batch_size_) {
    const int64_t size = std::min(batch_size_, count - begin);
    const torch::Tensor index = order.narrow(1, begin, size).reshape({-1});
    torch::Tensor inputs = input_rows_.view({members_ * batch_size_, -1}).narrow(0, 0, members_ * size);
    torch::Tensor targets = target_rows_.view({members_ * batch_size_, -1}).narrow(0, 0, members_ * size);
    at::index_select_out(inputs, rows.train_inputs, 0, index);
    if (rows.train_targets.dim() == 2) {
      at::index_select_out(targets, rows.train_targets, 0, index);
    } else {
      const torch::Tensor first_of_member = torch::arange(members_, index.options()) * count;
      at::index_select_out(targets, rows.train_targets.flatten(0, 1), 0,
                           (order.narrow(1, begin, size) + first_of_member.unsqueeze(1)).reshape({-1}));
    }
    const auto step = [&] {
      loss_sum_.add_(work.step(inputs.view({members_, size, -1}), targets.view({members_, size, -1})));
    };
    if (size == batch_size_) {
      minibatch_.Run({}, step, [&] {
        auto changed = work.changed();
        changed["loss_sum"] = loss_sum_;
        return changed;
      });
    } else {
      step();
    }
    ++minibatches;
    if (stop()) {
      return std::nullopt;
    }
  }
  return minibatches;
}

std::optional<Metrics> MinibatchFit::Run(const std::vector<torch::Tensor>& parameters, const FitRows& rows,
                                         const HoldoutConfig& config, const MinibatchWork& work, const Rng& rng,
                                         const std::function<bool()>& stop) {
  const torch::Device device = input_rows_.device();
  torch::Generator bootstrap_generator = MakeGenerator(rng.Split("bootstrap"), device);
  torch::Generator shuffle_generator = MakeGenerator(rng.Split("shuffle"), device);
  const auto indices = torch::dtype(torch::kInt64).device(device);
  const int64_t train_count = rows.train_inputs.size(0);
  const torch::Tensor bootstrap =
      work.resamples ? torch::randint(train_count, {members_, train_count}, bootstrap_generator, indices)
                     : torch::arange(train_count, indices).expand({members_, train_count});

  EarlyStopping early_stopping(parameters, config.patience, work.scale);
  int64_t epochs = 0;
  int64_t minibatches = 0;  // of an epoch
  bool judged = false;
  while (early_stopping.wants_another_epoch() && (config.max_epochs == 0 || epochs < config.max_epochs)) {
    const torch::Tensor order = bootstrap.gather(1, Permutations(members_, train_count, shuffle_generator, device));
    const std::optional<int64_t> done = Epoch(rows, order, work, stop);
    if (!done) {
      return std::nullopt;
    }
    minibatches = *done;
    ++epochs;
    judged = rows.holds_out() && epochs * minibatches >= work.unjudged;
    const bool finite = judged ? early_stopping.Note(work.holdout_error(), epochs * minibatches >= work.patient)
                               : std::isfinite(loss_sum_.item<float>());
    if (!finite) {
      throw std::runtime_error(Text(judged ? "the model's hold-out error" : "the model's loss",
                                    " became non-finite in epoch ", epochs, " of a fit on ", train_count, " rows"));
    }
  }
  if (judged) {
    early_stopping.RestoreBest();
  }
  Metrics metrics;
  metrics.Set("epochs", static_cast<double>(epochs));
  metrics.Set("train_rows", static_cast<double>(train_count));
  metrics.Set("holdout_rows", static_cast<double>(rows.holdout_inputs.size(0)));
  metrics.Set("loss", (loss_sum_ / minibatches).item<double>());
  return metrics;
}

}  // namespace reverie
