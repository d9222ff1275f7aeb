// Ctrl-C and SIGTERM as a wish to stop, looked at by the training loop.
#ifndef REVERIE_RUN_SIGNALS_H_
#define REVERIE_RUN_SIGNALS_H_

namespace reverie {

// While one lives, the first SIGINT or SIGTERM is only noted; a second one ends the process at once. One at a time.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  // SIGINT, SIGTERM, or 0 where none has come.
  static int Received();
};

}  // namespace reverie

#endif  // REVERIE_RUN_SIGNALS_H_
