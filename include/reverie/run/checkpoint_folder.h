// The checkpoints of a run.
//
//   step-<9 digits>.safetensors                 everything but the rows of buffers (TensorFile)
//   rows-<buffer>-<first>-<end>.safetensors     rows of a buffer, by their numbers; written once and shared by every
//                                               checkpoint that holds them
//   failed-step-<9 digits>.safetensors          the state at a failure, to look into; its rows are kept with it
//   damaged-step-<9 digits>.safetensors         a checkpoint that could not be read back when the run went on
//
// Every file is there whole or not at all, on the disk and not only on its way there, and says by its checksum whether
// it is still what was written.
#ifndef REVERIE_RUN_CHECKPOINT_FOLDER_H_
#define REVERIE_RUN_CHECKPOINT_FOLDER_H_

#include <cstdint>
#include <filesystem>
#include <future>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "reverie/core/state.h"

namespace reverie {

struct Checkpoint {
  std::filesystem::path path;
  StateTree state;  // reads rows from the files when asked to
};

class CheckpointFolder {
 public:
  // `keep` newest checkpoints stay.
  CheckpointFolder(std::filesystem::path folder, int64_t keep);
  // Waits until what is being written is.
  ~CheckpointFolder();
  CheckpointFolder(const CheckpointFolder&) = delete;
  CheckpointFolder& operator=(const CheckpointFolder&) = delete;

  // A thread writes the rows added since the last checkpoint, from where they are, and the rest, and removes what no
  // checkpoint needs any more. Waits for the checkpoint before this one, and throws what writing that threw.
  // Cost here: a copy of the networks, and of new rows on a GPU. Cost there: the new rows' bytes and the networks', and
  // as many on the disk; buffers stand there once, however many checkpoints are kept, with what was added between the
  // oldest kept and the newest.
  void Save(const StateTree& state, int64_t env_steps);
  // Waits until the last checkpoint is on the disk. Throws std::runtime_error naming the file that could not be
  // written; the older checkpoints are then still there.
  void Finish();
  // The same, if it is there already or has failed.
  void Check();

  // A state that no run goes on from. On the disk when it returns; throws as Finish does.
  void SaveFailed(const StateTree& state, int64_t env_steps);

  // To go on from: the newest one whose files are all there and whole. A newer one that is not is named in a warning
  // and set aside. Throws std::runtime_error that says for each what is wrong with it, where none is good, and as
  // RequireOne does.
  Checkpoint Resume();

  // To act with (StateVisitor::LoadingToAct), while a run may be writing more: the newest that is whole itself. Throws
  // as Resume does.
  static Checkpoint LoadWithoutRows(const std::filesystem::path& folder);

  // The same with its rows, which are read when they are asked for: reading throws std::runtime_error where a file of
  // theirs is damaged, or has been removed by a run that has written more meanwhile.
  static Checkpoint Load(const std::filesystem::path& folder);

  // Throws std::invalid_argument where there is none, or only of an older format.
  static void RequireOne(const std::filesystem::path& folder);

  // Whether there is a checkpoint of any kind: whole, damaged, of an older format. Throws std::runtime_error where the
  // folder cannot be looked into, as a link to a disk that is not mounted.
  static bool HasAny(const std::filesystem::path& folder);

  // Removes every file that a run wrote there; other files stay. Throws std::filesystem::filesystem_error, and as
  // HasAny does.
  static void RemoveAll(const std::filesystem::path& folder);

  // The one with the most env steps, unread.
  static std::optional<std::filesystem::path> Newest(const std::filesystem::path& folder);

 private:
  // Rows [begin, end) of a buffer in a file of their own.
  struct Piece {
    int64_t begin, end;
    std::string checksum;
  };
  using Pieces = std::map<std::string, std::vector<Piece>>;  // by the buffer's path in the state
  // Rows of a buffer, from `begin` on, that no piece holds yet.
  struct NewRows {
    std::string buffer;
    int64_t begin, end;
    RowLoan loan;
  };
  struct Contents;

  static std::string PieceName(const std::string& buffer, const Piece& piece);
  static std::string PiecesText(const Pieces& pieces);
  static Pieces ParsePieces(const std::string& text);
  static Contents Read(const std::filesystem::path& path);
  // What reads the rows. Throws std::runtime_error where one is not what was written.
  static std::map<std::string, StoredRows> RowsOf(const std::filesystem::path& folder, const Pieces& pieces);
  void Begin(const StateTree& state, const std::string& name);
  void Write(TensorFile values, Pieces pieces, std::vector<NewRows> added, const std::string& name);
  void RemoveUnneeded() const;

  std::filesystem::path folder_;
  int64_t keep_;
  Pieces pieces_;  // of the newest checkpoint; the writing thread's while there is one
  std::future<void> writing_;
};

}  // namespace reverie

#endif  // REVERIE_RUN_CHECKPOINT_FOLDER_H_
