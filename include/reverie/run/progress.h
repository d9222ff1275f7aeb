// How far a run is, for who watches it.
#ifndef REVERIE_RUN_PROGRESS_H_
#define REVERIE_RUN_PROGRESS_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace reverie {

struct ProgressOutput {
  bool terminal = false;                          // one live line, redrawn in place; otherwise plain lines
  std::function<void(std::string_view)> write;    // to the terminal; may be called from any thread
  std::function<void(std::string_view)> message;  // a plain line
  std::function<double()> now;                    // seconds, steady
  std::function<int()> columns;                   // of the terminal
};

// Standard error, where it is a terminal; LogInfo for plain lines.
ProgressOutput StandardProgressOutput();

// A text such as
//   12,300 of 125,000 steps (9%)  ETA 1h23m45s  152 env steps/s  3,040 updates/s  return 1234.5
// Rates are those of the last half minute; exploration, which is much faster than what follows, gives no ETA. On a
// terminal it is redrawn at most five times a second and wiped before the log writes there (SetBeforeConsoleMessage);
// elsewhere it is a plain line where half a minute passed without one.
class ProgressLine {
 public:
  ProgressLine(int64_t total_steps, int64_t exploration_steps, ProgressOutput output);
  ~ProgressLine();  // wipes the line
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  // Cheap; call it every step. Both counts are of the whole run.
  void Update(int64_t env_steps, int64_t updates);
  // Mean of the episodes since the last row of train.csv.
  void SetReturn(double mean_return) { return_ = mean_return; }

  // Writes the text as a plain line; nothing on a terminal, or where this step's is written already.
  void Report();

  // Work of many pieces between two steps: after every half minute of it a plain line, on a terminal too, such as
  //   step 5,000: fitting the model, 1,240 minibatches, after 1m00s
  // Cheap; call it after every piece. count: what completes the line with `pieces`, done or left.
  void Attend(std::string_view work, int64_t count, std::string_view pieces);

  // Time passed that was not training, of which the log told: what was measured so far does not count into the rates,
  // and half a minute of silence begins now.
  void EndPause();

 private:
  struct Sample {
    double time;
    int64_t env_steps;
    int64_t updates;
  };

  std::string Text() const;
  void Wipe();

  int64_t total_steps_;
  int64_t exploration_steps_;
  ProgressOutput output_;
  std::deque<Sample> samples_;  // about one a second, oldest first
  Sample latest_{};
  std::optional<double> return_;
  double drawn_at_ = -std::numeric_limits<double>::infinity();
  double said_at_;         // the last plain line, or the beginning of the work attended
  int64_t reported_ = -1;  // the step of the last plain line of Report
  std::string work_;       // attended; empty outside of any
  double work_at_ = 0;     // when it began
  std::mutex mutex_;       // of what the log's threads use
  bool drawn_ = false;     // a line is on the terminal
};

}  // namespace reverie

#endif  // REVERIE_RUN_PROGRESS_H_
