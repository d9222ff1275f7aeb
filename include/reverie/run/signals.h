// Ctrl-C, SIGTERM and their like as a wish to stop, looked at by the training loop.
#ifndef REVERIE_RUN_SIGNALS_H_
#define REVERIE_RUN_SIGNALS_H_

#include <array>
#include <csignal>
#include <cstddef>
#include <string>

namespace reverie {

// While one lives, the first of these signals is only noted:
//   SIGINT, SIGTERM    somebody wants it to stop
//   SIGHUP             the terminal was closed
//   SIGXCPU            its limit of processor time is near
//   SIGUSR1, SIGUSR2   what batch systems send before they end a job
//   SIGALRM, SIGVTALRM a timer that was set before the program was started has run down
//   SIGPWR             the power fails
// All but the first two are left alone where they were ignored before, as by nohup. SIGQUIT is no wish but an end: its
// default action stays, as do those of faults (SIGSEGV), of SIGPROF, which profilers use, and of real-time signals.
//
// A SIGINT after the first signal ends the process at once, by the default action; further signals change nothing.
// Forgets an earlier note when made, puts the former handlers back when destroyed. Throws std::logic_error where
// another one lives.
class StopSignals {
 public:
  static constexpr size_t kSignals = 9;

  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  // The signal that came first, or 0 where none has come.
  static int Received();
  // "SIGTERM".
  static std::string Name(int signal);

 private:
  std::array<struct sigaction, kSignals> former_{};
};

}  // namespace reverie

#endif  // REVERIE_RUN_SIGNALS_H_
