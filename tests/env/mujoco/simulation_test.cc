#include "reverie/env/mujoco/simulation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <mujoco/mujoco.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <new>
#include <optional>
#include <sstream>
#include <thread>

#include "reverie/config/reader.h"
#include "reverie/core/log.h"
#include "reverie/env/registry.h"

namespace {

thread_local int64_t allocations = 0;

void* CountedMalloc(size_t size) {
  ++allocations;
  return std::aligned_alloc(64, (size + 63) / 64 * 64);
}

}  // namespace

// Every allocation of this program is counted, MuJoCo's through its own hook.
void* operator new(size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) {
    return memory;
  }
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace reverie {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

// A cart with a pole, to be damaged by the tests.
constexpr const char* kGoodModel = R"(<mujoco><worldbody>
  <body name="cart"><joint name="slide" type="slide" axis="1 0 0"/><geom size="0.1"/>
    <body name="pole" pos="0 0 0.3"><joint name="hinge" axis="0 1 0"/><geom size="0.05"/></body></body></worldbody>
  <actuator><motor joint="slide" ctrlrange="-1 1" ctrllimited="true"/></actuator></mujoco>)";

class SimulationTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const char* named = std::getenv("REVERIE_MODEL_DIR"); named != nullptr) {
      model_folder_ = named;
    }
    folder_ = fs::temp_directory_path() / ("reverie-simulation-" + std::to_string(getpid()) + "-" +
                                           testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::create_directories(folder_);
  }
  void TearDown() override {
    StopLogToFile();
    RestoreModelFolder();
    fs::remove_all(folder_);
  }

  // A bundle (scripts/package) names its models by the variable; elsewhere they are found without it.
  void RestoreModelFolder() const {
    if (model_folder_.has_value()) {
      setenv("REVERIE_MODEL_DIR", model_folder_->c_str(), 1);
    } else {
      unsetenv("REVERIE_MODEL_DIR");
    }
  }

  std::string Write(const std::string& name, const std::string& xml) const {
    std::ofstream(folder_ / name) << xml;
    return (folder_ / name).string();
  }

  static std::string Replaced(std::string text, const std::string& from, const std::string& to) {
    return text.replace(text.find(from), from.size(), to);
  }

  static std::unique_ptr<Env> Make(const std::string& id, const std::string& options = "{}") {
    const EnvMaker maker = BuiltinEnvs().Find(id).maker();
    ConfigDocument::FromText(options, "options").ReadInto(maker.options());
    return maker.make();
  }

  template <class Exception>
  static std::string MessageOf(const std::function<void()>& call) {
    try {
      call();
    } catch (const Exception& error) {
      return error.what();
    }
    ADD_FAILURE() << "nothing thrown";
    return "";
  }

  std::string LogText() const {
    StopLogToFile();
    std::stringstream text;
    text << std::ifstream(folder_ / "log.txt").rdbuf();
    return text.str();
  }

  std::optional<std::string> model_folder_;
  fs::path folder_;
};

TEST_F(SimulationTest, ABareNameIsLookedUpAndAPathIsTakenAsItIs) {
  setenv("REVERIE_MODEL_DIR", "/somewhere", 1);
  EXPECT_EQ(MujocoModelPath("ant.xml"), "/somewhere/ant.xml");
  EXPECT_EQ(MujocoModelPath("./ant.xml"), "./ant.xml");
  EXPECT_EQ(MujocoModelPath("/a/ant.xml"), "/a/ant.xml");
  setenv("HOME", "/home/someone", 1);
  EXPECT_EQ(MujocoModelPath("~/ant.xml"), "/home/someone/ant.xml");
  RestoreModelFolder();
  EXPECT_TRUE(fs::exists(MujocoModelPath("ant.xml")));
}

TEST_F(SimulationTest, AModelOfTheUsersIsReadFromTheModelFolder) {
  Write("mine.xml", kGoodModel);
  setenv("REVERIE_MODEL_DIR", folder_.c_str(), 1);
  EXPECT_EQ(Make("InvertedPendulum-v5", "xml_file: mine.xml")->spec().obs_dim(), 4);
}

TEST_F(SimulationTest, AFileIsReadOnceAndItsModelShared) {
  const std::string path = Write("mine.xml", kGoodModel);
  const auto first = LoadMujocoModel(path);
  fs::remove(path);
  EXPECT_EQ(LoadMujocoModel(path), first);
  EXPECT_EQ(LoadMujocoModel((folder_ / "." / "mine.xml").string()), first);
}

TEST_F(SimulationTest, ABadModelIsBadInputThatNamesTheFile) {
  const auto message = [&](const std::string& id, const std::string& file) {
    return MessageOf<std::invalid_argument>([&] { Make(id, "xml_file: " + file); });
  };
  EXPECT_THAT(message("Ant-v5", "no_such.xml"), HasSubstr("no_such.xml: Gymnasium has none of that name in /"));
  EXPECT_THAT(message("Ant-v5", Write("not.xml", "not xml")), HasSubstr("not.xml: "));
  EXPECT_THAT(message("InvertedPendulum-v5",
                      Write("unlimited.xml", Replaced(kGoodModel, "ctrlrange=\"-1 1\" ctrllimited=\"true\"", ""))),
              HasSubstr("actuator 0 has no control range"));
  EXPECT_THAT(message("Reacher-v5", Write("cart.xml", kGoodModel)), HasSubstr("has no body named fingertip"));
  EXPECT_THAT(message("Hopper-v5", Write("cart2.xml", kGoodModel)), HasSubstr("2 positions"));
  EXPECT_THAT(message("InvertedDoublePendulum-v5", Write("cart3.xml", kGoodModel)), HasSubstr("two hinges"));
  EXPECT_THAT(MessageOf<std::invalid_argument>([&] { Make("Ant-v5", "main_body: 99"); }), HasSubstr("below 14"));
  EXPECT_THAT(MessageOf<std::invalid_argument>([&] { Make("Ant-v5", "main_body: tail"); }), HasSubstr("named tail"));
}

TEST_F(SimulationTest, ActuatorsWithoutAControlRangeTakeTheDefault) {
  const std::string two =
      Write("two.xml", Replaced(kGoodModel, "</actuator>", "<motor name=\"free\" joint=\"slide\"/></actuator>"));
  EXPECT_THAT(MessageOf<std::invalid_argument>([&] { Make("InvertedPendulum-v5", "xml_file: " + two); }),
              HasSubstr("actuator free has no control range; give it one, or all such the option default_ctrl_range"));
  const auto env = Make("InvertedPendulum-v5", "{xml_file: " + two + ", default_ctrl_range: [-0.5, 2]}");
  EXPECT_EQ(env->spec().action_low, (std::vector<double>{-1, -0.5}));
  EXPECT_EQ(env->spec().action_high, (std::vector<double>{1, 2}));
  // The simulation takes the whole range.
  std::vector<double> obs(4);
  env->SetState(std::vector<double>(4), obs);
  env->Step(std::vector<double>{0, 2}, obs);
  const double at_most = obs[2];
  env->SetState(std::vector<double>(4), obs);
  env->Step(std::vector<double>{0, 1}, obs);
  EXPECT_GT(at_most, 1.5 * obs[2]);
  EXPECT_GT(obs[2], 0);

  EXPECT_THAT(MessageOf<std::invalid_argument>([] { Make("InvertedPendulum-v5", "default_ctrl_range: [-1, 1]"); }),
              HasSubstr("read only where env.options.xml_file is another than inverted_pendulum.xml"));
  EXPECT_THAT(MessageOf<std::invalid_argument>(
                  [&] { Make("InvertedPendulum-v5", "{xml_file: " + two + ", default_ctrl_range: [1, 1]}"); }),
              HasSubstr("default_ctrl_range: expected [LOW, HIGH] with LOW below HIGH"));
}

TEST_F(SimulationTest, AModelWithoutActuatorsIsRefused) {
  const std::string still =
      Write("still.xml", Replaced(kGoodModel, "<motor joint=\"slide\" ctrlrange=\"-1 1\" ctrllimited=\"true\"/>", ""));
  EXPECT_THAT(MessageOf<std::invalid_argument>([&] { Make("InvertedPendulum-v5", "xml_file: " + still); }),
              HasSubstr("still.xml has no actuators: there is nothing to act with"));
}

TEST_F(SimulationTest, AnErrorOfMujocosIsAnExceptionAndTheSimulationGoesOn) {
  // Some amount of memory holds this model but not a step of it.
  const std::string crowded = R"(<mujoco><size memory="BYTES"/><worldbody><geom type="plane" size="1 1 1"/>
      <body pos="0 0 .05"><freejoint name="f"/><geom size=".1"/></body>
      <body pos="0 0 .2"><freejoint/><geom size=".1"/></body></worldbody>
      <actuator><motor joint="f" gear="0 0 0 0 0 1" ctrlrange="-1 1"/></actuator></mujoco>)";
  const std::vector<double> idle{0};
  int errors = 0;
  for (int bytes = 1200; errors == 0 && bytes <= 2000; bytes += 50) {
    const std::string file = Write(std::to_string(bytes) + ".xml", Replaced(crowded, "BYTES", std::to_string(bytes)));
    try {
      LoadMujocoModel(file);
    } catch (const std::invalid_argument&) {
      continue;
    }
    MujocoSimulation simulation(file, 1);
    try {
      simulation.Advance(idle);
    } catch (const std::runtime_error& error) {
      EXPECT_THAT(error.what(), HasSubstr("MuJoCo: mj_stackAlloc"));
      const std::vector<double> start(simulation.initial_qpos().begin(), simulation.initial_qpos().end());
      std::vector<double> high = start;
      high[2] = 10;  // no contact needs memory up there
      high[9] = 20;
      simulation.SetState(high, std::vector<double>(12, 0.0));
      EXPECT_NO_THROW(simulation.Advance(idle));
      EXPECT_LT(simulation.qvel()[2], 0);
      ++errors;
    }
  }
  EXPECT_GT(errors, 0);
}

// A function that lets no exception through stands for C, which knows none.
TEST_F(SimulationTest, AnErrorLeavesMujocoWithoutAnExceptionInIt) {
  MujocoSimulation simulation(Write("mine.xml", kGoodModel), 2);
  mjcb_passive = [](const mjModel*, mjData*) noexcept { mju_error("an error in %s", "C"); };
  for (int i = 0; i < 3; ++i) {
    const std::vector<double> ctrl(1, 0.0);
    EXPECT_EQ(MessageOf<std::runtime_error>([&] { simulation.Advance(ctrl); }), "MuJoCo: an error in C");
    EXPECT_EQ(
        MessageOf<std::runtime_error>([&] { simulation.SetState(std::vector<double>(2), std::vector<double>(2)); }),
        "MuJoCo: an error in C");
  }
  mjcb_passive = nullptr;
  simulation.SetState(std::vector<double>(2), std::vector<double>(2));
  EXPECT_NO_THROW(simulation.Advance(std::vector<double>(1, 1.0)));
  EXPECT_GT(simulation.qvel()[0], 0);
}

TEST_F(SimulationTest, AnInstabilityNamesEnvStepAndWarning) {
  const auto env = Make("HalfCheetah-v5");
  std::vector<double> state(18, 0.0);
  std::vector<double> obs(17);
  state[17] = 1e9;
  env->SetState(state, obs);
  const std::vector<double> action(6, 0.0);
  const std::string message = MessageOf<std::runtime_error>([&] {
    for (int i = 0; i < 3; ++i) {
      env->Step(action, obs);
    }
  });
  EXPECT_THAT(message, HasSubstr("HalfCheetah-v5: step "));
  EXPECT_THAT(message, HasSubstr("unstable: Nan, Inf or huge value in Q"));
  state[17] = 0;
  env->SetState(state, obs);
  EXPECT_NO_THROW(env->Step(action, obs));
}

TEST_F(SimulationTest, WarningsGoToOurLogAndToNoFileOfMujocos) {
  const fs::path before = fs::current_path();
  fs::current_path(folder_);
  LogToFile(folder_ / "earlier.txt");  // takes what other tests said
  LogToFile(folder_ / "log.txt");
  fs::copy_file(MujocoModelPath("half_cheetah.xml"), folder_ / "cheetah.xml");  // warns of settotalmass as it is read
  Make("HalfCheetah-v5", "xml_file: ./cheetah.xml");
  Make("HalfCheetah-v5", "xml_file: ./cheetah.xml");
  fs::current_path(before);
  const std::string log = LogText();
  EXPECT_THAT(log, HasSubstr("warning: MuJoCo: compiler attribute 'settotalmass'"));
  EXPECT_EQ(log.find("settotalmass"), log.rfind("settotalmass")) << "read once";
  EXPECT_FALSE(fs::exists(folder_ / "MUJOCO_LOG.TXT"));
}

TEST_F(SimulationTest, AStepAllocatesNothing) {
  mju_user_malloc = CountedMalloc;
  mju_user_free = std::free;
  for (const std::string& id : BuiltinEnvs().Ids()) {
    const auto env = Make(id);
    std::vector<double> obs(env->spec().obs_low.size());
    std::vector<double> action(env->spec().action_low.size(), 0.1);
    RandomEngine rng = Rng(1).Engine();
    env->Reset(rng, obs);
    env->Step(action, obs);
    const int64_t before = allocations;
    for (int i = 0; i < 50; ++i) {
      env->Step(action, obs);
    }
    EXPECT_EQ(allocations - before, 0) << id;
  }
}

TEST_F(SimulationTest, CopiesOnSeveralThreadsDoNotInterfere) {
  const auto roll = [](std::vector<double>& obs) {
    const auto env = Make("Ant-v5");
    obs.resize(env->spec().obs_low.size());
    RandomEngine rng = Rng(1).Engine();
    env->Reset(rng, obs);
    const std::vector<double> action(8, 0.3);
    for (int i = 0; i < 100; ++i) {
      env->Step(action, obs);
    }
  };
  std::vector<std::vector<double>> results(4);
  std::vector<std::thread> threads;
  threads.reserve(results.size());
  for (auto& result : results) {
    threads.emplace_back(roll, std::ref(result));
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  for (const auto& result : results) {
    EXPECT_EQ(result, results[0]);
  }
}

}  // namespace
}  // namespace reverie
