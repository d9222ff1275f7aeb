#include "reverie/nn/ensemble_mlp.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "block.h"
#include "reverie/nn/kernels.h"

namespace reverie {
namespace {

// Rows that pass through all layers together: their activations fit into a core's second-level cache.
constexpr int64_t kBlockRows = 256;

}  // namespace

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

EnsembleMlp::EnsembleMlp(MlpShape shape, FlatParameters& parameters) : shape_(std::move(shape)) {
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
    tape.hidden.push_back(empty());
    if (l + 1 < weights_.size()) {
      tape.grad.push_back(empty());
      if (shape_.activation == Activation::kSilu) {
        tape.slope.push_back(empty());
      }
    }
  }
}

namespace {

// EnsembleMlp::Infer on the CPU: x [E, B, in], output [E, B, out] contiguous.
void InferBlocks(const MlpShape& shape, const std::vector<torch::Tensor>& weights,
                 const std::vector<torch::Tensor>& biases, const torch::Tensor& x, torch::Tensor& output) {
  const torch::Tensor input = x.stride(2) == 1 && x.stride(1) >= x.size(2) ? x : x.contiguous();
  const int64_t rows = input.size(1);
  const auto layers = static_cast<size_t>(shape.layers());
  const int64_t widest = *std::max_element(shape.widths.begin() + 1, shape.widths.end());
  const int64_t blocks = at::divup(rows, kBlockRows);
  const float* from = input.data_ptr<float>();
  float* to = output.data_ptr<float>();
  at::parallel_for(0, shape.members * blocks, 1, [&](int64_t begin, int64_t end) {
    thread_local std::vector<float> buffers;
    buffers.resize(static_cast<size_t>(2 * kBlockRows * widest));
    for (int64_t task = begin; task < end; ++task) {
      const int64_t e = task / blocks;
      const int64_t first = task % blocks * kBlockRows;
      const int64_t count = std::min(kBlockRows, rows - first);
      ConstBlock h{
          .data = from + e * input.stride(0) + first * input.stride(1), .rows = count, .stride = input.stride(1)};
      for (size_t l = 0; l < layers; ++l) {
        const int64_t in = shape.widths[l];
        const int64_t out = shape.widths[l + 1];
        const bool last = l + 1 == layers;
        float* y =
            last ? to + (e * rows + first) * out : buffers.data() + static_cast<int64_t>(l % 2) * kBlockRows * widest;
        BlockProduct(h, weights[l].data_ptr<float>() + e * in * out, in, out, y);
        const float* bias = biases[l].data_ptr<float>() + e * out;
        if (last) {
          AddBiasBlock(y, bias, count, out);
        } else if (shape.activation == Activation::kRelu) {
          BiasReluBlock(y, bias, count, out);
        } else {
          BiasSiluBlock(y, bias, count, out);
        }
        h = {.data = y, .rows = count, .stride = out};
      }
    }
  });
}

}  // namespace

torch::Tensor EnsembleMlp::Infer(const torch::Tensor& x) const {
  torch::Tensor output = torch::empty({shape_.members, x.size(-2), shape_.widths.back()}, x.options());
  Infer(x, output);
  return output;
}

void EnsembleMlp::Infer(const torch::Tensor& x, torch::Tensor& output) const {
  const torch::NoGradGuard no_grad;
  const torch::Tensor input = ForMembers(x, shape_.members);
  if (input.is_cpu()) {
    InferBlocks(shape_, weights_, biases_, input, output);
    return;
  }
  const auto layers = static_cast<size_t>(shape_.layers());
  torch::Tensor h = input;
  for (size_t l = 0; l + 1 < layers; ++l) {
    h = at::bmm(h, weights_[l]);
    shape_.activation == Activation::kRelu ? BiasRelu(h, biases_[l]) : BiasSilu(h, biases_[l]);
  }
  at::bmm_out(output, h, weights_.back());
  AddBias(output, biases_.back());
}

const torch::Tensor& EnsembleMlp::Forward(const torch::Tensor& x, Tape& tape) const {
  Prepare(tape, x.size(-2));
  tape.input = ForMembers(x, shape_.members);
  for (size_t l = 0; l < weights_.size(); ++l) {
    torch::Tensor& y = tape.hidden[l];
    at::bmm_out(y, l == 0 ? tape.input : tape.hidden[l - 1], weights_[l]);
    if (l + 1 == weights_.size()) {
      AddBias(y, biases_[l]);
    } else if (shape_.activation == Activation::kRelu) {
      BiasRelu(y, biases_[l]);
    } else {
      BiasSiluWithSlope(y, biases_[l], tape.slope[l]);
    }
  }
  return tape.output();
}

const torch::Tensor& EnsembleMlp::BackThrough(int64_t layer, const torch::Tensor& grad, const torch::Tensor& bias_grad,
                                              Tape& tape) const {
  const auto l = static_cast<size_t>(layer);
  torch::Tensor& below = tape.grad[l - 1];
  at::bmm_out(below, grad, weights_[l].transpose(1, 2));
  if (shape_.activation == Activation::kRelu) {
    ReluBackward(below, tape.hidden[l - 1], bias_grad);
  } else {
    SlopeBackward(below, tape.slope[l - 1], bias_grad);
  }
  return below;
}

void EnsembleMlp::Backward(const torch::Tensor& grad, Tape& tape) {
  torch::Tensor g = grad;
  SumRows(g, bias_grads_.back());
  for (int64_t layer = shape_.layers() - 1; layer >= 0; --layer) {
    const auto l = static_cast<size_t>(layer);
    const torch::Tensor& input = l == 0 ? tape.input : tape.hidden[l - 1];
    at::bmm_out(weight_grads_[l], input.transpose(1, 2), g);
    if (layer > 0) {
      g = BackThrough(layer, g, bias_grads_[l - 1], tape);
    }
  }
}

void EnsembleMlp::InputGradient(const torch::Tensor& grad, Tape& tape, int64_t begin, int64_t end,
                                torch::Tensor& input_grad) const {
  torch::Tensor g = grad;
  for (int64_t layer = shape_.layers() - 1; layer > 0; --layer) {
    g = BackThrough(layer, g, {}, tape);
  }
  at::bmm_out(input_grad, g, weights_[0].slice(1, begin, end).transpose(1, 2));
}

}  // namespace reverie
