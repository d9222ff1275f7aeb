#include "reverie/run/signals.h"

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <utility>

namespace reverie {
namespace {

constexpr std::array<std::pair<int, const char*>, StopSignals::kSignals> kNames = {{{SIGINT, "SIGINT"},
                                                                                    {SIGTERM, "SIGTERM"},
                                                                                    {SIGHUP, "SIGHUP"},
                                                                                    {SIGXCPU, "SIGXCPU"},
                                                                                    {SIGUSR1, "SIGUSR1"},
                                                                                    {SIGUSR2, "SIGUSR2"},
                                                                                    {SIGALRM, "SIGALRM"},
                                                                                    {SIGVTALRM, "SIGVTALRM"},
                                                                                    {SIGPWR, "SIGPWR"}}};

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

// A shell starts what it puts into the background with SIGINT ignored, which does not mean that no one may send it.
bool StaysIgnored(int signal, const struct sigaction& former) {
  return former.sa_handler == SIG_IGN && signal != SIGINT && signal != SIGTERM;
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
  for (size_t i = 0; i < kNames.size(); ++i) {
    sigaction(kNames[i].first, nullptr, &former_[i]);
    if (!StaysIgnored(kNames[i].first, former_[i])) {
      sigaction(kNames[i].first, &action, nullptr);
    }
  }
}

StopSignals::~StopSignals() {
  for (size_t i = 0; i < kNames.size(); ++i) {
    sigaction(kNames[i].first, &former_[i], nullptr);
  }
  guarded = false;
}

int StopSignals::Received() { return received; }

std::string StopSignals::Name(int signal) {
  const auto known =
      std::find_if(kNames.begin(), kNames.end(), [signal](const auto& entry) { return entry.first == signal; });
  return known != kNames.end() ? known->second : "signal " + std::to_string(signal);
}

}  // namespace reverie
