#include "reverie/planning/icem.h"

#include <algorithm>
#include <cmath>

#include "sequences.h"

namespace reverie {

void ICem::Options::Visit(Fields& fields) {
  fields("population", population, "candidates in the first iteration (P)", AtLeast(1));
  fields("elites", elites, "best candidates that the next are drawn around (K)", AtLeast(1));
  fields("iterations", iterations, "iterations for a decision", AtLeast(1));
  fields("alpha", alpha, "share of the old mean and deviation in the new ones",
         Range{.low = 0, .high = 1, .high_open = true});
  fields("init_std", init_std, "deviation of the first candidates", Above(0));
  fields("gamma", gamma, "each iteration draws that many times fewer, at least 2 elites", AtLeast(1));
  fields("keep", keep, "share of the elites that are candidates again", Between(0, 1));
  fields("noise_beta", noise_beta, "exponent of the noise's spectrum; 0: white", AtLeast(0));
}

ICem::ICem(const Options& options, const SequenceShape& shape, const torch::Device& device)
    : options_(options),
      shape_(shape),
      noise_(shape, options.noise_beta, device),
      mean_(torch::zeros({shape.horizon, shape.act_dim}, torch::device(device))),
      kept_(torch::zeros({static_cast<int64_t>(std::ceil(options.keep * static_cast<double>(options.elites))),
                          shape.horizon, shape.act_dim},
                         torch::device(device))) {}

int64_t ICem::PopulationAt(int64_t iteration) const {
  const double shrunk =
      static_cast<double>(options_.population) * std::pow(options_.gamma, -static_cast<double>(iteration));
  return std::max(static_cast<int64_t>(shrunk), 2 * options_.elites);
}

torch::Tensor ICem::Optimize(const SequenceProblem& problem, torch::Generator& generator) {
  const torch::NoGradGuard no_grad;
  torch::Tensor mean = mean_;
  torch::Tensor std = torch::full_like(mean, options_.init_std);
  if (has_kept_ && to_draw_ > 0) {
    torch::Tensor last = kept_.narrow(1, shape_.horizon - to_draw_, to_draw_);
    const torch::Tensor noise = torch::empty(last.sizes(), last.options()).normal_(0, options_.init_std, generator);
    last.copy_((mean.narrow(0, shape_.horizon - to_draw_, to_draw_) + noise).clamp_(-1, 1));
  }
  torch::Tensor best;
  for (int64_t i = 0; i < options_.iterations; ++i) {
    const torch::Tensor noise = noise_.Draw(PopulationAt(i), generator);
    std::vector<torch::Tensor> parts;
    parts.reserve(3);
    parts.push_back(torch::addcmul(mean, std, noise).clamp_(-1, 1));
    if (has_kept_) {
      parts.push_back(kept_);
    }
    if (i == options_.iterations - 1) {
      parts.push_back(mean.unsqueeze(0));
    }
    const torch::Tensor candidates = torch::cat(parts);
    const Elites elites =
        BestOf(candidates, FiniteOrLeast(problem.objective(candidates)), options_.elites, mean, std.square());
    // Where fewer are finite than are kept, the mean takes their places.
    const torch::Tensor good = torch::where(elites.finite, elites.sequences, mean);
    kept_.copy_(good.narrow(0, 0, kept_.size(0)));
    has_kept_ = kept_.size(0) > 0;
    best = good[0];
    mean = torch::lerp(elites.mean, mean, options_.alpha);
    std = torch::lerp(elites.var.sqrt(), std, options_.alpha);
  }
  mean_.copy_(mean);
  to_draw_ = 0;
  return best.clone();
}

void ICem::Shift(int64_t steps) {
  mean_.copy_(Shifted(mean_, steps, PlanEnd::kRepeat));
  kept_.copy_(Shifted(kept_, steps, PlanEnd::kRepeat));
  to_draw_ = std::min(to_draw_ + steps, shape_.horizon);
}

void ICem::Reset() {
  mean_.zero_();
  has_kept_ = false;
  to_draw_ = 0;
}

void ICem::VisitState(StateVisitor& state) {
  state("mean", mean_);
  state("kept", kept_);
  state("has_kept", has_kept_);
  state("to_draw", to_draw_);
}

}  // namespace reverie
