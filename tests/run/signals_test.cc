#include "reverie/run/signals.h"

#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <vector>

namespace reverie {
namespace {

// Signals are sent in a child process, which exits with what it has to say.

[[noreturn]] void ExitWithNote(const std::vector<int>& signals) {
  const StopSignals guard;
  for (const int signal : signals) {
    std::raise(signal);
  }
  std::_Exit(StopSignals::Received());
}

TEST(StopSignals, NoteSigint) { EXPECT_EXIT(ExitWithNote({SIGINT}), testing::ExitedWithCode(SIGINT), ""); }

TEST(StopSignals, NoteSigterm) { EXPECT_EXIT(ExitWithNote({SIGTERM}), testing::ExitedWithCode(SIGTERM), ""); }

TEST(StopSignals, NoteWhatIsSentBeforeATimeIsUpOrATerminalGone) {
  for (const int signal : {SIGHUP, SIGXCPU, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPWR}) {
    EXPECT_EXIT(ExitWithNote({signal, signal, SIGTERM}), testing::ExitedWithCode(signal), "");
  }
}

TEST(StopSignals, LeaveAloneWhatWasIgnored) {
  const auto run = [](int ignored) {
    std::signal(ignored, SIG_IGN);
    ExitWithNote({ignored, SIGTERM});
  };
  for (const int signal : {SIGHUP, SIGXCPU, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPWR}) {
    EXPECT_EXIT(run(signal), testing::ExitedWithCode(SIGTERM), "");
  }
  EXPECT_EXIT(run(SIGINT), testing::ExitedWithCode(SIGINT), "");  // as in a script's background
}

TEST(StopSignals, LetSigquitEndTheProcess) {
  EXPECT_EXIT(ExitWithNote({SIGQUIT}), testing::KilledBySignal(SIGQUIT), "");
}

TEST(StopSignals, HaveNames) {
  EXPECT_EQ(StopSignals::Name(SIGHUP), "SIGHUP");
  EXPECT_EQ(StopSignals::Name(SIGTERM), "SIGTERM");
}

TEST(StopSignals, NoteNothingWhereNoneCame) { EXPECT_EXIT(ExitWithNote({}), testing::ExitedWithCode(0), ""); }

TEST(StopSignals, ASecondSigintEndsTheProcess) {
  EXPECT_EXIT(ExitWithNote({SIGINT, SIGINT}), testing::KilledBySignal(SIGINT), "");
}

TEST(StopSignals, ASigintAfterSigtermEndsTheProcess) {
  EXPECT_EXIT(ExitWithNote({SIGTERM, SIGINT}), testing::KilledBySignal(SIGINT), "");
}

TEST(StopSignals, AFurtherSigtermChangesNothing) {
  EXPECT_EXIT(ExitWithNote({SIGINT, SIGTERM, SIGTERM}), testing::ExitedWithCode(SIGINT), "");
}

int former_calls = 0;

TEST(StopSignals, PutTheFormerHandlerBackAndForgetTheNote) {
  const auto run = [] {
    std::signal(SIGINT, [](int) { ++former_calls; });
    {
      const StopSignals guard;
      std::raise(SIGINT);
    }
    std::raise(SIGINT);
    const StopSignals guard;
    std::_Exit(former_calls == 1 && StopSignals::Received() == 0 ? 0 : 1);
  };
  EXPECT_EXIT(run(), testing::ExitedWithCode(0), "");
}

TEST(StopSignals, TwoAtOnceAreOurBug) {
  const StopSignals guard;
  EXPECT_THROW(StopSignals(), std::logic_error);
}

}  // namespace
}  // namespace reverie
