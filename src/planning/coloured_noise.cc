#include "reverie/planning/coloured_noise.h"

#include <ATen/ATen.h>

#include <cmath>

namespace reverie {

ColouredNoise::ColouredNoise(const SequenceShape& shape, double beta, const torch::Device& device) : shape_(shape) {
  const int64_t horizon = shape.horizon;
  const int64_t frequencies = horizon / 2 + 1;
  // The mean's and, of an even length, the highest frequency's have no imaginary part.
  torch::Tensor re = torch::arange(frequencies, torch::kFloat64).clamp_min(1).pow(-beta / 2);
  torch::Tensor im = re.clone();
  const auto real_only = [&](int64_t k) {
    re[k] *= std::sqrt(2.0);
    im[k] = 0;
  };
  real_only(0);
  if (horizon % 2 == 0) {
    real_only(frequencies - 1);
  }
  // The inverse transform counts every frequency with both parts twice: the variance of each step.
  const torch::Tensor twice = torch::where(im > 0, 4.0, 1.0);
  const double variance = (re.square() * twice).sum().item<double>() / static_cast<double>(horizon * horizon);
  const auto options = torch::dtype(torch::kFloat32).device(device);
  re_ = (re / std::sqrt(variance)).to(options);
  im_ = (im / std::sqrt(variance)).to(options);
}

torch::Tensor ColouredNoise::Draw(int64_t count, torch::Generator& generator) const {
  const auto parts = [&](const torch::Tensor& deviation) {
    return torch::empty({count, shape_.act_dim, deviation.size(0)}, deviation.options()).normal_(0, 1, generator) *
           deviation;
  };
  const torch::Tensor real = parts(re_);
  return at::fft_irfft(torch::complex(real, parts(im_)), shape_.horizon).transpose(1, 2).contiguous();
}

}  // namespace reverie
