#include "reverie/run/checkpoint_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <stdexcept>

#include "oracle.h"
#include "reverie/core/log.h"
#include "reverie/data/replay_buffer.h"
#include "run/file_size_limit.h"
#include "thread_limit.h"

namespace reverie {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::ThrowsMessage;

const TransitionLayout kLayout{.obs_dim = 2, .act_dim = 1};

// A learner of one number with a buffer of 50 rows.
struct Learner {
  torch::Tensor weight = torch::zeros({3});
  ReplayBuffer buffer{kLayout, 50, torch::kCPU};
  std::string note;

  void Add(int64_t count) {
    TransitionBatch rows = TransitionBatch::Empty(kLayout, count, torch::kCPU);
    rows.rows.copy_(
        torch::arange(buffer.total_added(), buffer.total_added() + count).unsqueeze(1).expand_as(rows.rows));
    buffer.Add(rows);
  }
  void VisitState(StateVisitor& state) {
    state("weight", weight);
    state("buffer", buffer);
    state("note", note);
  }
  StateTree State() { return SaveState(*this); }
  void Load(Checkpoint checkpoint) { LoadState(checkpoint.state, *this); }
};

class CheckpointFolderTest : public testing::Test {
 protected:
  void Save(int64_t step, int64_t rows) {
    learner_.Add(rows);
    learner_.weight.fill_(static_cast<float>(step));
    checkpoints_.Save(learner_.State(), step);
  }
  std::vector<std::string> Names(const std::string& beginning = "") const {
    std::vector<std::string> names;
    for (const fs::directory_entry& entry : fs::directory_iterator(path_)) {
      if (entry.path().filename().string().starts_with(beginning)) {
        names.push_back(entry.path().filename().string());
      }
    }
    std::sort(names.begin(), names.end());
    return names;
  }
  void Damage(const std::string& name) const {
    std::fstream file(path_ / name, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(-3, std::ios::end);
    file.put('?');
  }
  // What one that begins now is given back.
  Learner Restored() const {
    Learner learner;
    CheckpointFolder checkpoints(path_, 2);
    learner.Load(checkpoints.Resume());
    return learner;
  }

  TemporaryFolder folder_;
  const fs::path& path_ = folder_.path();
  Learner learner_;
  CheckpointFolder checkpoints_{path_, 2};
};

TEST_F(CheckpointFolderTest, WhatWasSavedIsGivenBack) {
  learner_.note = "hello";
  Save(100, 30);
  checkpoints_.Finish();
  const Learner restored = Restored();
  EXPECT_EQ(restored.note, "hello");
  EXPECT_TRUE(torch::equal(restored.weight, learner_.weight));
  EXPECT_TRUE(torch::equal(restored.buffer.storage().narrow(0, 0, 30), learner_.buffer.storage().narrow(0, 0, 30)));
  EXPECT_EQ(restored.buffer.total_added(), 30);
}

TEST_F(CheckpointFolderTest, WhatIsChangedAfterwardsIsNotInIt) {
  Save(100, 30);
  learner_.weight.fill_(-1);
  learner_.Add(40);  // over the first rows
  checkpoints_.Finish();
  const Learner restored = Restored();
  EXPECT_EQ(restored.weight[0].item<float>(), 100);
  EXPECT_EQ(restored.buffer.All().rows.select(1, 0)[0].item<float>(), 0);
  EXPECT_EQ(restored.buffer.size(), 30);
}

TEST_F(CheckpointFolderTest, ANextOneHoldsOnlyTheNewRowsAndTheNewestAreKept) {
  Save(100, 30);
  Save(200, 10);
  checkpoints_.Finish();
  EXPECT_THAT(Names(), ElementsAre("rows-buffer.rows-000000000000-000000000030.safetensors",
                                   "rows-buffer.rows-000000000030-000000000040.safetensors",
                                   "step-000000100.safetensors", "step-000000200.safetensors"));
  Save(300, 0);
  Save(400, 35);  // the ring holds 25 to 74: the second file is still needed, by both kept ones the first
  checkpoints_.Finish();
  EXPECT_THAT(Names("step"), ElementsAre("step-000000300.safetensors", "step-000000400.safetensors"));
  Save(500, 1);
  Save(600, 20);
  Save(700, 0);  // both hold 46 to 95
  checkpoints_.Finish();
  EXPECT_THAT(Names("rows"), Not(testing::Contains(HasSubstr("-000000000000-"))));
  const Learner restored = Restored();
  EXPECT_TRUE(torch::equal(restored.buffer.storage(), learner_.buffer.storage()));
  EXPECT_EQ(restored.buffer.Newest(1).rows[0][0].item<float>(), 95);
}

TEST_F(CheckpointFolderTest, DiskHoldsTheBufferOnceHoweverManyAreKept) {
  for (int64_t step = 100; step < 120; ++step) {
    Save(step, 7);
  }
  checkpoints_.Finish();
  int64_t rows = 0;
  for (const std::string& name : Names("rows")) {
    rows += ReadTensorFile(path_ / name).tensors.at("rows").size(0);
  }
  EXPECT_LE(rows, 50 + 2 * 7);  // and what came between the two kept ones, and what is in the oldest file
}

TEST_F(CheckpointFolderTest, ARingThatWentRoundBetweenTwoIsSavedWhole) {
  Save(100, 30);
  Save(200, 170);
  checkpoints_.Finish();
  const Learner restored = Restored();
  EXPECT_TRUE(torch::equal(restored.buffer.storage(), learner_.buffer.storage()));
}

TEST_F(CheckpointFolderTest, ARunThatWentOnSharesTheRowsOfTheOneBefore) {
  Save(100, 30);
  checkpoints_.Finish();
  CheckpointFolder next(path_, 2);
  Learner learner;
  learner.Load(next.Resume());
  learner.Add(5);
  next.Save(learner.State(), 200);
  next.Finish();
  EXPECT_THAT(Names("rows"),
              ElementsAre(HasSubstr("000000000000-000000000030"), HasSubstr("000000000030-000000000035")));
  EXPECT_EQ(Restored().buffer.size(), 35);
}

TEST_F(CheckpointFolderTest, ADamagedOneIsNamedAndTheOneBeforeItUsed) {
  Save(100, 30);
  Save(200, 10);
  checkpoints_.Finish();
  for (const char* name : {"step-000000200.safetensors", "rows-buffer.rows-000000000030-000000000040.safetensors"}) {
    const fs::path file = path_ / name;
    const fs::path aside = folder_.path() / "aside";
    fs::copy_file(file, aside, fs::copy_options::overwrite_existing);
    Damage(name);
    testing::internal::CaptureStderr();
    EXPECT_EQ(Restored().weight[0].item<float>(), 100) << name;
    EXPECT_THAT(testing::internal::GetCapturedStderr(), AllOf(HasSubstr(file.string()), HasSubstr("checksum")));
    EXPECT_THAT(Names("damaged"), ElementsAre("damaged-step-000000200.safetensors"));
    fs::rename(path_ / "damaged-step-000000200.safetensors", path_ / "step-000000200.safetensors");
    fs::copy_file(aside, file, fs::copy_options::overwrite_existing);
    EXPECT_EQ(Restored().weight[0].item<float>(), 200) << name;
  }
}

TEST_F(CheckpointFolderTest, TornMissingAndForeignFilesAreNoticedToo) {
  Save(100, 30);
  Save(200, 10);
  checkpoints_.Finish();
  fs::resize_file(path_ / "step-000000200.safetensors", 300);
  EXPECT_EQ(Restored().weight[0].item<float>(), 100);
  WriteTensorFile(path_ / "step-000000300.safetensors", {.texts = {{"of", "another program"}}});
  WriteTensorFile(path_ / "step-000000400.safetensors", {.texts = {{"reverie.checkpoint", "99"}}});
  testing::internal::CaptureStderr();
  EXPECT_EQ(Restored().weight[0].item<float>(), 100);
  EXPECT_THAT(
      testing::internal::GetCapturedStderr(),
      AllOf(HasSubstr("step-000000300.safetensors: is no checkpoint of Reverie"),
            HasSubstr("step-000000400.safetensors: is a checkpoint of format 99; this version reads format 2")));
  // Rows of another run in the place of ours, whole in themselves.
  WriteTensorFile(path_ / Names("rows")[0], {.tensors = {{"rows", torch::zeros({30, kLayout.width()})}}});
  EXPECT_THAT([&] { Restored(); },
              ThrowsMessage<std::runtime_error>(
                  AllOf(HasSubstr("no checkpoint is good"), HasSubstr("does not hold the rows that were written"))));
}

TEST_F(CheckpointFolderTest, NamesInsideACheckpointLeadNowhereElse) {
  Save(100, 30);
  checkpoints_.Finish();
  const fs::path inside = path_ / "inside";
  fs::create_directory(inside);
  TensorFile file = ReadTensorFile(path_ / "step-000000100.safetensors");
  file.texts["reverie.rows"] = R"({"../buffer/rows":[[0,30,"0000000000000000"]]})";
  WriteTensorFile(inside / "step-000000100.safetensors", file);
  CheckpointFolder checkpoints(inside, 1);
  EXPECT_THAT([&] { checkpoints.Resume(); },
              ThrowsMessage<std::runtime_error>(HasSubstr((inside / "rows-...buffer.rows-").string())));
}

TEST_F(CheckpointFolderTest, WithoutOneItSaysSo) {
  EXPECT_THAT([&] { Restored(); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("has no checkpoint; train with --overwrite to begin")));
  std::ofstream(path_ / "step-000000100.pt") << "pickle";
  EXPECT_THAT([&] { Restored(); }, ThrowsMessage<std::invalid_argument>(AllOf(
                                       HasSubstr("step-000000100.pt"), HasSubstr("an older version of Reverie"))));
  EXPECT_TRUE(CheckpointFolder::HasAny(path_));
  fs::rename(path_ / "step-000000100.pt", path_ / "failed-step-000000100.safetensors");
  EXPECT_FALSE(CheckpointFolder::HasAny(path_));
  fs::rename(path_ / "failed-step-000000100.safetensors", path_ / "damaged-step-000000100.safetensors");
  EXPECT_TRUE(CheckpointFolder::HasAny(path_));
  fs::remove(path_ / "damaged-step-000000100.safetensors");
  for (const char* users : {"step-best.safetensors", "best-step-3.pt", "step-000000100.safetensors.bak"}) {
    std::ofstream(path_ / users) << "mine";
  }
  EXPECT_FALSE(CheckpointFolder::HasAny(path_));
}

#if REVERIE_HAS_THREAD_LIMIT
TEST_F(CheckpointFolderTest, WithoutAThreadItIsWrittenAllTheSame) {
  testing::internal::CaptureStderr();
  {
    const NoMoreThreads limit;
    Save(100, 30);
  }
  checkpoints_.Finish();
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("the checkpoint is written while training waits"));
  EXPECT_EQ(Restored().weight[0].item<float>(), 100);
}
#endif

TEST_F(CheckpointFolderTest, WithoutRoomTheOlderOnesStandAndTheErrorComesWithTheNextWord) {
  Save(100, 30);
  checkpoints_.Finish();
  {
    const FileSizeLimit limit(300);
    Save(200, 10);
    EXPECT_THAT([&] { checkpoints_.Finish(); },
                ThrowsMessage<std::runtime_error>(AllOf(HasSubstr("cannot write"), HasSubstr(path_.string()))));
    checkpoints_.Check();  // said once
  }
  EXPECT_THAT(Names(),
              ElementsAre("rows-buffer.rows-000000000000-000000000030.safetensors", "step-000000100.safetensors"));
  Save(300, 10);
  checkpoints_.Finish();
  EXPECT_EQ(Restored().buffer.size(), 50);
}

TEST_F(CheckpointFolderTest, WhatAKilledProcessLeftIsRemoved) {
  Save(100, 30);
  checkpoints_.Finish();
  std::ofstream(path_ / "step-000000150.safetensors.partial") << "half";
  std::ofstream(path_ / "failed-step-000000150.safetensors.partial") << "half";
  WriteTensorFile(path_ / "rows-buffer.rows-000000000030-000000000099.safetensors", {});
  Save(200, 1);
  checkpoints_.Finish();
  EXPECT_EQ(Names().size(), 4U);
}

TEST_F(CheckpointFolderTest, AFailedStateHoldsEverythingAndIsNotGoneOnFrom) {
  Save(100, 30);
  learner_.Add(25);
  learner_.weight.fill_(std::numeric_limits<float>::quiet_NaN());
  checkpoints_.SaveFailed(learner_.State(), 150);
  const TensorFile failed = ReadTensorFile(path_ / "failed-step-000000150.safetensors");
  EXPECT_TRUE(failed.tensors.at("weight").isnan().all().item<bool>());
  const std::string rows = "rows-buffer.rows-000000000050-000000000055.safetensors";
  EXPECT_EQ(ReadTensorFile(path_ / rows).tensors.at("rows")[4][0].item<float>(), 54);
  EXPECT_EQ(Restored().weight[0].item<float>(), 100);
  Save(200, 1);
  checkpoints_.Finish();
  EXPECT_THAT(Names("failed"), ElementsAre("failed-step-000000150.safetensors"));
  EXPECT_TRUE(fs::exists(path_ / rows));
}

TEST_F(CheckpointFolderTest, ToActWithRowsAreNotNeeded) {
  Save(100, 30);
  checkpoints_.Finish();
  fs::remove(path_ / Names("rows")[0]);
  Learner learner;
  Checkpoint checkpoint = CheckpointFolder::LoadWithoutRows(path_);
  StateVisitor visitor = StateVisitor::LoadingToAct(checkpoint.state);
  learner.VisitState(visitor);
  EXPECT_EQ(learner.weight[0].item<float>(), 100);
  EXPECT_EQ(learner.buffer.size(), 0);
}

}  // namespace
}  // namespace reverie
