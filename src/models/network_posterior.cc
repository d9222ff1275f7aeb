#include "reverie/models/network_posterior.h"

#include <utility>

#include "minibatch_fit.h"

namespace reverie {

MlpShape NetworkPosterior::Shape(const std::vector<int64_t>& hidden, const ModelSpec& spec, int64_t members,
                                 int64_t outputs) {
  return {.members = members, .widths = Widths(spec.input_dim(), hidden, outputs), .activation = Activation::kSilu};
}

NetworkPosterior::NetworkPosterior(const Options& options, std::string stream, const ModelSpec& spec, const Rng& rng,
                                   const torch::Device& device)
    : options_(options),
      stream_(std::move(stream)),
      codec_(spec, options.target, device),
      networks_(codec_, Shape(options.hidden, spec, options.draws, 2 * spec.target_dim()),
                GaussianNetworks::FixedBounds(spec.target_dim(), device), Precision::kFloat32, device),
      generator_(MakeGenerator(rng.Split(stream_), device)),
      fit_(std::make_unique<MinibatchFit>("the network's minibatch", 1, options.batch_size, codec_.input_dim(),
                                          codec_.target_dim(), device, std::vector<torch::Generator>{generator_})),
      train_rows_(torch::ones({}, torch::device(device))),
      hypotheses_(torch::arange(options.draws, torch::dtype(torch::kInt64).device(device))),
      holdout_(TransitionBatch::Empty(spec.layout, 0, device)) {}

NetworkPosterior::~NetworkPosterior() = default;

MinibatchWork NetworkPosterior::WorkOn(const FitRows& rows) {
  return {.step = [this](const torch::Tensor& inputs,
                         const torch::Tensor& targets) { return GradientStep(inputs, targets, generator_); },
          .holdout_error =
              [this, &rows] {
                SetHypotheses();
                const torch::Tensor count = (codec_.standardizer().target_scale() != 0).sum().clamp_min(1);
                return networks_.MixtureNll(rows.holdout_inputs, rows.holdout_targets) + Complexity() / count;
              },
          .scale = StoppingScale::kDifference,
          .unjudged = Unjudged(),
          .resamples = false,
          .changed = [this] { return StateTensors(*this); }};
}

void NetworkPosterior::Rehearse() {
  const torch::NoGradGuard no_grad;
  fit_->Rehearse(WorkOn({}));
}

std::optional<Metrics> NetworkPosterior::Fit(const ReplayBuffer& data, const Rng& rng,
                                             const std::function<bool()>& stop) {
  const torch::NoGradGuard no_grad;
  StateTree before = SaveState(*this);
  const torch::Device device = train_rows_.device();
  torch::Generator split_generator = MakeGenerator(rng.Split("split"), device);
  torch::Generator draw_generator = MakeGenerator(rng.Split("draws"), device);
  generator_.set_state(MakeGenerator(rng.Split(stream_), device).get_state());
  const SplitRows split = SplitForFit(data.All(), options_.holdout, split_generator);
  holdout_ = split.holdout;
  codec_.FitTo(split.train, PlainDeviations{});
  const FitRows rows = InUnits(codec_, split);
  SetTrainRows(split.train.size());
  Redraw(draw_generator);
  const MinibatchWork work = WorkOn(rows);
  std::optional<Metrics> metrics = fit_->Run(Learned(), rows, options_.holdout, work, rng, stop);
  if (!metrics) {
    LoadState(before, *this);
    return std::nullopt;
  }
  SetHypotheses();
  if (rows.holds_out()) {
    metrics->Set("holdout_nll", networks_.MixtureNll(rows.holdout_inputs, rows.holdout_targets).item<double>());
  }
  AddMetrics(*metrics);
  return metrics;
}

void NetworkPosterior::VisitState(StateVisitor& state) {
  VisitLearned(state);
  state("draws", draws_);
  codec_.VisitState(state, /*scales_all=*/true);
  state.Resizable("holdout", holdout_.rows);
  if (state.loading()) {
    holdout_.rows = holdout_.rows.to(train_rows_.device());
    SetHypotheses();
  }
}

}  // namespace reverie
