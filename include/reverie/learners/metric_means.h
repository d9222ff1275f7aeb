// Means of what a learner reports of its updates, summed on its device and copied to the host when they are asked for.
#ifndef REVERIE_LEARNERS_METRIC_MEANS_H_
#define REVERIE_LEARNERS_METRIC_MEANS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "reverie/core/metrics.h"
#include "reverie/core/state.h"
#include "reverie/core/tensor.h"

namespace reverie {

class MetricMeans {
 public:
  // whose: "SAC's", for messages.
  MetricMeans(std::string whose, std::vector<std::string> names, const torch::Device& device);

  // An update's metrics, [names] float32 in their order. Nothing is copied to the host.
  void Add(const torch::Tensor& metrics) { sums_.add_(metrics); }
  // That many updates were added.
  void Count(int64_t updates) { updates_ += updates; }

  // Their means, in the names' order. One copy to the host. Throws std::runtime_error naming the first that is not
  // finite and `update`, the number of the last one.
  std::vector<double> FiniteMeans(int64_t update) const;
  // The same by name, and begins anew. Empty where there was no update.
  Metrics Drain(int64_t update);

  // As "sums" and "drained_updates".
  void VisitState(StateVisitor& state);

 private:
  std::string whose_;
  std::vector<std::string> names_;
  torch::Tensor sums_;
  int64_t updates_ = 0;
};

}  // namespace reverie

#endif  // REVERIE_LEARNERS_METRIC_MEANS_H_
