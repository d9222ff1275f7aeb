#include "reverie/run/csv_table.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "reverie/core/text.h"

namespace reverie {
namespace {

constexpr size_t kMostColumns = 10'000;
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

std::string Content(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file || std::filesystem::is_directory(path)) {
    throw std::invalid_argument(path.string() +
                                (std::filesystem::exists(path) ? ": cannot be read" : ": no such file"));
  }
  std::ostringstream bytes;
  if (file.peek() != std::ifstream::traits_type::eof()) {
    bytes << file.rdbuf();
  }
  return std::move(bytes).str();
}

// The number that the text is; nothing if it is none.
std::optional<double> ToNumber(std::string_view text) {
  constexpr const char* kBlanks = " \t";
  text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
  text = text.substr(0, text.find_last_not_of(kBlanks) + 1);
  if (text.starts_with('+') && !text.starts_with("+-")) {
    text.remove_prefix(1);
  }
  return ParseNumber<double>(text);
}

}  // namespace

CsvTable::CsvTable(const std::filesystem::path& path, CsvFormat format)
    : path_(path), text_(Content(path)), header_lines_(format.header ? 1 : 0) {
  if (text_.size() >= std::numeric_limits<uint32_t>::max()) {
    throw std::invalid_argument(path.string() + ": has more than 4 GiB");
  }
  if (text_.starts_with("\xff\xfe") || text_.starts_with("\xfe\xff")) {
    throw std::invalid_argument(path.string() + ": is UTF-16; expected UTF-8");
  }
  if (format.grows) {
    const size_t whole = text_.rfind('\n') + 1;  // 0 if there is none
    has_torn_line_ = whole != text_.size();
    text_.resize(whole);
  } else if (!text_.empty() && text_.back() != '\n' && text_.back() != '\r') {
    text_ += '\n';
  }
  Split(format);
}

// Takes the quotes away in place: a character is never written behind the place where it is read.
void CsvTable::Split(const CsvFormat& format) {
  // The text ends with a line break: there is a character behind every closing quote.
  size_t read = text_.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0;
  size_t written = 0;
  size_t width = 0;  // fields of the first line
  bool ended = false;
  const auto ends_field = [](char c) { return c == ',' || c == '\n' || c == '\r'; };
  ends_.reserve(static_cast<size_t>(std::count_if(text_.begin(), text_.end(), ends_field)));
  for (size_t line = 1, next_line = 1; read < text_.size(); line = next_line) {
    const size_t row_begin = written;
    const size_t row_fields = ends_.size();
    bool blank = true;
    for (char separator = ','; separator == ',';) {
      const bool quoted = text_[read] == '"';
      for (read += quoted ? 1U : 0U;; ++read) {
        if (read == text_.size()) {
          FailAt(line, "a quote is not closed");
        }
        const char c = text_[read];
        if (quoted && c == '"' && text_[++read] != '"') {
          break;
        }
        if (!quoted && (c == ',' || c == '\n' || c == '\r')) {
          break;
        }
        next_line += c == '\n' ? 1U : 0U;
        blank = blank && (c == ' ' || c == '\t');
        text_[written++] = c;
      }
      separator = text_[read];
      if (separator != ',' && separator != '\n' && separator != '\r') {
        FailAt(line, "expected a comma or the end of the line behind the closing quote");
      }
      read += separator == '\r' && text_[read + 1] == '\n' ? 2U : 1U;
      if (width == 0 && ends_.size() == kMostColumns) {
        throw std::invalid_argument(path_.string() + ": has more than " + std::to_string(kMostColumns) + " columns");
      }
      ends_.push_back(static_cast<uint32_t>(written));
      text_[written++] = separator == ',' ? ',' : '\n';
    }
    ++next_line;
    const size_t fields = ends_.size() - row_fields;
    width = width == 0 ? fields : width;
    if (blank) {
      ended = true;
      ends_.resize(row_fields);
      written = row_begin;
    } else if (ended) {
      FailAt(line, "a row after a blank line");
    } else if (fields != width) {
      FailAt(line, "has " + std::to_string(fields) + " fields, the " + (format.header ? "header " : "first line ") +
                       std::to_string(width));
    }
  }
  text_.resize(written);
  columns_.resize(ends_.empty() ? 0 : width);
  for (size_t i = 0; format.header && i < columns_.size(); ++i) {
    columns_[i] = text_.substr(Begin(i), ends_[i] - Begin(i));
  }
}

std::string_view CsvTable::Text(size_t row, size_t column) const {
  const size_t field = (row + header_lines_) * columns_.size() + column;
  return std::string_view(text_).substr(Begin(field), ends_[field] - Begin(field));
}

size_t CsvTable::Column(const std::string& name) const {
  const auto found = std::find(columns_.begin(), columns_.end(), name);
  if (found == columns_.end()) {
    const bool other_commas = columns_.size() == 1 && columns_[0].find_first_of(";\t") != std::string::npos;
    throw std::invalid_argument(path_.string() + ": has no column " + name +
                                (other_commas ? "; expected commas between the fields" : ""));
  }
  return static_cast<size_t>(found - columns_.begin());
}

std::optional<double> CsvTable::Number(size_t row, size_t column) const {
  const std::string_view field = Text(row, column);
  if (field.empty()) {
    return std::nullopt;
  }
  const std::optional<double> value = ToNumber(field);
  if (!value) {
    FailAsNumber(row, column, "a number");
  }
  return value;
}

double CsvTable::FiniteNumber(size_t row, size_t column) const {
  const std::optional<double> value = ToNumber(Text(row, column));
  if (!value || !std::isfinite(*value)) {
    FailAsNumber(row, column, "a finite number");
  }
  return *value;
}

void CsvTable::Fail(size_t row, const std::string& what) const {
  const size_t begin = Begin((row + header_lines_) * columns_.size());
  FailAt(1 + static_cast<size_t>(std::count(text_.begin(), text_.begin() + static_cast<ptrdiff_t>(begin), '\n')), what);
}

void CsvTable::FailAt(size_t line, const std::string& what) const {
  throw std::invalid_argument(path_.string() + ":" + std::to_string(line) + ": " + what);
}

void CsvTable::FailAsNumber(size_t row, size_t column, const std::string& expected) const {
  const std::string& name = columns_[column];
  Fail(row,
       (name.empty() ? "" : name + ": ") + "expected " + expected + ", got '" + std::string(Text(row, column)) + "'");
}

std::string CsvLine(const std::vector<std::string>& fields) {
  std::string line;
  for (size_t i = 0; i < fields.size(); ++i) {
    line += i == 0 ? "" : ",";
    if (fields[i].find_first_of(",\"\r\n") == std::string::npos) {
      line += fields[i];
      continue;
    }
    line += '"';
    for (const char c : fields[i]) {
      line += c == '"' ? "\"\"" : std::string(1, c);
    }
    line += '"';
  }
  return line + '\n';
}

}  // namespace reverie
