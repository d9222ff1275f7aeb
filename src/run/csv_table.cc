#include "reverie/run/csv_table.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "reverie/core/text.h"

namespace reverie {
namespace {

std::vector<std::string_view> SplitFields(std::string_view line) {
  std::vector<std::string_view> fields;
  for (size_t begin = 0;;) {
    const size_t comma = line.find(',', begin);
    fields.push_back(line.substr(begin, comma - begin));
    if (comma == std::string_view::npos) {
      return fields;
    }
    begin = comma + 1;
  }
}

}  // namespace

CsvTable::CsvTable(const std::filesystem::path& path) : path_(path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    throw std::invalid_argument(path.string() + ": no such file");
  }
  std::ostringstream bytes;
  bytes << file.rdbuf();
  text_ = bytes.str();
  const size_t last_break = text_.rfind('\n');
  has_torn_line_ = !text_.empty() && last_break != text_.size() - 1;
  text_.resize(last_break == std::string::npos ? 0 : last_break + 1);
  for (size_t begin = 0; begin < text_.size();) {
    const size_t end = text_.find('\n', begin);
    const std::vector<std::string_view> fields = SplitFields(std::string_view(text_).substr(begin, end - begin));
    begin = end + 1;
    if (columns_.empty()) {
      columns_.assign(fields.begin(), fields.end());
      continue;
    }
    rows_.push_back(fields);
    if (fields.size() != columns_.size()) {
      Fail(rows_.size() - 1,
           "has " + std::to_string(fields.size()) + " fields, the header " + std::to_string(columns_.size()));
    }
  }
}

size_t CsvTable::Column(const std::string& name) const {
  const auto found = std::find(columns_.begin(), columns_.end(), name);
  if (found == columns_.end()) {
    throw std::invalid_argument(path_.string() + ": has no column " + name);
  }
  return static_cast<size_t>(found - columns_.begin());
}

std::optional<double> CsvTable::Number(size_t row, size_t column) const {
  const std::string_view field = Text(row, column);
  if (field.empty()) {
    return std::nullopt;
  }
  const std::optional<double> value = ParseNumber<double>(field);
  if (!value) {
    Fail(row, columns_[column] + ": expected a number, got " + std::string(field));
  }
  return value;
}

void CsvTable::Fail(size_t row, const std::string& what) const {
  throw std::invalid_argument(path_.string() + ":" + std::to_string(row + 2) + ": " + what);
}

}  // namespace reverie
