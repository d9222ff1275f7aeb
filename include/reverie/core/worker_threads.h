// Threads that share out short jobs, again and again.
//
// They are our own: MuJoCo 4's mjb_apply could carry them, since it runs any function on its pool, but wants a model
// and data of its own even for tasks without MuJoCo, leaves a failed simulation by a jump across C++ frames, and has
// little to win: stepping here is within a tenth of the physics alone (docs/performance.md).
#ifndef REVERIE_CORE_WORKER_THREADS_H_
#define REVERIE_CORE_WORKER_THREADS_H_

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <thread>
#include <vector>

namespace reverie {

class WorkerThreads {
 public:
  // threads counts the caller's, which works along; at least 1. Throws std::runtime_error where the system does not
  // start as many.
  explicit WorkerThreads(int64_t threads);
  ~WorkerThreads();
  WorkerThreads(const WorkerThreads&) = delete;
  WorkerThreads& operator=(const WorkerThreads&) = delete;

  int64_t size() const { return static_cast<int64_t>(threads_.size()) + 1; }

  // Calls job(i, worker) once for every i in [0, count), worker in [0, size()) being the thread that does it. Returns
  // when all are done; where some threw, with the exception of the first of them. From one thread at a time.
  void Run(int64_t count, const std::function<void(int64_t i, int64_t worker)>& job);

 private:
  using Job = std::function<void(int64_t, int64_t)>;
  void Begin(int64_t count, const Job* job);
  void End();
  void WaitAndWork(int64_t worker);
  void Work(int64_t worker);

  const Job* job_ = nullptr;  // null: the threads end
  int64_t job_count_ = 0;
  std::atomic<int64_t> next_{0};
  std::vector<std::exception_ptr> errors_;  // [count]
  std::atomic<int64_t> jobs_begun_{0};      // the threads work whenever it has grown
  std::atomic<int64_t> threads_busy_{0};    // our own, without the caller's
  std::vector<std::thread> threads_;
};

}  // namespace reverie

#endif  // REVERIE_CORE_WORKER_THREADS_H_
