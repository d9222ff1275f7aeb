// How many threads a run computes with.
#ifndef REVERIE_RUN_THREADS_H_
#define REVERIE_RUN_THREADS_H_

#include <cstdint>
#include <functional>
#include <string>

namespace reverie {

// The largest of most, most/2, most/4, ... threads that the system starts at once, at least 1: OpenMP ends the process
// where it cannot have as many as it was told to use. What fails is said in the log.
int64_t StartableThreads(int64_t most);

struct ThreadChoice {
  int64_t threads = 1;
  std::string reason;  // a sentence for the log, with what was measured
};

// The number of threads, out of 1, 2, 4, ... and `cores`, on which a piece of work takes the least time. The numbers
// take turns, seven rounds of a second in all, or where a piece takes long as many as five seconds hold but three, and
// are compared by the median over the rounds of the time that each took of that on one thread: what else the machine
// does in a round slows all of them. More threads are taken only where they are 3 % faster. One core needs no
// measurement.
//
// seconds_of(threads, seconds) does the work on so many threads, over and over for at least that long but once at
// least, and returns the seconds that a piece took.
ThreadChoice ChooseThreads(int64_t cores, const std::function<double(int64_t threads, double seconds)>& seconds_of);

// The same with the clock, `work` being one piece, of some milliseconds; UseThreads (device.h) has the last number
// tried when this returns.
ThreadChoice ChooseThreads(int64_t cores, const std::function<void()>& work);

}  // namespace reverie

#endif  // REVERIE_RUN_THREADS_H_
