// What commands print of an evaluation.
#ifndef REVERIE_SRC_APPS_RETURNS_H_
#define REVERIE_SRC_APPS_RETURNS_H_

#include <nlohmann/json.hpp>
#include <string>

#include "reverie/core/text.h"
#include "reverie/run/evaluator.h"

namespace reverie {

inline void AddReturns(const EvalResult& result, nlohmann::ordered_json& json) {
  json["episodes"] = result.episodes();
  json["return_mean"] = result.return_mean();
  json["return_std"] = result.return_std();
  json["return_min"] = result.return_min();
  json["return_max"] = result.return_max();
  json["length_mean"] = result.length_mean();
  json["returns"] = result.returns;
}

inline std::string ReturnsText(const EvalResult& result) {
  return Text(result.episodes(), result.episodes() == 1 ? " episode" : " episodes", ": return ",
              FixedText(result.return_mean(), 2), " +- ", FixedText(result.return_std(), 2), " (min ",
              FixedText(result.return_min(), 2), ", max ", FixedText(result.return_max(), 2), "), length ",
              FixedText(result.length_mean(), 1));
}

}  // namespace reverie

#endif  // REVERIE_SRC_APPS_RETURNS_H_
