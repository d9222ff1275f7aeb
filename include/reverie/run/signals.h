// Ctrl-C and SIGTERM as a wish to stop, looked at by the training loop.
#ifndef REVERIE_RUN_SIGNALS_H_
#define REVERIE_RUN_SIGNALS_H_

#include <array>
#include <csignal>

namespace reverie {

// While one lives, the first SIGINT or SIGTERM is only noted. A SIGINT after that ends the process at once, by the
// default action; further SIGTERMs change nothing. Forgets an earlier note when made, puts the former handlers back
// when destroyed. Throws std::logic_error where another one lives.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  // SIGINT or SIGTERM, whichever came first, or 0 where none has come.
  static int Received();

 private:
  std::array<struct sigaction, 2> former_{};
};

}  // namespace reverie

#endif  // REVERIE_RUN_SIGNALS_H_
