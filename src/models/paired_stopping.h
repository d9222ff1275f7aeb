// The end of a fit by held-out rows, each compared with itself. Internal to the models.
//
// A judgement holds the rows' scores against those of the weights kept so far by a one-sided paired test: t-test below
// 1,000 rows, z-test from there on. A mean that is lower at all begins patience anew; where p < 0.1, the weights are
// better, and are what later ones are held against. (DHMBPO, the published code.)
#ifndef REVERIE_SRC_MODELS_PAIRED_STOPPING_H_
#define REVERIE_SRC_MODELS_PAIRED_STOPPING_H_

#include "reverie/core/tensor.h"

namespace reverie {

// x with P(X > x) = 0.1 for Student's t with so many degrees of freedom: within 1e-3 from three of them on (Abramowitz
// and Stegun 1964, 26.7.5).
double UpperTenthOfStudent(int64_t degrees);

class PairedStopping {
 public:
  // scores [N], N >= 2, of the weights at the beginning; lower is better. The fit goes on until more than `patience`
  // judgements in a row were no lower, and for `most` of them at the latest.
  PairedStopping(const torch::Tensor& scores, int64_t patience, int64_t most);

  bool wants_another() const { return since_lower_ <= patience_ && judged_ < most_; }

  enum class Verdict { kNotFinite, kNoLower, kLower, kBetter };
  // After some steps: scores [N] of the same rows. Two numbers are copied to the host. Where the verdict is kBetter,
  // the caller keeps the weights.
  Verdict Judge(const torch::Tensor& scores);

  int64_t judged() const { return judged_; }
  double best() const { return best_; }  // the mean score of the weights kept

 private:
  torch::Tensor reference_;  // [N], of the weights kept
  int64_t patience_, most_;
  int64_t since_lower_ = 0, judged_ = 0;
  double best_;
};

}  // namespace reverie

#endif  // REVERIE_SRC_MODELS_PAIRED_STOPPING_H_
