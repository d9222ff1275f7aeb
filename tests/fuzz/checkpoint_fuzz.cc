// The reader of checkpoints: a state or std::runtime_error. The checksum is made right, so that a made-up file gets as
// far as one that was written.
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cstdio>
#include <cstring>
#include <stdexcept>

#include "input_file.h"
#include "reverie/core/log.h"
#include "reverie/run/checkpoint_folder.h"

namespace reverie {
namespace {

constexpr std::string_view kBeginning = R"({"__metadata__":{"xxh3_64":")";

void MakeRight(std::string& bytes) {
  const size_t digits = 8 + kBeginning.size();
  if (bytes.size() < digits + 16) {
    return;
  }
  XXH3_state_t* state = XXH3_createState();
  XXH3_64bits_reset(state);
  XXH3_64bits_update(state, bytes.data(), 8);
  XXH3_64bits_update(state, bytes.data() + digits + 16, bytes.size() - digits - 16);
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(XXH3_64bits_digest(state)));
  XXH3_freeState(state);
  bytes.replace(digits, 16, text, 16);
}

// A state of every kind.
struct Learner {
  torch::Tensor weight = torch::zeros({2, 3});
  int64_t count = 0;
  double loss = 0;
  bool flag = false;
  std::string note;
  std::vector<double> list;
  std::vector<int64_t> places;
  RandomEngine engine;
  StoredRows rows;
  void VisitState(StateVisitor& state) {
    state("weight", weight);
    state("count", count);
    state("loss", loss);
    state("flag", flag);
    state("note", note);
    state("list", list);
    state("places", places);
    state("engine", engine);
    state("rows", rows);
    if (state.loading() && rows.read) {
      rows.read(0, 5);
    }
  }
};

}  // namespace
}  // namespace reverie

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  using namespace reverie;
  SetConsoleLevel(LogLevel::kError);
  // Rows for the checkpoint to name; the seed corpus has a checkpoint that does.
  CheckpointFolder folder(FuzzFolder(), 1);
  Learner learner;
  const RowReader read = [](int64_t begin, int64_t end) { return torch::ones({end - begin, 2}); };
  learner.rows = {.begin = 0, .end = 5, .read = read, .lend = [read](int64_t) { return RowLoan(read, nullptr); }};
  StateTree tree = SaveState(learner);
  folder.Save(tree, 1);
  folder.Finish();
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace reverie;
  std::string bytes(reinterpret_cast<const char*>(data), size);
  MakeRight(bytes);
  InputFile(bytes, "step-000000001.safetensors");
  try {
    CheckpointFolder::LoadWithoutRows(FuzzFolder());
    CheckpointFolder folder(FuzzFolder(), 1);
    Checkpoint checkpoint = folder.Resume();
    Learner learner;
    LoadState(checkpoint.state, learner);
  } catch (const std::runtime_error&) {
  }
  return 0;
}
