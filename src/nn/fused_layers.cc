#include "fused_layers.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <mutex>
#include <span>
#include <stdexcept>
#include <tuple>
#include <utility>

#include "core/vectorize.h"

namespace reverie {
namespace {

using torch::autograd::AutogradContext;

// Rows that pass through the layers together, at most.
constexpr int64_t kPassedRows = 128;
// Blocks have a multiple of so many, for whole tiles of products.
constexpr int64_t kEvenRows = 4;
// Rows of a weight's gradient that one task computes, and rows of a batch whose share of it is added at once.
constexpr int64_t kGradientRows = 64;
constexpr int64_t kSummedRows = 256;

std::span<const int64_t> PositionsOf(const torch::Tensor& dropped) {
  return dropped.defined() ? std::span(dropped.data_ptr<int64_t>(), static_cast<size_t>(dropped.numel()))
                           : std::span<const int64_t>();
}

// Rows of all members in blocks.
struct Blocks {
  int64_t members, rows, size, of_a_member;

  // Of at most `most` rows, as even as can be.
  static Blocks Of(int64_t members, int64_t rows, int64_t most) {
    const int64_t blocks = std::max<int64_t>(1, at::divup(rows, most));
    const int64_t size = std::max<int64_t>(1, at::divup(at::divup(rows, blocks), kEvenRows) * kEvenRows);
    return {.members = members, .rows = rows, .size = size, .of_a_member = at::divup(rows, size)};
  }

  // visit(member, first row of the member, rows), on all threads.
  template <class Visit>
  void ForEach(Visit visit) const {
    at::parallel_for(0, members * of_a_member, 1, [&](int64_t begin, int64_t end) {
      const FlushSubnormals flush;
      for (int64_t task = begin; task < end; ++task) {
        const int64_t first = task % of_a_member * size;
        visit(task / of_a_member, first, std::min(size, rows - first));
      }
    });
  }
};

// A thread's own numbers, aligned.
float* Scratch(int64_t count) {
  thread_local torch::Tensor numbers;
  if (!numbers.defined() || numbers.numel() < count) {
    numbers = torch::empty({count}, torch::kFloat32);
  }
  return numbers.data_ptr<float>();
}

// [E, B, n], rows of one member apart by row_stride.
struct MemberRows {
  const float* data;
  int64_t member_stride, row_stride;

  explicit MemberRows(const torch::Tensor& x)
      : data(x.data_ptr<float>()), member_stride(x.stride(0)), row_stride(x.stride(1)) {}
  const float* At(int64_t member, int64_t row) const { return data + member * member_stride + row * row_stride; }
};

torch::Tensor WithWholeRows(const torch::Tensor& x) {
  return x.stride(2) == 1 && x.stride(1) >= x.size(2) ? x : x.contiguous();
}

}  // namespace

// The leaves, laid out for products with them and with their transposes.
class FusedWeights {
 public:
  FusedWeights(std::vector<torch::Tensor> leaves, Packing packing)
      : leaves_(std::move(leaves)), packing_(packing), forwards_(layers()), backwards_(layers()) {}

  size_t layers() const { return leaves_.size() / 2; }
  const std::vector<torch::Tensor>& leaves() const { return leaves_; }
  const torch::Tensor& weight(size_t l) const { return leaves_[2 * l]; }
  int64_t in(size_t l) const { return weight(l).size(1); }
  int64_t out(size_t l) const { return weight(l).size(2); }
  int64_t members() const { return weight(0).size(0); }
  const float* bias(size_t l, int64_t member) const { return leaves_[2 * l + 1].data_ptr<float>() + member * out(l); }
  WeightLayout Layout(int64_t k, int64_t n) const { return {.k = k, .n = n, .packing = packing_}; }
  WeightLayout ForwardLayout(size_t l) const { return Layout(in(l), out(l)); }
  WeightLayout BackwardLayout(size_t l) const { return Layout(out(l), in(l)); }
  // Numbers from one row of a product of that width to the next.
  int64_t Padded(int64_t width) const { return Layout(1, width).padded_n(); }
  int64_t widest() const {
    int64_t widest = Padded(in(0));
    for (size_t l = 0; l < layers(); ++l) {
      widest = std::max(widest, Padded(out(l)));
    }
    return widest;
  }
  // [E, B, width] with room for a product of that width.
  torch::Tensor EmptyRows(int64_t rows, int64_t width) const {
    return torch::empty({members(), rows, Padded(width)}, weight(0).options());
  }

  void LayOutForwards() {
    const std::lock_guard lock(mutex_);
    for (size_t l = 0; l < layers(); ++l) {
      LayOut(l, ForwardLayout(l), PackWeights, forwards_[l]);
    }
  }
  void LayOutBackwards() {
    const std::lock_guard lock(mutex_);
    for (size_t l = 0; l < layers(); ++l) {
      LayOut(l, BackwardLayout(l), PackTransposedWeights, backwards_[l]);
    }
  }
  const void* forwards(size_t l, int64_t member) const {
    return static_cast<const std::byte*>(forwards_[l].bytes.data_ptr()) + member * ForwardLayout(l).bytes();
  }
  const void* backwards(size_t l, int64_t member) const {
    return static_cast<const std::byte*>(backwards_[l].bytes.data_ptr()) + member * BackwardLayout(l).bytes();
  }

 private:
  struct LaidOut {
    torch::Tensor bytes;  // [E, layout.bytes()]
    int64_t version = -1;
  };

  using Pack = void (*)(const float* weights, int64_t row_stride, const WeightLayout& layout, void* packed);

  void LayOut(size_t l, const WeightLayout& layout, Pack pack, LaidOut& laid_out) {
    const auto version = static_cast<int64_t>(weight(l)._version());
    if (laid_out.version == version) {
      return;
    }
    if (!laid_out.bytes.defined()) {
      laid_out.bytes = torch::empty({members(), layout.bytes()}, torch::kUInt8);
    }
    const auto* from = weight(l).data_ptr<float>();
    auto* to = static_cast<std::byte*>(laid_out.bytes.data_ptr());
    at::parallel_for(0, members(), 1, [&](int64_t begin, int64_t end) {
      for (int64_t e = begin; e < end; ++e) {
        pack(from + e * in(l)*out(l), out(l), layout, to + e * layout.bytes());
      }
    });
    laid_out.version = version;
  }

  std::vector<torch::Tensor> leaves_;
  Packing packing_;
  std::mutex mutex_;  // of what follows, while it is written
  std::vector<LaidOut> forwards_, backwards_;
};

namespace {

using Passes = FusedLayers::Passes;

// What a forward pass leaves of each hidden layer, rows as EmptyRows lays them: what comes out of it, and what
// HiddenForward writes beside.
struct Tape {
  std::vector<torch::Tensor> hidden, slope, inverse_std;
};

// What a forward pass keeps for the one back.
struct KeptForGradients : torch::CustomClassHolder {
  Tape tape;
  std::vector<HiddenPass> passes;
  std::shared_ptr<FusedWeights> weights;
};

// tape: filled where it is not null.
torch::Tensor PassUp(const torch::Tensor& x, const Passes& passes, FusedWeights& weights, Tape* tape) {
  const size_t hidden = weights.layers() - 1;
  const int64_t members = x.size(0);
  const int64_t rows = x.size(1);
  weights.LayOutForwards();
  if (tape != nullptr) {
    for (size_t l = 0; l < hidden; ++l) {
      tape->hidden.push_back(weights.EmptyRows(rows, weights.out(l)));
      tape->slope.push_back(torch::empty_like(tape->hidden.back()));
      tape->inverse_std.push_back(torch::empty({members, rows}, x.options()));
    }
  }
  torch::Tensor output = torch::empty({members, rows, weights.out(hidden)}, x.options());
  auto* const to = output.data_ptr<float>();
  const MemberRows input(x);
  const int64_t scratch = kPassedRows * weights.widest();
  const Blocks blocks = Blocks::Of(members, rows, kPassedRows);
  blocks.ForEach([&](int64_t e, int64_t first, int64_t count) {
    float* const buffers = Scratch(2 * scratch);
    ConstBlock h{.data = input.At(e, first), .rows = count, .stride = input.row_stride};
    for (size_t l = 0; l <= hidden; ++l) {
      const WeightLayout layout = weights.ForwardLayout(l);
      const RowBlock block{.first = e * rows + first, .rows = count, .width = layout.n, .stride = layout.padded_n()};
      const int64_t at = block.first * block.stride;
      const bool kept = tape != nullptr && l < hidden;
      float* const y = kept ? tape->hidden[l].data_ptr<float>() + at : buffers + (l % 2 == 0 ? 0 : scratch);
      BlockProduct(h, weights.forwards(l, e), layout, y);
      if (l == hidden) {
        AddBiasAndGather(block, y, weights.bias(l, e), to + block.first * block.width);
      } else {
        HiddenForward(passes.hidden[l], block, weights.bias(l, e), PositionsOf(passes.dropped[l]), y,
                      kept ? tape->slope[l].data_ptr<float>() + at : nullptr,
                      kept ? tape->inverse_std[l].data_ptr<float>() + block.first : nullptr);
      }
      h = {.data = y, .rows = count, .stride = block.stride};
    }
  });
  return output;
}

// The loss's gradient by what each product writes, from that by the last one [E, B, out].
std::vector<torch::Tensor> PassDown(const torch::Tensor& by_output, const KeptForGradients& kept) {
  FusedWeights& weights = *kept.weights;
  weights.LayOutBackwards();
  const int64_t rows = by_output.size(1);
  const size_t hidden = weights.layers() - 1;
  std::vector<torch::Tensor> by;
  std::vector<MemberRows> lie;
  for (size_t l = 0; l < hidden; ++l) {
    by.push_back(torch::empty_like(kept.tape.hidden[l]));
  }
  by.push_back(by_output);
  lie.reserve(by.size());
  for (const torch::Tensor& grad : by) {
    lie.emplace_back(grad);
  }
  const Blocks blocks = Blocks::Of(by_output.size(0), rows, kPassedRows);
  blocks.ForEach([&](int64_t e, int64_t first, int64_t count) {
    for (size_t l = hidden; l > 0; --l) {
      const WeightLayout layout = weights.BackwardLayout(l);
      const RowBlock block{.first = e * rows + first, .rows = count, .width = layout.n, .stride = layout.padded_n()};
      const int64_t at = block.first * block.stride;
      float* const grad = by[l - 1].data_ptr<float>() + at;
      BlockProduct({.data = lie[l].At(e, first), .rows = count, .stride = lie[l].row_stride}, weights.backwards(l, e),
                   layout, grad);
      HiddenBackward(kept.passes[l - 1], block, kept.tape.hidden[l - 1].data_ptr<float>() + at,
                     kept.tape.slope[l - 1].data_ptr<float>() + at,
                     kept.tape.inverse_std[l - 1].data_ptr<float>() + block.first, grad);
    }
  });
  return by;
}

torch::Tensor ByInput(const torch::Tensor& by_product, FusedWeights& weights) {
  const WeightLayout layout = weights.BackwardLayout(0);
  const MemberRows from(by_product);
  torch::Tensor padded = weights.EmptyRows(by_product.size(1), layout.n);
  auto* const to = padded.data_ptr<float>();
  const Blocks blocks = Blocks::Of(padded.size(0), padded.size(1), kPassedRows);
  blocks.ForEach([&](int64_t e, int64_t first, int64_t count) {
    BlockProduct({.data = from.At(e, first), .rows = count, .stride = from.row_stride}, weights.backwards(0, e), layout,
                 to + (e * padded.size(1) + first) * padded.size(2));
  });
  return padded.narrow(2, 0, layout.n);
}

// By layer l's weights [E, in, out] and biases [E, 1, out], from what went into its product and from the gradient by
// what came out.
std::pair<torch::Tensor, torch::Tensor> ByLeaves(const torch::Tensor& input, const torch::Tensor& by_product, size_t l,
                                                 const FusedWeights& of) {
  const int64_t in = of.in(l);
  const int64_t out = of.out(l);
  const int64_t members = by_product.size(0);
  const int64_t rows = by_product.size(1);
  if (rows == 0) {
    return {torch::zeros({members, in, out}, by_product.options()),
            torch::zeros({members, 1, out}, by_product.options())};
  }
  const MemberRows up(input);
  const MemberRows down(by_product);
  const int64_t sums = at::divup(rows, kSummedRows);
  const auto layout_of = [&](int64_t s) { return of.Layout(std::min(kSummedRows, rows - s * kSummedRows), out); };
  const int64_t bytes = of.Layout(kSummedRows, out).bytes();
  const torch::Tensor laid_out = torch::empty({members * sums, bytes}, torch::kUInt8);
  auto* const packed = static_cast<std::byte*>(laid_out.data_ptr());
  at::parallel_for(0, members * sums, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      PackWeights(down.At(i / sums, i % sums * kSummedRows), down.row_stride, layout_of(i % sums), packed + i * bytes);
    }
  });
  torch::Tensor by_weight = torch::empty({members, in, out}, by_product.options());
  torch::Tensor by_bias = torch::empty({members, 1, out}, by_product.options());
  auto* const weights = by_weight.data_ptr<float>();
  auto* const biases = by_bias.data_ptr<float>();
  const int64_t width = of.Padded(out);
  const Blocks blocks = Blocks::Of(members, in, kGradientRows);
  blocks.ForEach([&](int64_t e, int64_t first, int64_t count) {
    float* const to = weights + (e * in + first) * out;
    float* const y = width == out ? to : Scratch(kGradientRows * width);
    for (int64_t s = 0; s < sums; ++s) {
      const WeightLayout layout = layout_of(s);
      BlockTransposedProduct({.data = up.At(e, s * kSummedRows) + first, .rows = layout.k, .stride = up.row_stride},
                             count, packed + (e * sums + s) * bytes, layout, /*add=*/s > 0, y);
    }
    for (int64_t i = 0; i < count && y != to; ++i) {
      std::copy_n(y + i * width, out, to + i * out);
    }
    if (first == 0) {
      SumOfRows({.first = 0, .rows = rows, .width = out, .stride = down.row_stride}, down.At(e, 0), biases + e * out);
    }
  });
  return {by_weight, by_bias};
}

class FusedFunction : public torch::autograd::Function<FusedFunction> {
 public:
  static torch::Tensor forward(AutogradContext* ctx, const torch::Tensor& x, at::TensorList leaves,
                               const Passes& passes, const std::shared_ptr<FusedWeights>& weights) {
    auto kept = c10::make_intrusive<KeptForGradients>();
    kept->passes = passes.hidden;
    kept->weights = weights;
    torch::Tensor output = PassUp(x, passes, *weights, &kept->tape);
    // Autograd minds that none of the leaves changes in between.
    std::vector<torch::Tensor> saved{x};
    saved.insert(saved.end(), leaves.begin(), leaves.end());
    ctx->save_for_backward(std::move(saved));
    ctx->saved_data["kept"] = c10::IValue::make_capsule(std::move(kept));
    return output;
  }

  static std::vector<torch::Tensor> backward(AutogradContext* ctx, const std::vector<torch::Tensor>& grads) {
    if (torch::GradMode::is_enabled()) {
      throw std::logic_error("FusedLayers: a second derivative was asked for");
    }
    const torch::Tensor x = ctx->get_saved_variables()[0];
    const c10::intrusive_ptr<torch::CustomClassHolder> holder = ctx->saved_data["kept"].toCapsule();
    const auto& kept = static_cast<const KeptForGradients&>(*holder);
    const size_t layers = kept.weights->layers();
    const std::vector<torch::Tensor> by_products = PassDown(grads[0].contiguous(), kept);
    // By x and by the leaves; none by the passes and the weights.
    std::vector<torch::Tensor> by(3 + 2 * layers);
    if (ctx->needs_input_grad(0)) {
      by[0] = ByInput(by_products[0], *kept.weights);
    }
    for (size_t l = 0; l < layers; ++l) {
      if (ctx->needs_input_grad(1 + 2 * l)) {
        const torch::Tensor& input = l == 0 ? x : kept.tape.hidden[l - 1];
        std::tie(by[1 + 2 * l], by[2 + 2 * l]) = ByLeaves(input, by_products[l], l, *kept.weights);
      }
    }
    return by;
  }
};

}  // namespace

FusedLayers::FusedLayers(std::vector<torch::Tensor> leaves, Packing packing)
    : weights_(std::make_shared<FusedWeights>(std::move(leaves), packing)) {}

torch::Tensor FusedLayers::Forward(const torch::Tensor& x, const Passes& passes) const {
  if (x.dim() != 3 || x.size(0) != weights_->members() || x.size(2) != weights_->in(0)) {
    throw std::logic_error("FusedLayers: x has other sizes than the first layer's weights");
  }
  const torch::Tensor input = WithWholeRows(x);
  return torch::GradMode::is_enabled()
             ? FusedFunction::apply(input, at::TensorList(weights_->leaves()), passes, weights_)
             : PassUp(input, passes, *weights_, nullptr);
}

}  // namespace reverie
