// Where a sweep's runs go on machines with GPUs: as planned, and as started processes see it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "oracle.h"
#include "reverie/apps/program.h"
#include "reverie/env/registry.h"
#include "reverie/sweep/local_engine.h"

namespace reverie {
namespace {

using Names = std::vector<std::string>;

std::vector<std::string> Runs(int count, const std::string& device) {
  return std::vector<std::string>(static_cast<size_t>(count), device);
}

std::vector<int64_t> Most(const SweepPlan& plan) {
  std::vector<int64_t> most;
  for (const SweepPlace& place : plan.places) {
    most.push_back(place.most);
  }
  return most;
}

TEST(Places, GpusAreNamedAsTheUserNamedThem) {
  EXPECT_EQ(GpuNames(3, std::nullopt), (Names{"0", "1", "2"}));
  EXPECT_EQ(GpuNames(2, "5,2"), (Names{"5", "2"}));
  EXPECT_EQ(GpuNames(2, "GPU-7c1b,MIG-91e0"), (Names{"GPU-7c1b", "MIG-91e0"}));
  EXPECT_EQ(GpuNames(1, "3,-1,4"), Names{"3"});  // CUDA stops at what is none
  EXPECT_EQ(GpuNames(0, ""), Names{});
  EXPECT_EQ(GpuNames(0, std::nullopt), Names{});
}

TEST(Places, WithoutGpusThereIsARunForEachCore) {
  const Machine machine{.cores = 8, .gpus = {}};
  SweepPlan plan = PlanSweep(machine, Runs(20, "auto"), 0, 1);
  EXPECT_EQ(plan.jobs, 8);
  EXPECT_EQ(plan.threads, 1);
  EXPECT_EQ(Most(plan), std::vector<int64_t>{8});
  plan = PlanSweep(machine, Runs(3, "cpu"), 0, 1);
  EXPECT_EQ(plan.jobs, 3);
  EXPECT_EQ(plan.threads, 2);
  plan = PlanSweep(machine, Runs(20, "auto"), 2, 1);
  EXPECT_EQ(plan.jobs, 2);
  EXPECT_EQ(plan.threads, 4);
  EXPECT_EQ(PlanSweep(machine, Runs(20, "auto"), 16, 1).jobs, 16);
  EXPECT_EQ(PlanSweep(machine, {}, 0, 1).jobs, 1);
}

TEST(Places, EachGpuHasAsManyRunsAsItIsSaidToTake) {
  const Machine machine{.cores = 64, .gpus = {"0", "1", "2", "3", "4", "5", "6", "7"}};
  SweepPlan plan = PlanSweep(machine, Runs(100, "auto"), 0, 1);
  EXPECT_EQ(plan.jobs, 8);
  EXPECT_EQ(plan.threads, 8);
  plan = PlanSweep(machine, Runs(100, "cuda"), 0, 4);
  EXPECT_EQ(plan.jobs, 32);
  EXPECT_EQ(plan.threads, 2);
  EXPECT_EQ(PlanSweep(machine, Runs(3, "auto"), 0, 4).jobs, 3);
  EXPECT_EQ(PlanSweep(machine, Runs(100, "auto"), 5, 4).jobs, 5);
  EXPECT_EQ(PlanSweep(machine, Runs(100, "auto"), 200, 1).jobs, 8);
}

TEST(Places, RunsThatNameAGpuWaitForIt) {
  const Machine machine{.cores = 64, .gpus = {"0", "1", "2", "3", "4", "5", "6", "7"}};
  SweepPlan plan = PlanSweep(machine, Runs(20, "cuda:0"), 0, 1);
  EXPECT_EQ(plan.jobs, 1);
  EXPECT_EQ(plan.threads, 64);
  EXPECT_EQ(PlanSweep(machine, Runs(20, "cuda:0"), 0, 2).jobs, 2);
  std::vector<std::string> devices = Runs(20, "cuda:3");
  for (const std::string device : {"auto", "cuda:1"}) {
    devices.insert(devices.end(), 3, device);
  }
  EXPECT_EQ(PlanSweep(machine, devices, 0, 1).jobs, 1 + 1 + 3);
  EXPECT_EQ(PlanSweep(machine, devices, 0, 2).jobs, 2 + 2 + 3);
  devices.insert(devices.end(), 100, "auto");
  EXPECT_EQ(PlanSweep(machine, devices, 0, 1).jobs, 8);
  devices.insert(devices.end(), 100, "cpu");
  plan = PlanSweep(machine, devices, 0, 1);
  EXPECT_EQ(Most(plan).back(), 64 - 8);
  EXPECT_EQ(plan.jobs, 64);
}

TEST(Places, RunsOnTheCpuTakeTheCoresThatAreLeft) {
  const Machine machine{.cores = 16, .gpus = {"0", "1"}};
  std::vector<std::string> devices = Runs(10, "auto");
  const std::vector<std::string> on_cpu = Runs(30, "cpu");
  devices.insert(devices.end(), on_cpu.begin(), on_cpu.end());
  const SweepPlan plan = PlanSweep(machine, devices, 0, 1);
  EXPECT_EQ(Most(plan), (std::vector<int64_t>{1, 1, 14}));
  EXPECT_EQ(plan.jobs, 16);
  EXPECT_EQ(plan.threads, 1);
  const auto places = [&plan](const std::string& device) {
    const SweepPlan::Range range = plan.PlacesOf(device);
    return std::pair(range.begin, range.end);
  };
  EXPECT_EQ(places("auto"), std::pair(size_t{0}, size_t{2}));
  EXPECT_EQ(places("cuda"), std::pair(size_t{0}, size_t{2}));
  EXPECT_EQ(places("cuda:1"), std::pair(size_t{1}, size_t{2}));
  EXPECT_EQ(places("cpu"), std::pair(size_t{2}, size_t{3}));
  EXPECT_EQ(places("cuda:2"), std::pair(size_t{2}, size_t{3}));
  // More GPUs than cores.
  EXPECT_EQ(PlanSweep({.cores = 2, .gpus = {"0", "1", "2", "3"}}, Runs(9, "auto"), 0, 1).threads, 1);
}

// What a run saw, as the process noted it when it began and ended (main, below).
struct Seen {
  std::string gpu;
  std::string threads;
  int64_t at_once = 0;  // runs that saw the same, itself included, when it began
};

std::map<std::string, Seen> SweepOf(const std::string& more, const Machine& machine, std::string* log) {
  const TemporaryFolder folder;
  std::ofstream(folder.path() / "base.yaml") << "algorithm: sac\n"
                                                "total_steps: 60\n"
                                                "exploration_steps: 50\n"
                                                "env: {id: InvertedPendulum-v5}\n"
                                                "sac: {hidden: [8], batch_size: 8}\n"
                                                "eval: {episodes: 1}\n";
  std::ofstream(folder.path() / "s.yaml") << "base: base.yaml\n" << more;
  setenv("REVERIE_TEST_NOTES", (folder.path() / "notes").c_str(), 1);
  const Sweep sweep = ReadSweep(folder.path() / "s.yaml", folder.path() / "out", BuiltinEnvs());
  testing::internal::CaptureStderr();
  const SweepResult result = RunSweepHere(sweep, 0, ProgressOutput{}, machine);
  *log = testing::internal::GetCapturedStderr();
  EXPECT_EQ(result.failed, 0) << *log;
  std::map<std::string, Seen> seen;
  std::ifstream notes(folder.path() / "notes");
  std::map<std::string, int64_t> at_work;
  for (std::string what, run, gpu, threads; notes >> what >> run >> gpu >> threads;) {
    if (what == "end") {
      --at_work[gpu];
      continue;
    }
    seen[std::filesystem::path(run).lexically_relative(folder.path() / "out")] = {
        .gpu = gpu, .threads = threads, .at_once = ++at_work[gpu]};
  }
  EXPECT_EQ(seen.size(), sweep.runs.size());
  return seen;
}

TEST(Places, RunsSeeTheirGpuAndGetTheirShareOfTheCores) {
  std::string log;
  setenv("CUDA_VISIBLE_DEVICES", "3,5", 1);
  const auto seen = SweepOf(
      "seeds: 0..2\n"
      "runs_per_gpu: 2\n"
      "variants: {any: {}, cpu: {device: cpu}, two: {threads: 2}}\n",
      {.cores = 24, .gpus = {"3", "5"}}, &log);
  unsetenv("CUDA_VISIBLE_DEVICES");
  EXPECT_NE(log.find("9 runs, 0 of them finished before; 7 at once"), std::string::npos) << log;
  std::map<std::string, int> runs;
  for (const auto& [run, what] : seen) {
    if (run.find("/cpu/") != std::string::npos) {
      EXPECT_EQ(what.gpu, "3,5") << run;
    } else {
      ++runs[what.gpu];
      EXPECT_LE(what.at_once, 2) << run;
    }
    EXPECT_EQ(what.threads, run.find("/two/") != std::string::npos ? "none" : "threads=3") << run;
  }
  EXPECT_EQ(runs.size(), 2);
  EXPECT_GE(runs["3"], 2);
  EXPECT_GE(runs["5"], 2);
}

}  // namespace
}  // namespace reverie

// A sweep's runs are this program again, with other arguments: they note what they see and train.
int main(int argc, char** argv) {
  if (argc > 1 && std::string(argv[1]) == "train") {
    const std::vector<std::string> arguments(argv, argv + argc);
    const char* gpu = std::getenv("CUDA_VISIBLE_DEVICES");
    const auto after = [&arguments](const std::string& option) {
      const auto found = std::find(arguments.begin(), arguments.end(), option);
      return found == arguments.end() ? std::string("none") : found[1];
    };
    const auto note = [&](const std::string& what) {
      std::ofstream(std::getenv("REVERIE_TEST_NOTES"), std::ios::app)
          << what + " " + after("--run-dir") + " " + (gpu == nullptr ? "unset" : gpu) + " " + after("--set") + "\n";
    };
    note("begin");
    const int code = reverie::RunProgram(argc, argv);
    note("end");
    return code;
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
