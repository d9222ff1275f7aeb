#include "reverie/run/csv_log.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <sstream>
#include <stdexcept>

#include "reverie/config/writer.h"

namespace reverie {
namespace {

std::string Number(double value) {
  if (std::isnan(value)) {
    return "nan";
  }
  return std::isinf(value) ? (value > 0 ? "inf" : "-inf") : ShortestDouble(value);
}

std::vector<std::string> SplitLine(const std::string& line) {
  std::vector<std::string> cells;
  std::istringstream stream(line);
  for (std::string cell; std::getline(stream, cell, ',');) {
    cells.push_back(cell);
  }
  return cells;
}

struct CsvText {
  std::vector<std::string> columns;  // without env_step
  std::vector<std::string> rows;
};

CsvText ReadCsv(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::string line;
  CsvText text;
  if (!std::getline(file, line) || !(line + ",").starts_with("env_step,")) {
    throw std::runtime_error(path.string() + " is no log of a run: its first column is not env_step");
  }
  text.columns = SplitLine(line);
  text.columns.erase(text.columns.begin());
  while (std::getline(file, line)) {
    text.rows.push_back(line);
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
  for (const std::string& row : text.rows) {
    int64_t step = 0;
    const auto [end, error] = std::from_chars(row.data(), row.data() + row.size(), step);
    if (error != std::errc() || step > last_step) {
      break;
    }
    kept.push_back(row);
    log.last_step_ = step;
  }
  log.Rewrite(kept);
  return log;
}

void CsvLog::Rewrite(const std::vector<std::string>& rows) {
  file_.close();
  std::filesystem::path temporary = path_;
  temporary += ".partial";
  {
    std::ofstream out(temporary, std::ios::trunc);
    out << "env_step";
    for (const std::string& column : columns_) {
      out << "," << column;
    }
    out << "\n";
    for (const std::string& row : rows) {
      const auto cells = static_cast<size_t>(std::count(row.begin(), row.end(), ','));
      out << row << std::string(columns_.size() - std::min(columns_.size(), cells), ',') << "\n";
    }
    out.flush();
    if (!out) {
      throw std::runtime_error("cannot write " + temporary.string());
    }
  }
  std::filesystem::rename(temporary, path_);
  file_.open(path_, std::ios::app);
  if (!file_) {
    throw std::runtime_error("cannot write " + path_.string());
  }
}

void CsvLog::Append(int64_t env_step, const Metrics& metrics) {
  bool wider = false;
  for (const auto& [name, value] : metrics) {
    if (std::find(columns_.begin(), columns_.end(), name) == columns_.end()) {
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
  file_ << "\n" << std::flush;
  if (!file_) {
    throw std::runtime_error("cannot write " + path_.string());
  }
  last_step_ = env_step;
}

}  // namespace reverie
