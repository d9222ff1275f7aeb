#include "reverie/nn/layer_norm_mlp.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <cmath>
#include <mutex>
#include <stdexcept>
#include <utility>

#include "fused_layers.h"

namespace reverie {

int64_t LayerNormMlpShape::ParameterCount() const {
  int64_t count = 0;
  for (size_t l = 0; l < layers(); ++l) {
    count += members * (widths[l] + 1) * widths[l + 1];
  }
  return count;
}

LayerNormMlp::LayerNormMlp(LayerNormMlpShape shape, FlatParameters& parameters) : shape_(std::move(shape)) {
  for (size_t l = 0; l < shape_.layers(); ++l) {
    leaves_.push_back(parameters.Take({shape_.members, shape_.widths[l], shape_.widths[l + 1]}).Leaf());
    leaves_.push_back(parameters.Take({shape_.members, 1, shape_.widths[l + 1]}).Leaf());
  }
  Prepare();
}

LayerNormMlp::LayerNormMlp(LayerNormMlpShape shape, std::vector<torch::Tensor> leaves)
    : shape_(std::move(shape)), leaves_(std::move(leaves)) {
  Prepare();
}

void LayerNormMlp::Prepare() {
  if (shape_.epsilon.size() != shape_.layers() || shape_.dropout.size() != shape_.layers()) {
    throw std::logic_error("LayerNormMlp: expected an epsilon and a dropout rate for each layer");
  }
  if (leaves_[0].is_cpu() && leaves_[0].scalar_type() == torch::kFloat32) {
    fused_ = std::make_shared<FusedLayers>(leaves_);
  }
}

void LayerNormMlp::InitHeNormal(torch::Generator& generator) {
  const torch::NoGradGuard no_grad;
  for (size_t l = 0; l < shape_.layers(); ++l) {
    const auto in = static_cast<double>(shape_.widths[l]);
    leaves_[2 * l].normal_(0, std::sqrt(2 / in), generator);
    leaves_[2 * l + 1].normal_(0, 1 / (2 * std::sqrt(in)), generator);
  }
}

void LayerNormMlp::ZeroLastLayer() {
  const torch::NoGradGuard no_grad;
  leaves_[leaves_.size() - 2].zero_();
  leaves_.back().zero_();
}

torch::Tensor LayerNormMlp::Forward(const torch::Tensor& x, torch::Generator* generator) const {
  torch::Tensor h = x.dim() == 2 ? x.expand({shape_.members, x.size(0), x.size(1)}) : x;
  return fused_ != nullptr && x.scalar_type() == torch::kFloat32 ? FusedForward(h, generator)
                                                                 : PlainForward(h, generator);
}

namespace {

// Positions out of 0 ... count - 1, ascending, each drawn with probability p on its own: [K] int64. The gaps between
// them are geometric, so that the cost is that of K numbers.
torch::Tensor DrawDropped(int64_t count, double p, torch::Generator& generator) {
  auto* const source = at::check_generator<at::CPUGeneratorImpl>(generator);
  const std::lock_guard<std::mutex> lock(source->mutex_);
  const double log_kept = std::log1p(-p);
  // floor(log u / log(1 - p)) for u uniform in (0, 1].
  const auto gap = [&] {
    const double u = static_cast<double>((source->random64() >> 11U) + 1) * 0x1p-53;
    return std::floor(std::log(u) / log_kept);
  };
  std::vector<int64_t> positions;
  for (double at = gap(); at < static_cast<double>(count); at += 1 + gap()) {
    positions.push_back(static_cast<int64_t>(at));
  }
  return torch::tensor(positions, torch::kInt64);
}

// y [E, B, N] with its dropped numbers as 0 and the others scaled.
torch::Tensor DroppedOut(const torch::Tensor& y, double p, torch::Generator& generator) {
  torch::Tensor mask = torch::empty_like(y, torch::MemoryFormat::Contiguous);
  if (y.is_cpu()) {
    mask.fill_(1 / (1 - p)).view(-1).index_fill_(0, DrawDropped(y.numel(), p, generator), 0);
  } else {
    mask.bernoulli_(1 - p, generator).div_(1 - p);
  }
  return y * mask;
}

torch::Tensor Normalized(const torch::Tensor& h, double epsilon) {
  return epsilon > 0 ? at::layer_norm(h, {h.size(-1)}, {}, {}, epsilon) : h;
}

}  // namespace

torch::Tensor LayerNormMlp::PlainForward(torch::Tensor h, torch::Generator* generator) const {
  const auto type = h.scalar_type();
  for (size_t l = 0; l < shape_.layers(); ++l) {
    h = at::baddbmm(leaves_[2 * l + 1].to(type), Normalized(h, shape_.epsilon[l]), leaves_[2 * l].to(type));
    if (generator != nullptr && shape_.dropout[l] > 0) {
      h = DroppedOut(h, shape_.dropout[l], *generator);
    }
    if (l + 1 < shape_.layers()) {
      h = at::silu(h);
    }
  }
  return h;
}

torch::Tensor LayerNormMlp::FusedForward(const torch::Tensor& h, torch::Generator* generator) const {
  FusedLayers::Passes passes;
  for (size_t l = 0; l + 1 < shape_.layers(); ++l) {
    const double p = generator != nullptr ? shape_.dropout[l] : 0;
    passes.hidden.push_back(
        {.scale = static_cast<float>(1 / (1 - p)), .epsilon = static_cast<float>(shape_.epsilon[l + 1])});
    passes.dropped.push_back(p > 0 ? DrawDropped(shape_.members * h.size(1) * shape_.widths[l + 1], p, *generator)
                                   : torch::Tensor());
  }
  const torch::Tensor y = fused_->Forward(Normalized(h, shape_.epsilon[0]), passes);
  const double p = shape_.dropout.back();
  return generator != nullptr && p > 0 ? DroppedOut(y, p, *generator) : y;
}

}  // namespace reverie
