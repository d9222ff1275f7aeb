#include "reverie/planning/coloured_noise.h"

#include <ATen/ATen.h>

#include <cmath>

namespace reverie {

torch::Tensor ColouredNoise(int64_t count, const SequenceShape& shape, double beta, torch::Generator& generator) {
  const int64_t horizon = shape.horizon;
  const int64_t frequencies = horizon / 2 + 1;
  // Amplitudes of the real and imaginary parts; the mean's and, of an even length, the highest frequency's have no
  // imaginary part.
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
  const auto options = torch::dtype(torch::kFloat32).device(generator.device());
  const auto parts = [&](const torch::Tensor& amplitude) {
    return torch::empty({count, shape.act_dim, frequencies}, options).normal_(0, 1, generator) *
           (amplitude / std::sqrt(variance)).to(options);
  };
  const torch::Tensor real = parts(re);
  return at::fft_irfft(torch::complex(real, parts(im)), horizon).transpose(1, 2).contiguous();
}

}  // namespace reverie
