// How the fit of an ensemble of networks is ended: keys that several kinds of model share.
#ifndef REVERIE_MODELS_HOLDOUT_CONFIG_H_
#define REVERIE_MODELS_HOLDOUT_CONFIG_H_

#include <functional>
#include <string>

#include "reverie/config/fields.h"

namespace reverie {

struct HoldoutConfig {
  double ratio = 0.2;  // of the rows that are held out
  int64_t most = 5000;
  int64_t patience = 5;
  int64_t max_epochs = 0;  // 0: no limit

  // The keys holdout_ratio, max_holdout, patience and max_epochs. `check_ratio` adds checks of the first.
  void Visit(Fields& fields, const std::function<void()>& check_ratio = {});

  // Rows that a fit needs: one to train on and, with hold-out, one to hold out.
  int64_t LeastRows() const { return ratio > 0 ? 2 : 1; }
  // What a first fit to so many rows lacks, or "": for Fields::Check.
  std::string LacksOf(int64_t rows) const;
};

}  // namespace reverie

#endif  // REVERIE_MODELS_HOLDOUT_CONFIG_H_
