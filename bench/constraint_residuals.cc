// How the constraint that a policy acts as trajectories do comes to hold: by multipliers, by slower ones, by a larger
// penalty, and by the penalty alone.
//
// usage: reverie_constraint_residuals [ITERATIONS]
//
// The problem is that of tests/control/static_gain.h, whose optimum is known. Prints the largest residual of all steps
// and the ratio of the policy's cost to the least, for each of ITERATIONS (30), as CSV.
#include <ATen/Parallel.h>

#include <cstdio>
#include <cstdlib>

#include "control/static_gain.h"

int main(int argc, char** argv) {
  at::set_num_threads(1);
  const int64_t iterations = argc > 1 ? std::atoll(argv[1]) : 30;
  struct Method {
    const char* name;
    double penalty, rate;
  };
  std::printf("method,iteration,residual,cost_ratio\n");
  for (const Method& method : {Method{"multipliers", 1, 1},
                               {"multipliers at a tenth of the rate", 1, 0.1},
                               {"multipliers and ten times the penalty", 10, 1},
                               {"penalty alone", 1, 0}}) {
    reverie::StaticGain gain(method.penalty);
    for (int64_t i = 1; i <= iterations; ++i) {
      const reverie::StaticGain::Outer outer = gain.Step(method.rate);
      std::printf("%s,%ld,%.9g,%.12g\n", method.name, static_cast<long>(i), outer.residual, outer.ratio);
    }
  }
  return 0;
}
