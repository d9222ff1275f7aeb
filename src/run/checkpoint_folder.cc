#include "reverie/run/checkpoint_folder.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <chrono>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "reverie/core/log.h"
#include "reverie/core/text.h"

namespace reverie {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::string_view kStep = "step-";
constexpr std::string_view kFailed = "failed-";
constexpr std::string_view kRows = "rows-";
constexpr std::string_view kEnding = ".safetensors";
constexpr std::string_view kOldEnding = ".pt";  // of format 1
constexpr const char* kFormatName = "reverie.checkpoint";
constexpr const char* kFormat = "2";
constexpr const char* kPiecesName = "reverie.rows";
constexpr const char* kRowsTensor = "rows";
// Rows in one file at most: what is read back at once.
constexpr int64_t kMostRows = 65'536;

std::string Digits(int64_t number, int digits) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%0*lld", digits, static_cast<long long>(number));
  return text.data();
}

std::string StepName(int64_t env_steps) { return std::string(kStep) + Digits(env_steps, 9) + std::string(kEnding); }

// Whether a run wrote a file of that name, in any format, whole or not. A user may keep files beside them.
bool IsCheckpointFile(const std::string& name) {
  static const std::regex ours(
      "((failed-|damaged-)?step-[0-9]{9,}[.](safetensors|pt)|rows-.*-[0-9]{12,}-[0-9]{12,}[.]safetensors)([.]partial)"
      "?");
  return std::regex_match(name, ours);
}

// What lies in a folder; nothing where there is none. A folder that cannot be looked into, as one on a disk that is not
// mounted, is an error and not an empty one.
std::vector<fs::path> Entries(const fs::path& folder) {
  std::error_code error;
  const fs::file_status itself = fs::symlink_status(folder, error);
  if (itself.type() == fs::file_type::not_found) {
    return {};
  }
  std::vector<fs::path> paths;
  for (fs::directory_iterator entry(folder, error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    paths.push_back(entry->path());
  }
  if (error) {
    const std::string target = fs::is_symlink(itself) ? ", a link to " + fs::read_symlink(folder).string() : "";
    throw std::runtime_error("cannot look into the folder " + folder.string() + target + ": " + error.message());
  }
  return paths;
}

// Checkpoints of one format, oldest first.
std::vector<fs::path> List(const fs::path& folder, std::string_view ending) {
  std::vector<std::pair<int64_t, fs::path>> found;
  for (const fs::path& path : Entries(folder)) {
    const std::string name = path.filename().string();
    if (!name.starts_with(kStep) || !name.ends_with(ending)) {
      continue;
    }
    const std::string digits = name.substr(kStep.size(), name.size() - kStep.size() - ending.size());
    const std::optional<int64_t> step = ParseNumber<int64_t>(digits);
    if (step && *step >= 0 && digits.size() >= 9) {
      found.emplace_back(*step, path);
    }
  }
  std::sort(found.begin(), found.end());
  std::vector<fs::path> paths;
  paths.reserve(found.size());
  for (const auto& [step, path] : found) {
    paths.push_back(path);
  }
  return paths;
}

void Remove(const fs::path& path) {
  std::error_code error;
  fs::remove(path, error);
  if (error) {
    LogWarning("cannot remove " + path.string() + ": " + error.message());
  }
}

// What `load` makes of the newest checkpoint that it does not refuse.
template <class Load>
auto NewestGood(const fs::path& folder, std::vector<fs::path>& damaged, const Load& load) {
  CheckpointFolder::RequireOne(folder);
  std::vector<fs::path> newest_first = List(folder, kEnding);
  std::reverse(newest_first.begin(), newest_first.end());
  std::vector<std::string> problems;
  for (const fs::path& path : newest_first) {
    try {
      auto loaded = load(path);
      std::for_each(problems.begin(), problems.end(), LogWarning);
      return loaded;
    } catch (const std::runtime_error& error) {
      problems.emplace_back(error.what());
      damaged.push_back(path);
    }
  }
  throw std::runtime_error("no checkpoint is good: " + Joined(problems));
}

}  // namespace

// One file, and the rows it names.
struct CheckpointFolder::Contents {
  TensorFile values;
  Pieces pieces;
};

CheckpointFolder::CheckpointFolder(fs::path folder, int64_t keep) : folder_(std::move(folder)), keep_(keep) {}

CheckpointFolder::~CheckpointFolder() {
  if (writing_.valid()) {
    writing_.wait();
  }
}

std::string CheckpointFolder::PieceName(const std::string& buffer, const Piece& piece) {
  std::string name = buffer;
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0 && c != '_'; }, '.');
  return std::string(kRows) + name + "-" + Digits(piece.begin, 12) + "-" + Digits(piece.end, 12) + std::string(kEnding);
}

std::string CheckpointFolder::PiecesText(const Pieces& pieces) {
  Json json = Json::object();
  for (const auto& [buffer, list] : pieces) {
    json[buffer] = Json::array();
    for (const Piece& piece : list) {
      json[buffer].push_back({piece.begin, piece.end, piece.checksum});
    }
  }
  return json.dump();
}

CheckpointFolder::Pieces CheckpointFolder::ParsePieces(const std::string& text) {
  Pieces pieces;
  try {
    const Json json = Json::parse(text);
    for (const auto& [buffer, list] : json.items()) {
      std::vector<Piece>& known = pieces[buffer];
      for (const Json& item : list) {
        const Piece piece{item.at(0).get<int64_t>(), item.at(1).get<int64_t>(), item.at(2).get<std::string>()};
        if (piece.begin < 0 || piece.end <= piece.begin || (!known.empty() && known.back().end != piece.begin)) {
          throw std::runtime_error("its rows do not follow one another");
        }
        known.push_back(piece);
      }
    }
  } catch (const Json::exception&) {
    throw std::runtime_error("its list of rows makes no sense");
  }
  return pieces;
}

void CheckpointFolder::Save(const StateTree& state, int64_t env_steps) {
  Finish();
  Begin(state, StepName(env_steps));
}

void CheckpointFolder::SaveFailed(const StateTree& state, int64_t env_steps) {
  if (writing_.valid()) {
    writing_.wait();
  }
  Begin(state, std::string(kFailed) + StepName(env_steps));
  Finish();
}

void CheckpointFolder::Begin(const StateTree& state, const std::string& name) {
  Pieces pieces;
  std::vector<NewRows> added;
  for (const auto& [buffer, rows] : state.rows()) {
    std::vector<Piece>& list = pieces[buffer];
    for (const Piece& piece : pieces_[buffer]) {
      if (piece.end > rows.begin && piece.end <= rows.end) {
        list.push_back(piece);
      }
    }
    const int64_t begin = list.empty() ? rows.begin : list.back().end;
    if (begin < rows.end) {
      added.push_back({.buffer = buffer, .begin = begin, .end = rows.end, .loan = rows.lend(begin)});
    }
  }
  struct Work {
    TensorFile values;
    Pieces pieces;
    std::vector<NewRows> added;
  };
  const auto work = std::make_shared<Work>(Work{state.values(), std::move(pieces), std::move(added)});
  const auto write = [this, work, name] {
    Write(std::move(work->values), std::move(work->pieces), std::move(work->added), name);
  };
  try {
    writing_ = std::async(std::launch::async, write);
  } catch (const std::system_error& error) {
    LogInfo(std::string("the checkpoint is written while training waits: no thread could be started (") +
            error.code().message() + ")");
    writing_ = std::async(std::launch::deferred, write);
    writing_.wait();
  }
}

void CheckpointFolder::Write(TensorFile values, Pieces pieces, std::vector<NewRows> added, const std::string& name) {
  for (NewRows& one : added) {
    for (int64_t begin = one.begin; begin < one.end;) {
      const torch::Tensor rows = one.loan.Read(begin, std::min(one.end, begin + kMostRows));
      Piece piece{.begin = begin, .end = begin + rows.size(0), .checksum = ""};
      piece.checksum = WriteTensorFile(folder_ / PieceName(one.buffer, piece), {.tensors = {{kRowsTensor, rows}}});
      one.loan.Return(piece.end);
      begin = piece.end;
      pieces[one.buffer].push_back(std::move(piece));
    }
  }
  values.texts[kFormatName] = kFormat;
  values.texts[kPiecesName] = PiecesText(pieces);
  WriteTensorFile(folder_ / name, values);
  pieces_ = std::move(pieces);
  RemoveUnneeded();
}

void CheckpointFolder::RemoveUnneeded() const {
  std::vector<fs::path> kept = List(folder_, kEnding);
  while (kept.size() > static_cast<size_t>(keep_)) {
    Remove(kept.front());
    kept.erase(kept.begin());
  }
  std::vector<fs::path> others;
  for (const fs::path& path : Entries(folder_)) {
    if (const std::string name = path.filename().string(); IsCheckpointFile(name)) {
      (name.starts_with(kFailed) && !name.ends_with(".partial") ? kept : others).push_back(path);
    }
  }
  std::set<std::string> needed;
  for (const fs::path& path : kept) {
    try {
      for (const auto& [buffer, list] : ParsePieces(ReadTensorFileTexts(path)[kPiecesName])) {
        for (const Piece& piece : list) {
          needed.insert(PieceName(buffer, piece));
        }
      }
    } catch (const std::runtime_error& error) {
      LogWarning(error.what());  // it is damaged, and its rows would help nobody
    }
  }
  for (const fs::path& path : others) {
    const std::string name = path.filename().string();
    // What a killed process had not finished is removed too.
    if ((name.starts_with(kRows) && !needed.contains(name)) || name.ends_with(".partial")) {
      Remove(path);
    }
  }
}

void CheckpointFolder::Finish() {
  if (writing_.valid()) {
    writing_.get();
  }
}

void CheckpointFolder::Check() {
  if (writing_.valid() && writing_.wait_for(std::chrono::seconds(0)) == std::future_status::ready) {
    writing_.get();
  }
}

CheckpointFolder::Contents CheckpointFolder::Read(const fs::path& path) {
  Contents contents{.values = ReadTensorFile(path)};
  const std::string format = contents.values.texts[kFormatName];
  if (format != kFormat) {
    throw std::runtime_error(path.string() + (format.empty() ? ": is no checkpoint of Reverie"
                                                             : ": is a checkpoint of format " + format +
                                                                   "; this version reads format " + kFormat));
  }
  try {
    contents.pieces = ParsePieces(contents.values.texts[kPiecesName]);
  } catch (const std::runtime_error& error) {
    throw std::runtime_error(path.string() + ": is damaged: " + error.what());
  }
  return contents;
}

std::map<std::string, StoredRows> CheckpointFolder::RowsOf(const fs::path& folder, const Pieces& pieces) {
  std::map<std::string, StoredRows> rows;
  for (const auto& [buffer, list] : pieces) {
    const auto read = [folder, buffer = buffer](const Piece& piece) {
      const fs::path file = folder / PieceName(buffer, piece);
      TensorFile content = ReadTensorFile(file);
      torch::Tensor tensor = content.tensors[kRowsTensor];
      if (content.checksum != piece.checksum || !tensor.defined() || tensor.dim() != 2 ||
          tensor.size(0) != piece.end - piece.begin) {
        throw std::runtime_error(file.string() + ": does not hold the rows that were written with the checkpoint");
      }
      return tensor;
    };
    rows[buffer].read = [list = list, read](int64_t begin, int64_t end) {
      const auto holds = [&](const Piece& piece) { return piece.begin <= begin && begin < piece.end; };
      const auto piece = std::find_if(list.begin(), list.end(), holds);
      if (piece == list.end()) {
        throw std::runtime_error("the checkpoint has no row " + std::to_string(begin));
      }
      return read(*piece).narrow(0, begin - piece->begin, std::min(end, piece->end) - begin);
    };
  }
  return rows;
}

Checkpoint CheckpointFolder::Resume() {
  std::vector<fs::path> damaged;
  Checkpoint checkpoint = NewestGood(folder_, damaged, [this](const fs::path& path) {
    Contents contents = Read(path);
    std::map<std::string, StoredRows> rows = RowsOf(folder_, contents.pieces);
    for (const auto& [buffer, list] : contents.pieces) {  // every row is looked at before the first is used
      for (const Piece& piece : list) {
        rows.at(buffer).read(piece.begin, piece.end);
      }
    }
    pieces_ = std::move(contents.pieces);
    return Checkpoint{.path = path, .state = StateTree(std::move(contents.values), std::move(rows))};
  });
  for (const fs::path& path : damaged) {
    fs::rename(path, path.parent_path() / ("damaged-" + path.filename().string()));
  }
  return checkpoint;
}

void CheckpointFolder::RequireOne(const fs::path& folder) {
  const std::vector<fs::path> old = List(folder, kOldEnding);
  if (List(folder, kEnding).empty()) {
    throw std::invalid_argument(
        old.empty() ? folder.string() + " has no checkpoint; train with --overwrite to begin the run anew"
                    : old.back().string() + " is of an older version of Reverie, which this one does not read; " +
                          "run.json names the version that does");
  }
}

Checkpoint CheckpointFolder::LoadWithoutRows(const fs::path& folder) {
  std::vector<fs::path> damaged;
  return NewestGood(folder, damaged, [](const fs::path& path) {
    return Checkpoint{.path = path, .state = StateTree(Read(path).values, {})};
  });
}

Checkpoint CheckpointFolder::Load(const fs::path& folder) {
  std::vector<fs::path> damaged;
  return NewestGood(folder, damaged, [&folder](const fs::path& path) {
    Contents contents = Read(path);
    std::map<std::string, StoredRows> rows = RowsOf(folder, contents.pieces);
    return Checkpoint{.path = path, .state = StateTree(std::move(contents.values), std::move(rows))};
  });
}

bool CheckpointFolder::HasAny(const fs::path& folder) {
  const std::vector<fs::path> paths = Entries(folder);
  return std::any_of(paths.begin(), paths.end(), [](const fs::path& path) {
    const std::string name = path.filename().string();
    return IsCheckpointFile(name) && !name.starts_with(kRows) && !name.starts_with(kFailed) &&
           !name.ends_with(".partial");
  });
}

void CheckpointFolder::RemoveAll(const fs::path& folder) {
  for (const fs::path& path : Entries(folder)) {
    if (IsCheckpointFile(path.filename().string())) {
      fs::remove(path);
    }
  }
}

std::optional<fs::path> CheckpointFolder::Newest(const fs::path& folder) {
  const std::vector<fs::path> checkpoints = List(folder, kEnding);
  return checkpoints.empty() ? std::nullopt : std::optional(checkpoints.back());
}

}  // namespace reverie
