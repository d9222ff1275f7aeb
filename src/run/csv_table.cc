#include "reverie/run/csv_table.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "reverie/core/text.h"

namespace reverie {
namespace {

constexpr size_t kMostColumns = 10'000;

}  // namespace

CsvTable::CsvTable(const std::filesystem::path& path) : path_(path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    throw std::invalid_argument(path.string() + ": no such file");
  }
  std::string header;
  std::getline(file, header);
  if (file.eof()) {
    has_torn_line_ = !header.empty();
    return;
  }
  if (static_cast<size_t>(std::count(header.begin(), header.end(), ',')) >= kMostColumns) {
    throw std::invalid_argument(path.string() + ": has more than " + std::to_string(kMostColumns) + " columns");
  }
  std::istringstream names(header + ",");
  for (std::string name; std::getline(names, name, ',');) {
    columns_.push_back(name);
  }
  std::ostringstream bytes;
  if (file.peek() != std::ifstream::traits_type::eof()) {
    bytes << file.rdbuf();
  }
  text_ = std::move(bytes).str();
  if (text_.size() > std::numeric_limits<uint32_t>::max()) {
    throw std::invalid_argument(path.string() + ": has more than 4 GiB");
  }
  const size_t whole = text_.rfind('\n') + 1;  // 0 where there is none
  has_torn_line_ = whole != text_.size();
  text_.resize(whole);
  size_t fields = 0;
  for (uint32_t i = 0; i < text_.size(); ++i) {
    if (text_[i] != ',' && text_[i] != '\n') {
      continue;
    }
    ends_.push_back(i);
    ++fields;
    if (text_[i] == '\n') {
      if (fields != columns_.size()) {
        Fail((ends_.size() - fields) / columns_.size(),
             "has " + std::to_string(fields) + " fields, the header " + std::to_string(columns_.size()));
      }
      fields = 0;
    }
  }
}

std::string_view CsvTable::Fields(size_t row, size_t first, size_t last) const {
  const size_t place = row * columns_.size();
  const size_t begin = place + first == 0 ? 0 : ends_[place + first - 1] + 1;
  return std::string_view(text_).substr(begin, ends_[place + last] - begin);
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
