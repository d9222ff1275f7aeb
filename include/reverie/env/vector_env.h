// N copies of an environment, stepped together on T threads, with the results of N single ones.
//
// The threads are our own: MuJoCo 4's mjb_apply could carry them, since it runs any function on its pool, but wants a
// model and data of its own even for tasks without MuJoCo, leaves a failed simulation by a jump across C++ frames, and
// has little to win: stepping here is within a tenth of the physics alone (docs/performance.md).
#ifndef REVERIE_ENV_VECTOR_ENV_H_
#define REVERIE_ENV_VECTOR_ENV_H_

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include "reverie/core/rng.h"
#include "reverie/core/state.h"
#include "reverie/env/env.h"

namespace reverie {

// Copy i draws its start states from rng.Split(i): what it does depends neither on N nor on T. Calls come from one
// thread at a time, which works along.
class VectorEnv {
 public:
  // make: EnvMaker::make, called `count` times. threads counts the caller's; more than `count` are not started.
  // Throws std::invalid_argument where one of the numbers is below 1.
  VectorEnv(const std::function<std::unique_ptr<Env>()>& make, int64_t count, int64_t threads, const Rng& rng);
  ~VectorEnv();
  VectorEnv(const VectorEnv&) = delete;
  VectorEnv& operator=(const VectorEnv&) = delete;

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
  // Calls job(i) for i in [0, count), on all threads.
  void RunOnAll(int64_t count, const std::function<void(int64_t)>& job);
  void Begin(int64_t count, const std::function<void(int64_t)>* job);
  void Work();
  void CheckSize(const char* what, size_t got, size_t row) const;
  std::span<double> Row(std::span<double> rows, int64_t i) const;

  std::vector<std::unique_ptr<Env>> envs_;
  std::vector<RandomEngine> engines_;

  const std::function<void(int64_t)>* job_ = nullptr;  // null: the threads end
  int64_t job_count_ = 0;
  std::atomic<int64_t> next_{0};
  std::vector<std::exception_ptr> errors_;  // [N]
  std::atomic<int64_t> jobs_begun_{0};      // the threads work whenever it has grown
  std::atomic<int64_t> threads_busy_{0};    // our own, without the caller's
  std::vector<std::thread> threads_;
};

}  // namespace reverie

#endif  // REVERIE_ENV_VECTOR_ENV_H_
