#include "reverie/models/standardizer.h"

#include <ATen/ATen.h>

#include "reverie/data/column_statistics.h"

namespace reverie {
namespace {

// What an input that does not vary is divided by.
constexpr double kUnseen = 1e30;

// Of a target. Unknown: it has not varied yet.
enum Unit : int64_t { kUnknown, kItsOwn, kDeviation };

}  // namespace

Standardizer::Standardizer(int64_t input_dim, int64_t target_dim, const torch::Device& device)
    : input_mean_(torch::zeros({input_dim}, torch::device(device))),
      input_std_(torch::ones({input_dim}, torch::device(device))),
      target_mean_(torch::zeros({target_dim}, torch::device(device))),
      target_std_(torch::ones({target_dim}, torch::device(device))),
      target_offset_(torch::zeros({target_dim}, torch::device(device))),
      target_scale_(torch::ones({target_dim}, torch::device(device))),
      target_unit_(torch::full({target_dim}, int64_t{kUnknown}, torch::dtype(torch::kInt64).device(device))) {}

void Standardizer::FitInputs(const torch::Tensor& inputs) {
  const ColumnStatistics columns = StatisticsOfColumns(inputs);
  input_mean_.copy_(columns.mean);
  input_std_.copy_(columns.std.masked_fill(columns.std == 0, kUnseen));
}

void Standardizer::FitTargets(const torch::Tensor& targets, const torch::Tensor& magnitudes, PlainDeviations plain) {
  const ColumnStatistics columns = StatisticsOfColumns(targets, magnitudes);
  target_mean_.copy_(columns.mean);
  target_std_.copy_(columns.std);
  const torch::Tensor begins = (target_std_ != 0).logical_and_(target_unit_ == int64_t{kUnknown});
  const torch::Tensor is_plain = (target_std_ > plain.above).logical_and_(target_std_ <= plain.at_most);
  target_unit_.copy_(torch::where(begins, torch::where(is_plain, int64_t{kItsOwn}, int64_t{kDeviation}), target_unit_));
  const torch::Tensor in_units = (target_unit_ != int64_t{kItsOwn}).logical_or_(target_std_ == 0);
  target_offset_.copy_(target_mean_ * in_units);
  target_scale_.copy_(torch::where(in_units, target_std_, 1));
}

bool Standardizer::knows_targets() const { return (target_unit_ != int64_t{kUnknown}).any().item<bool>(); }

torch::Tensor Standardizer::Scaled(const torch::Tensor& target) const {
  return (target - target_offset_) / ColumnUnits(target_scale_);
}

void Standardizer::VisitState(StateVisitor& state, bool scales_all) {
  state("input_mean", input_mean_);
  state("input_std", input_std_);
  state("target_mean", target_mean_);
  state("target_std", target_std_);
  if (!state.loading() || state.Has("target_scale")) {
    state("target_offset", target_offset_);
    state("target_scale", target_scale_);
  } else if (scales_all) {
    target_offset_.copy_(target_mean_);
    target_scale_.copy_(target_std_);
  }
  if (!state.loading() || state.Has("target_unit")) {
    state("target_unit", target_unit_);
  } else {  // an older version: what the scales say; before a first fit deviations are 1
    const torch::Tensor known = (target_scale_ != 0).logical_and_(target_std_ != 1);
    target_unit_.copy_(torch::where(known, torch::where(target_scale_ == 1, int64_t{kItsOwn}, int64_t{kDeviation}),
                                    int64_t{kUnknown}));
  }
}

}  // namespace reverie
