#include "reverie/nn/layer_norm_mlp.h"

#include <ATen/ATen.h>

#include <cmath>
#include <stdexcept>
#include <utility>

namespace reverie {

int64_t LayerNormMlpShape::ParameterCount() const {
  int64_t count = 0;
  for (size_t l = 0; l < layers(); ++l) {
    count += members * (widths[l] + 1) * widths[l + 1];
  }
  return count;
}

LayerNormMlp::LayerNormMlp(LayerNormMlpShape shape, FlatParameters& parameters) : shape_(std::move(shape)) {
  if (shape_.epsilon.size() != shape_.layers() || shape_.dropout.size() != shape_.layers()) {
    throw std::logic_error("LayerNormMlp: expected an epsilon and a dropout rate for each layer");
  }
  for (size_t l = 0; l < shape_.layers(); ++l) {
    leaves_.push_back(parameters.Take({shape_.members, shape_.widths[l], shape_.widths[l + 1]}).Leaf());
    leaves_.push_back(parameters.Take({shape_.members, 1, shape_.widths[l + 1]}).Leaf());
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
  torch::Tensor h = x;
  for (size_t l = 0; l < shape_.layers(); ++l) {
    if (shape_.epsilon[l] > 0) {
      h = at::layer_norm(h, {shape_.widths[l]}, {}, {}, shape_.epsilon[l]);
    }
    if (h.dim() == 2) {
      h = h.expand({shape_.members, h.size(0), h.size(1)});
    }
    h = at::baddbmm(leaves_[2 * l + 1].to(x.scalar_type()), h, leaves_[2 * l].to(x.scalar_type()));
    if (const double p = shape_.dropout[l]; generator != nullptr && p > 0) {
      h = h * torch::empty_like(h).bernoulli_(1 - p, *generator).div_(1 - p);
    }
    if (l + 1 < shape_.layers()) {
      h = at::silu(h);
    }
  }
  return h;
}

}  // namespace reverie
