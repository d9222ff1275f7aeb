#include "reverie/nn/ensemble_mlp.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <stdexcept>
#include <utility>

#include "block.h"
#include "reverie/nn/kernels.h"

namespace reverie {
namespace {

// Rows that pass through all layers together, so that their activations stay in a core's second-level cache: enough for
// a general product to be worth the weights it lays out; with packed weights fewer, in whole tiles (block.cc, amx.cc).
constexpr int64_t kBlockRows = 256;
constexpr int64_t kPanelBlockRows = 126;
constexpr int64_t kAmxBlockRows = 128;

}  // namespace

std::vector<int64_t> Widths(int64_t inputs, const std::vector<int64_t>& hidden, int64_t outputs) {
  std::vector<int64_t> widths{inputs};
  widths.insert(widths.end(), hidden.begin(), hidden.end());
  widths.push_back(outputs);
  return widths;
}

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
    h = torch::baddbmm(biases[l].to(h.scalar_type()), h, weights[l].to(h.scalar_type()));
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

void EnsembleMlp::InitOrthogonal(torch::Generator& generator) {
  for (size_t l = 0; l < weights_.size(); ++l) {
    const bool wide = shape_.widths[l] < shape_.widths[l + 1];
    const torch::Tensor drawn = torch::randn(weights_[l].sizes(), generator, weights_[l].options());
    const auto [q, r] = at::linalg_qr(wide ? drawn.transpose(1, 2) : drawn);
    // With the signs of R's diagonal Q is uniform over all orthogonal matrices.
    const torch::Tensor uniform = q * r.diagonal(0, 1, 2).sign().unsqueeze(1);
    weights_[l].copy_(wide ? uniform.transpose(1, 2) : uniform);
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

// bfloat16 numbers that stand for one.
int64_t PartsOf(Precision precision) {
  switch (precision) {
    case Precision::kFloat32:
      return 3;
    case Precision::kBf16x2:
      return 2;
    case Precision::kBf16:
      return 1;
  }
  throw std::logic_error("unknown precision");
}

// A layer of all members: weights [E, layout.bytes() of them], biases [E, layout.padded_n()], each contiguous.
struct Layer {
  WeightLayout layout;
  const torch::Tensor& weights;
  const torch::Tensor& biases;
};

// EnsembleMlp::Infer on the CPU: x [E, B, in], output [E, B, out] contiguous.
void InferBlocks(const std::vector<Layer>& layers, Activation activation, int64_t block_rows, const torch::Tensor& x,
                 torch::Tensor& output) {
  const torch::Tensor input = x.stride(2) == 1 && x.stride(1) >= x.size(2) ? x : x.contiguous();
  const int64_t rows = input.size(1);
  int64_t widest = 0;
  for (const Layer& layer : layers) {
    widest = std::max(widest, layer.layout.padded_n());
  }
  const int64_t blocks = at::divup(rows, block_rows);
  const int64_t out = output.size(2);
  const float* from = input.data_ptr<float>();
  float* to = output.data_ptr<float>();
  at::parallel_for(0, input.size(0) * blocks, 1, [&](int64_t begin, int64_t end) {
    thread_local torch::Tensor buffers;  // aligned as packed weights' products need it
    if (!buffers.defined() || buffers.numel() < 2 * block_rows * widest) {
      buffers = torch::empty({2 * block_rows * widest});
    }
    for (int64_t task = begin; task < end; ++task) {
      const int64_t e = task / blocks;
      const int64_t first = task % blocks * block_rows;
      const int64_t count = std::min(block_rows, rows - first);
      ConstBlock h{
          .data = from + e * input.stride(0) + first * input.stride(1), .rows = count, .stride = input.stride(1)};
      for (size_t l = 0; l < layers.size(); ++l) {
        const WeightLayout& layout = layers[l].layout;
        const int64_t width = layout.padded_n();
        float* y = buffers.data_ptr<float>() + static_cast<int64_t>(l % 2) * block_rows * widest;
        BlockProduct(h, static_cast<const std::byte*>(layers[l].weights.data_ptr()) + e * layout.bytes(), layout, y);
        const float* bias = layers[l].biases.data_ptr<float>() + e * width;
        if (l + 1 == layers.size()) {
          AddBiasBlock(y, bias, count, width);
        } else if (activation == Activation::kRelu) {
          BiasReluBlock(y, bias, count, width);
        } else {
          BiasSilu(y, bias, count, layout);
        }
        h = {.data = y, .rows = count, .stride = width};
      }
      for (int64_t i = 0; i < count; ++i) {
        std::copy_n(h.data + i * h.stride, out, to + (e * rows + first + i) * out);
      }
    }
  });
}

// That of layer l.
WeightLayout LayoutOf(const MlpShape& shape, size_t l, Packing packing, Precision precision = Precision::kFloat32) {
  return {.k = shape.widths[l], .n = shape.widths[l + 1], .packing = packing, .parts = PartsOf(precision)};
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
    std::vector<Layer> layers;
    for (size_t l = 0; l < weights_.size(); ++l) {
      layers.push_back({.layout = LayoutOf(shape_, l, Packing::kRows), .weights = weights_[l], .biases = biases_[l]});
    }
    InferBlocks(layers, shape_.activation, kBlockRows, input, output);
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

bool HasCoarserPrecision() { return BestPacking() == Packing::kAmx; }

PackedMlp::PackedMlp(const EnsembleMlp& mlp, Precision precision) : mlp_(mlp), precision_(precision) {
  if (BestPacking() == Packing::kRows || !mlp.weights()[0].is_cpu()) {
    return;
  }
  const int64_t members = mlp.shape().members;
  for (size_t l = 0; l < mlp.weights().size(); ++l) {
    const WeightLayout layout = LayoutOf(mlp.shape(), l, BestPacking(), precision);
    packed_.push_back(torch::empty({members, layout.bytes()}, torch::kUInt8));
    biases_.push_back(torch::zeros({members, layout.padded_n()}));
    biases_[l].narrow(1, 0, layout.n).copy_(mlp.biases()[l].squeeze(1));
    for (int64_t e = 0; e < members; ++e) {
      PackWeights(mlp.weights()[l][e].data_ptr<float>(), layout, packed_[l][e].data_ptr());
    }
  }
}

torch::Tensor PackedMlp::Infer(const torch::Tensor& x) const {
  if (packed_.empty()) {
    return mlp_.Infer(x);
  }
  const torch::NoGradGuard no_grad;
  const MlpShape& shape = mlp_.shape();
  torch::Tensor output = torch::empty({shape.members, x.size(-2), shape.widths.back()}, x.options());
  std::vector<Layer> layers;
  for (size_t l = 0; l < packed_.size(); ++l) {
    layers.push_back(
        {.layout = LayoutOf(shape, l, BestPacking(), precision_), .weights = packed_[l], .biases = biases_[l]});
  }
  const int64_t block_rows = BestPacking() == Packing::kAmx ? kAmxBlockRows : kPanelBlockRows;
  InferBlocks(layers, shape.activation, block_rows, ForMembers(x, shape.members), output);
  return output;
}

std::vector<torch::Tensor> EnsembleMlp::parameters() const {
  std::vector<torch::Tensor> all = weights_;
  all.insert(all.end(), biases_.begin(), biases_.end());
  return all;
}

TrainableMlp::TrainableMlp(MlpShape shape, FlatParameters& parameters) : mlp_(std::move(shape), parameters) {
  for (size_t l = 0; l < mlp_.weights().size(); ++l) {
    weights_.push_back(FlatParameters::View{mlp_.weights()[l], mlp_.weight_grads()[l]}.Leaf());
    biases_.push_back(FlatParameters::View{mlp_.biases()[l], mlp_.bias_grads()[l]}.Leaf());
  }
}

std::vector<torch::Tensor> TrainableMlp::leaves() const {
  std::vector<torch::Tensor> all;
  for (size_t l = 0; l < weights_.size(); ++l) {
    all.insert(all.end(), {weights_[l], biases_[l]});
  }
  return all;
}

std::vector<DecaySegment> DecayPerLayer(const EnsembleMlp& mlp, const FlatParameters& parameters,
                                        const std::vector<double>& factors) {
  std::vector<DecaySegment> segments;
  for (size_t l = 0; l < mlp.weights().size(); ++l) {
    const int64_t begin = mlp.weights()[l].storage_offset() - parameters.values().storage_offset();
    segments.push_back({begin, begin + mlp.weights()[l].numel(), static_cast<float>(factors[l])});
  }
  return segments;
}

}  // namespace reverie
