#include "reverie/run/signals.h"

#include <csignal>

namespace reverie {
namespace {

volatile std::sig_atomic_t received = 0;

void Note(int signal) {
  received = signal;
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
}

}  // namespace

StopSignals::StopSignals() {
  received = 0;
  std::signal(SIGINT, Note);
  std::signal(SIGTERM, Note);
}

StopSignals::~StopSignals() {
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
}

int StopSignals::Received() { return received; }

}  // namespace reverie
