#include "reverie/run/csv_log.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <functional>
#include <stdexcept>

#include "reverie/config/writer.h"
#include "reverie/core/file.h"
#include "reverie/core/text.h"
#include "reverie/run/csv_table.h"

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

CsvTable ReadLog(const std::filesystem::path& path) {
  CsvTable table(path, {.grows = true});
  if (table.columns().empty() || table.columns()[0] != "env_step") {
    throw std::invalid_argument(path.string() + " is no log of a run: its first column is not env_step");
  }
  return table;
}

// The lines of the rows that `keep` says yes to, of `width` fields each.
std::string Lines(const CsvTable& table, size_t width, const std::function<bool(size_t row)>& keep) {
  std::string lines;
  for (size_t row = 0; row < table.rows(); ++row) {
    if (keep(row)) {
      std::vector<std::string> fields(width);
      for (size_t column = 0; column < table.columns().size(); ++column) {
        fields[column] = table.Text(row, column);
      }
      lines += CsvLine(fields);
    }
  }
  return lines;
}

}  // namespace

CsvLog CsvLog::Create(const std::filesystem::path& path, const std::vector<std::string>& columns) {
  CsvLog log(path);
  log.columns_ = columns;
  log.Rewrite("");
  return log;
}

CsvLog CsvLog::Resume(const std::filesystem::path& path, int64_t last_step) {
  const CsvTable table = ReadLog(path);
  CsvLog log(path);
  log.columns_.assign(table.columns().begin() + 1, table.columns().end());
  log.Rewrite(Lines(table, table.columns().size(), [&](size_t row) {
    const std::optional<int64_t> step = ParseNumber<int64_t>(table.Text(row, 0));
    if (!step) {
      table.Fail(row, "env_step: expected a whole number, got " + std::string(table.Text(row, 0)));
    }
    return *step <= last_step;
  }));
  return log;
}

void CsvLog::Rewrite(const std::string& lines) {
  std::vector<std::string> header{"env_step"};
  header.insert(header.end(), columns_.begin(), columns_.end());
  file_ = std::ofstream();
  file_.rdbuf()->pubsetbuf(nullptr, 0);  // what could not be written is not tried again when the file is closed
  WriteFileWhole(path_, CsvLine(header) + lines);
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
    const CsvTable table = ReadLog(path_);
    Rewrite(Lines(table, columns_.size() + 1, [](size_t) { return true; }));
  }
  std::string line = std::to_string(env_step);
  for (const std::string& column : columns_) {
    line += ",";
    if (const std::optional<double> value = metrics.Find(column)) {
      line += Number(*value);
    }
  }
  if (!file_ || !file_.is_open()) {
    throw std::runtime_error("cannot write " + path_.string() + " after the write that failed");
  }
  line += '\n';
  errno = 0;
  file_ << line << std::flush;
  if (!file_) {
    throw std::runtime_error("cannot write " + path_.string() + ": " + std::strerror(errno));
  }
}

}  // namespace reverie
