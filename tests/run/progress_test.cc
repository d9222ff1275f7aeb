#include "reverie/run/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reverie/core/log.h"

namespace reverie {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// A terminal on paper, with a clock set by hand.
struct Screen {
  double now = 0;
  int columns = 200;
  std::vector<std::string> written;
  std::vector<std::string> messages;

  ProgressOutput Output(bool terminal) {
    return {.terminal = terminal,
            .write = [this](std::string_view text) { written.emplace_back(text); },
            .message = [this](std::string_view text) { messages.emplace_back(text); },
            .now = [this] { return now; },
            .columns = [this] { return columns; }};
  }
};

constexpr const char* kWipe = "\r\x1b[K";

TEST(ProgressLine, TellsProgressEtaRatesAndTheReturn) {
  Screen screen;
  ProgressLine line(125'000, 0, screen.Output(false));
  line.Update(12'200, 0);
  screen.now = 0.5;
  line.Update(12'300, 1234);
  line.SetReturn(-17.25);
  line.Report();
  // 100 steps in half a second; 112,700 left of them take 563.5 s.
  EXPECT_THAT(screen.messages,
              ElementsAre("12,300 of 125,000 steps (9%)  ETA 9m24s  200 env steps/s  2,468 updates/s  return -17.2"));
  EXPECT_THAT(screen.written, IsEmpty());
}

TEST(ProgressLine, LongTimesHaveHours) {
  Screen screen;
  ProgressLine line(10'000, 0, screen.Output(false));
  line.Update(0, 0);
  screen.now = 10;
  line.Update(10, 0);
  line.Report();
  EXPECT_THAT(screen.messages[0], HasSubstr("ETA 2h46m30s  1.0 env steps/s  0.0 updates/s"));
}

TEST(ProgressLine, ExplorationGivesNoEtaAndDoesNotCountIntoLaterRates) {
  Screen screen;
  ProgressLine line(1000, 500, screen.Output(false));
  line.Update(0, 0);
  screen.now = 0.01;
  line.Update(500, 0);
  line.Report();
  EXPECT_EQ(screen.messages[0], "500 of 1,000 steps (50%)  50,000 env steps/s  0.0 updates/s");
  screen.now = 1;
  line.Update(501, 20);
  screen.now = 3;
  line.Update(503, 60);
  line.Report();
  EXPECT_EQ(screen.messages[1], "503 of 1,000 steps (50%)  ETA 8m17s  1.0 env steps/s  20 updates/s");
}

TEST(ProgressLine, RatesForgetWhatIsHalfAMinuteOld) {
  Screen screen;
  ProgressLine line(1'000'000, 0, screen.Output(false));
  int64_t steps = 0;
  for (int second = 0; second <= 100; ++second) {  // 1000 a second at first, 20 a second in the last 50
    screen.now = second;
    line.Update(steps, 0);
    steps += second < 50 ? 1000 : 20;
  }
  line.Report();
  EXPECT_THAT(screen.messages.back(), HasSubstr("  20 env steps/s"));
}

TEST(ProgressLine, APauseIsNotPartOfTheRates) {
  Screen screen;
  ProgressLine line(1000, 0, screen.Output(false));
  line.Update(0, 0);
  screen.now = 1;
  line.Update(100, 0);
  screen.now = 1000;
  line.EndPause();
  line.Update(101, 0);
  screen.now = 1001;
  line.Update(201, 0);
  line.Report();
  EXPECT_THAT(screen.messages.back(), HasSubstr("  100 env steps/s"));
}

TEST(ProgressLine, StepsWithoutAReportAreToldEveryHalfMinute) {
  Screen screen;
  ProgressLine line(1000, 0, screen.Output(false));
  for (int step = 1; step <= 30; ++step) {
    screen.now = 3 * step;
    line.Update(step, 0);
    if (step == 15) {
      line.Report();
    }
  }
  EXPECT_THAT(screen.messages, ElementsAre(HasSubstr("10 of 1,000 steps"), HasSubstr("15 of 1,000 steps"),
                                           HasSubstr("25 of 1,000 steps")));
}

TEST(ProgressLine, AfterAPauseThatTheLogToldOfHalfAMinuteBeginsAnew) {
  Screen screen;
  ProgressLine line(1000, 0, screen.Output(false));
  line.Update(100, 0);
  screen.now = 45;
  line.EndPause();
  screen.now = 46;
  line.Update(101, 0);
  EXPECT_THAT(screen.messages, IsEmpty());
  screen.now = 75;
  line.Update(102, 0);
  EXPECT_THAT(screen.messages, ElementsAre(HasSubstr("102 of 1,000 steps")));
}

TEST(ProgressLine, AStepIsReportedOnce) {
  Screen screen;
  ProgressLine line(1000, 0, screen.Output(false));
  screen.now = 31;
  line.Update(100, 0);  // half a minute of silence
  line.Report();        // and the step's own report
  EXPECT_EQ(screen.messages.size(), 1U);
  line.Update(101, 0);
  line.Report();
  EXPECT_EQ(screen.messages.size(), 2U);
}

TEST(ProgressLine, LongWorkBetweenTwoStepsIsToldEveryHalfMinute) {
  for (const bool terminal : {false, true}) {
    Screen screen;
    ProgressLine line(125'000, 0, screen.Output(terminal));
    const auto work_for = [&](const std::string& work, int seconds) {
      for (int i = 1; i <= 16 * seconds; ++i) {
        screen.now += 1.0 / 16;
        line.Attend(work, i, "minibatches");
      }
    };
    line.Update(5000, 0);
    screen.now += 25;
    line.Report();
    const std::vector<std::string> before = screen.messages;
    work_for("fitting the model", 29);
    EXPECT_EQ(screen.messages, before);  // a short fit
    line.Update(5001, 0);
    screen.messages.clear();
    work_for("fitting the model", 65);
    work_for("updating", 35);
    EXPECT_THAT(screen.messages, ElementsAre("step 5,001: fitting the model, 481 minibatches, after 30s",
                                             "step 5,001: fitting the model, 961 minibatches, after 1m00s",
                                             "step 5,001: updating, 481 minibatches, after 30s"));
  }
}

TEST(ProgressLine, ATerminalIsRedrawnAtMostFiveTimesASecond) {
  Screen screen;
  ProgressLine line(1000, 0, screen.Output(true));
  for (int i = 0; i < 1000; ++i) {
    screen.now = i / 1000.0;
    line.Update(i, 0);
  }
  EXPECT_EQ(screen.written.size(), 5U);
  line.Report();
  EXPECT_THAT(screen.messages, IsEmpty());
}

TEST(ProgressLine, TheLiveLineStaysOnOneLineOfTheTerminal) {
  Screen screen;
  screen.columns = 20;
  ProgressLine line(125'000, 0, screen.Output(true));
  line.Update(12'300, 0);
  EXPECT_THAT(screen.written, ElementsAre("\r12,300 of 125,000 s\x1b[K"));
}

TEST(ProgressLine, TheLogWipesTheLiveLineFirstAndOnlyWhereThereIsOne) {
  Screen screen;
  {
    ProgressLine line(1000, 0, screen.Output(true));
    LogInfo("before anything is drawn");
    EXPECT_THAT(screen.written, IsEmpty());
    line.Update(1, 0);
    LogInfo("over the live line");
    LogInfo("after that");
    EXPECT_THAT(screen.written, ElementsAre(HasSubstr("1 of 1,000"), kWipe));
    screen.now = 1;
    line.Update(2, 0);
  }
  EXPECT_EQ(screen.written.back(), kWipe);
  const size_t writes = screen.written.size();
  LogInfo("when it is gone");
  EXPECT_EQ(screen.written.size(), writes);
}

TEST(ProgressLine, WithoutATerminalTheLogIsNotTouched) {
  Screen screen;
  ProgressLine line(1000, 0, screen.Output(false));
  line.Update(1, 0);
  LogInfo("a message");
  EXPECT_THAT(screen.written, IsEmpty());
}

}  // namespace
}  // namespace reverie
