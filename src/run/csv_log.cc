#include "reverie/run/csv_log.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include "reverie/config/writer.h"
#include "reverie/core/file.h"
#include "reverie/core/text.h"

namespace reverie {
namespace {

std::string Number(double value) {
  if (std::isnan(value)) {
    return "nan";
  }
  if (std::isinf(value)) {
    return value > 0 ? "inf" : "-inf";
  }
  constexpr double kAllExact = 9007199254740992.0;  // 2^53
  if (value == std::trunc(value) && std::abs(value) < kAllExact && !(value == 0 && std::signbit(value))) {
    return std::to_string(static_cast<int64_t>(value));
  }
  return ShortestDouble(value);
}

std::vector<std::string> SplitLine(const std::string& line) {
  std::vector<std::string> cells(1);
  for (const char c : line) {
    if (c == ',') {
      cells.emplace_back();
    } else {
      cells.back() += c;
    }
  }
  return cells;
}

struct CsvText {
  std::vector<std::string> columns;  // without env_step
  std::vector<std::string> rows;     // whole lines
};

CsvText ReadCsv(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string line;
  CsvText text;
  if (!std::getline(file, line) || !(line + ",").starts_with("env_step,")) {
    throw std::runtime_error(path.string() + " is no log of a run: its first column is not env_step");
  }
  text.columns = SplitLine(line);
  text.columns.erase(text.columns.begin());
  while (std::getline(file, line)) {
    if (!file.eof()) {
      text.rows.push_back(line);
    }
  }
  return text;
}

}  // namespace

CsvLog CsvLog::Create(const std::filesystem::path& path, const std::vector<std::string>& columns) {
  CsvLog log(path);
  log.columns_ = columns;
  log.Rewrite({});
  return log;
}

CsvLog CsvLog::Resume(const std::filesystem::path& path, int64_t last_step) {
  CsvLog log(path);
  CsvText text = ReadCsv(path);
  log.columns_ = text.columns;
  std::vector<std::string> kept;
  for (size_t i = 0; i < text.rows.size(); ++i) {
    const std::vector<std::string> cells = SplitLine(text.rows[i]);
    const std::optional<int64_t> step = ParseNumber<int64_t>(cells[0]);
    if (!step || cells.size() != log.columns_.size() + 1) {
      throw std::runtime_error(path.string() + ":" + std::to_string(i + 2) + ": expected a whole number and " +
                               std::to_string(log.columns_.size()) + " more cells");
    }
    if (*step <= last_step) {
      kept.push_back(text.rows[i]);
    }
  }
  log.Rewrite(kept);
  return log;
}

void CsvLog::Rewrite(const std::vector<std::string>& rows) {
  std::string text = "env_step";
  for (const std::string& column : columns_) {
    text += "," + column;
  }
  text += "\n";
  for (const std::string& row : rows) {
    const auto cells = static_cast<size_t>(std::count(row.begin(), row.end(), ','));
    text += row + std::string(columns_.size() - cells, ',') + "\n";
  }
  file_ = std::ofstream();
  WriteFileWhole(path_, text);
  file_.open(path_, std::ios::binary | std::ios::app);
  if (!file_) {
    throw std::runtime_error("cannot write " + path_.string());
  }
}

void CsvLog::Append(int64_t env_step, const Metrics& metrics) {
  bool wider = false;
  for (const auto& [name, value] : metrics) {
    if (std::find(columns_.begin(), columns_.end(), name) == columns_.end()) {
      if (name.empty() || name.find_first_of(",\"\r\n") != std::string::npos) {
        throw std::logic_error("\"" + name + "\" cannot name a column of a CSV file");
      }
      columns_.push_back(name);
      wider = true;
    }
  }
  if (wider) {
    Rewrite(ReadCsv(path_).rows);
  }
  file_ << env_step;
  for (const std::string& column : columns_) {
    file_ << ",";
    if (const std::optional<double> value = metrics.Find(column)) {
      file_ << Number(*value);
    }
  }
  errno = 0;
  file_ << "\n" << std::flush;
  if (!file_) {
    throw std::runtime_error("cannot write " + path_.string() + ": " + std::strerror(errno));
  }
}

}  // namespace reverie
