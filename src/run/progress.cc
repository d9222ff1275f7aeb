#include "reverie/run/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <utility>

#include "reverie/core/log.h"
#include "reverie/core/text.h"
#include "reverie/core/timer.h"

namespace reverie {
namespace {

constexpr double kRedrawSeconds = 0.2;
constexpr double kSampleSeconds = 1;
constexpr double kWindowSeconds = 30;
constexpr double kSilentSeconds = 30;  // at most

// "12,300"
std::string Grouped(int64_t value) {
  const std::string digits = std::to_string(value);
  std::string text;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) {
      text += ',';
    }
    text += digits[i];
  }
  return text;
}

// Whole numbers from ten on, one digit after the point below.
std::string Rate(double per_second) {
  return per_second >= 10 ? Grouped(std::llround(per_second)) : FixedText(per_second, 1);
}

}  // namespace

ProgressOutput StandardProgressOutput() {
  return {
      .terminal = isatty(STDERR_FILENO) != 0,
      .write =
          [](std::string_view text) {
            // A terminal that does not take it costs a picture, not the run.
            [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
          },
      .message = [](std::string_view text) { LogInfo(text); },
      .now = [] { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); },
      .columns =
          [] {
            struct winsize size {};
            return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? static_cast<int>(size.ws_col) : 80;
          }};
}

ProgressLine::ProgressLine(int64_t total_steps, int64_t exploration_steps, ProgressOutput output)
    : total_steps_(total_steps),
      exploration_steps_(exploration_steps),
      output_(std::move(output)),
      said_at_(output_.now()) {
  if (output_.terminal) {
    SetBeforeConsoleMessage([this] { Wipe(); });
  }
}

ProgressLine::~ProgressLine() {
  if (output_.terminal) {
    SetBeforeConsoleMessage({});
    Wipe();
  }
}

void ProgressLine::Update(int64_t env_steps, int64_t updates) {
  if (exploration_steps_ > 0 && latest_.env_steps <= exploration_steps_ && env_steps > exploration_steps_) {
    samples_.clear();
  }
  latest_ = {output_.now(), env_steps, updates};
  work_.clear();
  if (samples_.empty() || latest_.time - samples_.back().time >= kSampleSeconds) {
    samples_.push_back(latest_);
  }
  while (samples_.size() > 2 && latest_.time - samples_[1].time >= kWindowSeconds) {
    samples_.pop_front();
  }
  if (latest_.time - said_at_ >= kSilentSeconds) {
    Report();
  }
  if (!output_.terminal || latest_.time - drawn_at_ < kRedrawSeconds) {
    return;
  }
  drawn_at_ = latest_.time;
  const std::string line = Text().substr(0, static_cast<size_t>(std::max(output_.columns() - 1, 0)));
  const std::lock_guard<std::mutex> lock(mutex_);
  output_.write("\r" + line + "\x1b[K");
  drawn_ = true;
}

void ProgressLine::Report() {
  said_at_ = latest_.time;
  if (!output_.terminal && std::exchange(reported_, latest_.env_steps) != latest_.env_steps) {
    output_.message(Text());
  }
}

void ProgressLine::EndPause() {
  samples_.clear();
  said_at_ = output_.now();
}

void ProgressLine::Attend(std::string_view work, int64_t count, std::string_view pieces) {
  const double now = output_.now();
  if (work != work_) {
    work_ = work;
    work_at_ = said_at_ = now;
  }
  if (now - said_at_ >= kSilentSeconds) {
    said_at_ = now;
    output_.message("step " + Grouped(latest_.env_steps) + ": " + work_ + ", " + Grouped(count) + " " +
                    std::string(pieces) + ", after " + DurationText(now - work_at_));
  }
}

std::string ProgressLine::Text() const {
  std::string text = Grouped(latest_.env_steps) + " of " + Grouped(total_steps_) + " steps (" +
                     std::to_string(100 * latest_.env_steps / total_steps_) + "%)";
  const double seconds = samples_.empty() ? 0 : latest_.time - samples_.front().time;
  const int64_t steps = samples_.empty() ? 0 : latest_.env_steps - samples_.front().env_steps;
  if (seconds > 0 && steps > 0) {
    const double steps_per_s = static_cast<double>(steps) / seconds;
    const double updates_per_s = static_cast<double>(latest_.updates - samples_.front().updates) / seconds;
    if (latest_.env_steps > exploration_steps_) {
      text += "  ETA " + DurationText(static_cast<double>(total_steps_ - latest_.env_steps) / steps_per_s);
    }
    text += "  " + Rate(steps_per_s) + " env steps/s  " + Rate(updates_per_s) + " updates/s";
  }
  if (return_) {
    text += "  return " + FixedText(*return_, 1);
  }
  return text;
}

void ProgressLine::Wipe() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (drawn_) {
    output_.write("\r\x1b[K");
    drawn_ = false;
  }
}

}  // namespace reverie
