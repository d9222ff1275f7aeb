#include "reverie/run/signals.h"

#include <atomic>
#include <stdexcept>

namespace reverie {
namespace {

constexpr std::array<int, 2> kSignals = {SIGINT, SIGTERM};

std::atomic<int> received{0};
std::atomic<bool> guarded{false};
static_assert(std::atomic<int>::is_always_lock_free);  // what makes it safe in a handler

void Note(int signal) {
  int none = 0;
  received.compare_exchange_strong(none, signal);
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  sigaction(SIGINT, &action, nullptr);
}

}  // namespace

StopSignals::StopSignals() {
  if (guarded.exchange(true)) {
    throw std::logic_error("two StopSignals at once");
  }
  received = 0;
  struct sigaction action {};
  action.sa_handler = Note;
  action.sa_flags = SA_RESTART;
  for (size_t i = 0; i < kSignals.size(); ++i) {
    sigaction(kSignals[i], &action, &former_[i]);
  }
}

StopSignals::~StopSignals() {
  for (size_t i = 0; i < kSignals.size(); ++i) {
    sigaction(kSignals[i], &former_[i], nullptr);
  }
  guarded = false;
}

int StopSignals::Received() { return received; }

}  // namespace reverie
