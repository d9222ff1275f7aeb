// What is recorded and replayed when, with a stand-in for the GPU. run/gpu_components_test.cc has the same on one.
#include "reverie/core/repeated_work.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <functional>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "reverie/core/state.h"

namespace reverie {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

// A device that does what is queued at once, and while it records only notes it. Waiting for it while it records fails,
// as on a GPU.
class Device {
 public:
  void Queue(const std::function<void()>& operation) {
    if (recording_) {
      operations_.push_back(operation);
    } else {
      operation();
    }
  }
  void Wait() const {
    if (recording_) {
      throw std::runtime_error("operation not permitted when stream is capturing\nand a trace");
    }
  }

  int recorded = 0, replayed = 0;

 private:
  friend class StandIn;

  bool recording_ = false;
  std::vector<std::function<void()>> operations_;
};

class StandIn final : public Recorder {
 public:
  explicit StandIn(Device& device) : device_(device) {}

  std::unique_ptr<Recording> Record(c10::function_ref<void()> work) override {
    device_.operations_.clear();
    device_.recording_ = true;
    try {
      work();
    } catch (const std::exception&) {
      device_.recording_ = false;
      throw;
    }
    device_.recording_ = false;
    ++device_.recorded;
    return std::make_unique<Operations>(device_, device_.operations_);
  }

 private:
  class Operations final : public Recording {
   public:
    Operations(Device& device, std::vector<std::function<void()>> operations)
        : device_(device), operations_(std::move(operations)) {}
    void Replay() override {
      ++device_.replayed;
      for (const std::function<void()>& operation : operations_) {
        operation();
      }
    }

   private:
    Device& device_;
    std::vector<std::function<void()>> operations_;
  };

  Device& device_;
};

class RepeatedWorkTest : public testing::Test {
 protected:
  RepeatedWork Make(std::vector<torch::Generator> generators = {}) {
    return {"a test's work", std::make_unique<StandIn>(device_), std::move(generators)};
  }
  ~RepeatedWorkTest() override { unsetenv("REVERIE_CHECK_GRAPHS"); }

  Device device_;
  torch::Generator generator_ = MakeGenerator(Rng(1), torch::kCPU);
};

TEST_F(RepeatedWorkTest, TheFirstCallWorksTheSecondRecordsTheRestReplay) {
  RepeatedWork work = Make();
  int calls = 0;
  torch::Tensor count = torch::zeros({});
  for (int i = 1; i <= 6; ++i) {
    work.Run({7}, [&] {
      ++calls;
      device_.Queue([&] { count.add_(1); });
    });
    EXPECT_EQ(count.item<float>(), i);
    EXPECT_EQ(calls, std::min(i, 2));
    EXPECT_EQ(device_.recorded, i < 2 ? 0 : 1);
    EXPECT_EQ(device_.replayed, i - 1);
  }
}

TEST_F(RepeatedWorkTest, AnotherKeyBeginsAnewAndSoDoesTheOldOne) {
  RepeatedWork work = Make();
  torch::Tensor first = torch::zeros({});
  torch::Tensor second = torch::zeros({});
  const auto add_to = [&](torch::Tensor& count, int64_t key) {
    work.Run({key, 0}, [&] { device_.Queue([&count] { count.add_(1); }); });
  };
  for (int i = 0; i < 3; ++i) {
    add_to(first, 1);
  }
  for (int i = 0; i < 4; ++i) {
    add_to(second, 2);
  }
  EXPECT_EQ(device_.recorded, 2);
  EXPECT_EQ(device_.replayed, 2 + 3);
  add_to(first, 1);
  EXPECT_EQ(device_.recorded, 2);
  add_to(first, 1);
  EXPECT_EQ(device_.recorded, 3);
  EXPECT_EQ(first.item<float>(), 5);
  EXPECT_EQ(second.item<float>(), 4);
}

TEST_F(RepeatedWorkTest, WorkThatCannotBeRecordedIsDoneEveryTimeWithTheDrawsItWouldHave) {
  RepeatedWork work = Make({generator_});
  torch::Generator same = MakeGenerator(Rng(1), torch::kCPU);
  torch::Tensor count = torch::zeros({});
  torch::Tensor drawn = torch::zeros({3});
  testing::internal::CaptureStderr();
  for (int i = 1; i <= 5; ++i) {
    work.Run({}, [&] {
      device_.Queue([&] { count.add_(1); });
      device_.Wait();
      device_.Queue([&] { drawn.normal_(0, 1, generator_); });
    });
    EXPECT_EQ(count.item<float>(), i);
    EXPECT_TRUE(drawn.equal(torch::empty({3}).normal_(0, 1, same))) << i;
  }
  EXPECT_EQ(device_.recorded + device_.replayed, 0);
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_THAT(said, HasSubstr("a test's work cannot be captured as a CUDA graph and goes on operation by operation: "
                              "operation not permitted when stream is capturing\n"));
  EXPECT_EQ(said.find("cannot be captured"), said.rfind("cannot be captured"));
}

TEST_F(RepeatedWorkTest, WorkThatFailsForAnotherReasonSaysThatReason) {
  RepeatedWork work = Make();
  int calls = 0;
  const auto run = [&] {
    work.Run({}, [&] {
      if (++calls > 1) {
        throw std::runtime_error("the loss is not finite");
      }
    });
  };
  run();
  EXPECT_THAT(run, ThrowsMessage<std::runtime_error>("the loss is not finite"));
}

TEST_F(RepeatedWorkTest, WithoutARecorderTheWorkIsCalled) {
  RepeatedWork work("a test's work", torch::kCPU, {generator_});
  int calls = 0;
  for (int i = 1; i <= 4; ++i) {
    work.Run({}, [&] { ++calls; });
    EXPECT_EQ(calls, i);
  }
}

// Sums of draws; what a graph keeps of the host is told to the stand-in by `host`.
struct Sums {
  torch::Tensor sum = torch::zeros({4});
  torch::Tensor noise = torch::zeros({4});
  float host = 1;

  void Work(Device& device, torch::Generator& generator) {
    device.Queue([this, &generator, number = host] {
      noise.normal_(0, 1, generator);
      sum.add_(noise).add_(number);
    });
  }
  RepeatedWork::NamedTensors Changed() { return {{"noise", noise}, {"sum", sum}}; }
};

TEST_F(RepeatedWorkTest, AChecksReplaysLeaveWhatReplaysLeave) {
  torch::Generator same = MakeGenerator(Rng(1), torch::kCPU);
  Sums checked, plain;
  Device device;
  for (const char* every : {"1", "3"}) {
    setenv("REVERIE_CHECK_GRAPHS", every, 1);
    RepeatedWork work = Make({generator_});
    unsetenv("REVERIE_CHECK_GRAPHS");
    RepeatedWork unchecked("a test's work", std::make_unique<StandIn>(device), {same});
    int asked = 0;
    for (int i = 0; i < 14; ++i) {
      work.Run(
          {}, [&] { checked.Work(device_, generator_); },
          [&] {
            ++asked;
            return checked.Changed();
          });
      unchecked.Run({}, [&] { plain.Work(device, same); });
      EXPECT_TRUE(checked.sum.equal(plain.sum)) << i;
      EXPECT_TRUE(checked.noise.equal(plain.noise)) << i;
    }
    EXPECT_EQ(asked, *every == '1' ? 12 : 4);
  }
}

TEST_F(RepeatedWorkTest, ACheckSaysWhichTensorDiffers) {
  setenv("REVERIE_CHECK_GRAPHS", "2", 1);
  RepeatedWork work = Make({generator_});
  Sums sums;
  const auto run = [&] {
    work.Run(
        {}, [&] { sums.Work(device_, generator_); }, [&] { return sums.Changed(); });
  };
  run();
  run();
  sums.host = 2;  // which the recording does not know
  run();          // the first replay is not checked
  EXPECT_THAT(run, ThrowsMessage<std::runtime_error>(
                       HasSubstr("a test's work: replay 2 of its CUDA graph differs from the work: sum by ")));
}

// An update moves a weight by a ten-thousandth; what it does otherwise is seen against that, not against the weight.
TEST_F(RepeatedWorkTest, ACheckLooksAtWhatTheWorkChanges) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  struct Case {
    double moved, moves;  // by the recording, by the work
    bool differs;
  };
  for (const Case& one : std::vector<Case>{{1e-4, 1e-4, false},
                                           {1e-4, 0.99999e-4, false},
                                           {1e-4, 0.9e-4, true},
                                           {0, 1e-4, true},
                                           {1e-4, 0, true},
                                           {kInfinity, kInfinity, false},
                                           {kInfinity, -kInfinity, true},
                                           {kInfinity, NAN, true},
                                           {NAN, NAN, false},
                                           {NAN, 1, true}}) {
    setenv("REVERIE_CHECK_GRAPHS", "2", 1);
    RepeatedWork work = Make();
    torch::Tensor weights = torch::ones({1000});
    torch::Tensor large = torch::full({1}, 1e6);
    double step = one.moved;
    const auto run = [&] {
      work.Run(
          {}, [&] { device_.Queue([&weights, number = step] { weights.add_(number); }); },
          [&]() -> RepeatedWork::NamedTensors {
            return {{"large", large}, {"weights", weights}};
          });
    };
    for (int i = 0; i < 3; ++i) {
      run();
    }
    weights.fill_(1);
    step = one.moves;
    if (one.differs) {
      EXPECT_THAT(run, ThrowsMessage<std::runtime_error>(HasSubstr("weights by "))) << one.moved << " " << one.moves;
    } else {
      EXPECT_NO_THROW(run()) << one.moved << " " << one.moves;
    }
  }
}

TEST_F(RepeatedWorkTest, ACheckSaysThatDrawsAreMissing) {
  setenv("REVERIE_CHECK_GRAPHS", "1", 1);
  RepeatedWork work = Make({generator_});
  torch::Tensor unused = torch::zeros({2});
  bool draws_once_more = false;
  const auto run = [&] {
    work.Run(
        {},
        [&] {
          if (draws_once_more) {
            device_.Queue([&] { torch::zeros({2}).normal_(0, 1, generator_); });
          }
        },
        [&]() -> RepeatedWork::NamedTensors {
          return {{"unused", unused}};
        });
  };
  for (int i = 0; i < 4; ++i) {
    run();
  }
  draws_once_more = true;
  EXPECT_THAT(run, ThrowsMessage<std::runtime_error>(HasSubstr("random stream 0")));
}

TEST_F(RepeatedWorkTest, WhatIsNoNumberOfReplaysIsRefused) {
  for (const char* every : {"0", "-1", "often", "1.5"}) {
    setenv("REVERIE_CHECK_GRAPHS", every, 1);
    EXPECT_THAT([&] { Make(); }, ThrowsMessage<std::invalid_argument>(HasSubstr("REVERIE_CHECK_GRAPHS: expected a "
                                                                                "positive integer, got ")));
    RepeatedWork("a test's work", torch::kCPU);
  }
}

}  // namespace
}  // namespace reverie
