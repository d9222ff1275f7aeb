// N copies of an environment, stepped together on T threads, with the results of N single ones.
#ifndef REVERIE_ENV_VECTOR_ENV_H_
#define REVERIE_ENV_VECTOR_ENV_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "reverie/core/rng.h"
#include "reverie/core/state.h"
#include "reverie/core/worker_threads.h"
#include "reverie/env/env.h"

namespace reverie {

// Copy i draws its start states from rng.Split(i): what it does depends neither on N nor on T. Calls come from one
// thread at a time, which works along.
class VectorEnv {
 public:
  // make: EnvMaker::make, called `count` times. threads counts the caller's; more than `count` are not started.
  // Throws std::invalid_argument where one of the numbers is below 1.
  VectorEnv(const std::function<std::unique_ptr<Env>()>& make, int64_t count, int64_t threads, const Rng& rng);

  const EnvSpec& spec() const { return envs_[0]->spec(); }
  int64_t size() const { return static_cast<int64_t>(envs_.size()); }
  Env& env(int64_t i) { return *envs_[static_cast<size_t>(i)]; }

  // Starts new episodes in all copies: obs [N * obs_dim], row by row.
  void Reset(std::span<double> obs);

  // Starts new episodes in the copies `which`, each named once; writes only their rows of obs [N * obs_dim].
  void Reset(std::span<const int64_t> which, std::span<double> obs);

  // actions [N * act_dim] in the env's own bounds; writes obs [N * obs_dim] and results [N]. Nothing is reset.
  // Where copies throw, all others have stepped, and the exception of the first of them is thrown.
  void Step(std::span<const double> actions, std::span<double> obs, std::span<StepResult> results);

  // Every copy's state and random stream.
  void VisitState(StateVisitor& state);

 private:
  void CheckSize(const char* what, size_t got, size_t row) const;
  std::span<double> Row(std::span<double> rows, int64_t i) const;

  std::vector<std::unique_ptr<Env>> envs_;
  std::vector<RandomEngine> engines_;
  WorkerThreads threads_;
};

}  // namespace reverie

#endif  // REVERIE_ENV_VECTOR_ENV_H_
