#include "reverie/nn/ensemble_mlp.h"

#include <ATen/ATen.h>

#include <cmath>

namespace reverie {

int64_t MlpShape::ParameterCount() const {
  int64_t count = 0;
  for (size_t l = 0; l + 1 < widths.size(); ++l) {
    count += members * (widths[l] + 1) * widths[l + 1];
  }
  return count;
}

namespace {

torch::Tensor ForMembers(const torch::Tensor& x, int64_t members) {
  return x.dim() == 2 ? x.unsqueeze(0).expand({members, x.size(0), x.size(1)}) : x;
}

}  // namespace

torch::Tensor MlpForward(const torch::Tensor& x, const std::vector<torch::Tensor>& weights,
                         const std::vector<torch::Tensor>& biases, Activation activation) {
  torch::Tensor h = ForMembers(x, weights[0].size(0));
  for (size_t l = 0; l < weights.size(); ++l) {
    h = torch::baddbmm(biases[l], h, weights[l]);
    if (l + 1 < weights.size()) {
      h = activation == Activation::kRelu ? torch::relu(h) : at::silu(h);
    }
  }
  return h;
}

EnsembleMlp::EnsembleMlp(const MlpShape& shape, FlatParameters& parameters) : shape_(shape) {
  for (size_t l = 0; l + 1 < shape_.widths.size(); ++l) {
    const FlatParameters::View weight = parameters.Take({shape_.members, shape_.widths[l], shape_.widths[l + 1]});
    const FlatParameters::View bias = parameters.Take({shape_.members, 1, shape_.widths[l + 1]});
    weights_.push_back(weight.value);
    weight_grads_.push_back(weight.grad);
    biases_.push_back(bias.value);
    bias_grads_.push_back(bias.grad);
  }
}

void EnsembleMlp::InitXavierUniform(torch::Generator& generator) {
  for (size_t l = 0; l < weights_.size(); ++l) {
    const double bound = std::sqrt(6.0 / static_cast<double>(shape_.widths[l] + shape_.widths[l + 1]));
    weights_[l].uniform_(-bound, bound, generator);
    biases_[l].zero_();
  }
}

void EnsembleMlp::InitTruncatedNormal(torch::Generator& generator) {
  const double limit = std::erf(2.0 / std::sqrt(2.0));
  for (size_t l = 0; l < weights_.size(); ++l) {
    const double std = 0.5 / std::sqrt(static_cast<double>(shape_.widths[l]));
    weights_[l].uniform_(-limit, limit, generator).erfinv_().mul_(std * std::sqrt(2.0)).clamp_(-2 * std, 2 * std);
    biases_[l].zero_();
  }
}

void EnsembleMlp::Prepare(Tape& tape, int64_t rows) const {
  if (tape.rows == rows) {
    return;
  }
  tape = {};
  tape.rows = rows;
  for (size_t l = 0; l < weights_.size(); ++l) {
    const auto empty = [&] {
      return torch::empty({shape_.members, rows, shape_.widths[l + 1]}, weights_[l].options());
    };
    const bool last = l + 1 == weights_.size();
    tape.linear.push_back(empty());
    tape.hidden.push_back(last || shape_.activation == Activation::kRelu ? tape.linear.back() : empty());
    if (!last) {
      tape.grad.push_back(empty());
    }
  }
}

const torch::Tensor& EnsembleMlp::Forward(const torch::Tensor& x, Tape& tape) const {
  Prepare(tape, x.size(-2));
  tape.input = ForMembers(x, shape_.members);
  for (size_t l = 0; l < weights_.size(); ++l) {
    at::baddbmm_out(tape.linear[l], biases_[l], l == 0 ? tape.input : tape.hidden[l - 1], weights_[l]);
    if (l + 1 < weights_.size()) {
      if (shape_.activation == Activation::kRelu) {
        at::relu_(tape.linear[l]);
      } else {
        at::silu_out(tape.hidden[l], tape.linear[l]);
      }
    }
  }
  return tape.linear.back();
}

const torch::Tensor& EnsembleMlp::BackThrough(int64_t layer, const torch::Tensor& grad, Tape& tape) const {
  const auto l = static_cast<size_t>(layer);
  torch::Tensor& below = tape.grad[l - 1];
  at::bmm_out(below, grad, weights_[l].transpose(1, 2));
  if (shape_.activation == Activation::kRelu) {
    at::threshold_backward_out(below, below, tape.hidden[l - 1], 0);
  } else {
    at::silu_backward_out(below, below, tape.linear[l - 1]);
  }
  return below;
}

void EnsembleMlp::Backward(const torch::Tensor& grad, Tape& tape) {
  torch::Tensor g = grad;
  for (int64_t layer = shape_.layers() - 1; layer >= 0; --layer) {
    const auto l = static_cast<size_t>(layer);
    const torch::Tensor& input = l == 0 ? tape.input : tape.hidden[l - 1];
    at::bmm_out(weight_grads_[l], input.transpose(1, 2), g);
    at::sum_out(bias_grads_[l], g, {1}, /*keepdim=*/true);
    if (layer > 0) {
      g = BackThrough(layer, g, tape);
    }
  }
}

torch::Tensor EnsembleMlp::InputGradient(const torch::Tensor& grad, Tape& tape, int64_t begin, int64_t end) const {
  torch::Tensor g = grad;
  for (int64_t layer = shape_.layers() - 1; layer > 0; --layer) {
    g = BackThrough(layer, g, tape);
  }
  return at::bmm(g, weights_[0].slice(1, begin, end).transpose(1, 2)).sum(0);
}

}  // namespace reverie
