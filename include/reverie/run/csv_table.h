// A CSV file without quotes, read whole: fields by row and column, with words about what is wrong and where.
#ifndef REVERIE_RUN_CSV_TABLE_H_
#define REVERIE_RUN_CSV_TABLE_H_

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace reverie {

class CsvTable {
 public:
  // A last line without its line break is left out (see has_torn_line). Throws std::invalid_argument where there is no
  // such file, a line has another number of fields than the header, or that has more than 10,000. Memory: five times
  // the file, at most, which may have up to 4 GiB.
  explicit CsvTable(const std::filesystem::path& path);

  size_t rows() const { return columns_.empty() ? 0 : ends_.size() / columns_.size(); }
  const std::vector<std::string>& columns() const { return columns_; }
  bool has_torn_line() const { return has_torn_line_; }

  // Throws std::invalid_argument where there is no such column.
  size_t Column(const std::string& name) const;

  std::string_view Text(size_t row, size_t column) const { return Fields(row, column, column); }
  // The whole line, without its break.
  std::string_view Line(size_t row) const { return Fields(row, 0, columns_.size() - 1); }
  // Nothing where the field is empty. Throws std::invalid_argument where it is no number.
  std::optional<double> Number(size_t row, size_t column) const;

  // Throws std::invalid_argument "FILE:LINE: what".
  [[noreturn]] void Fail(size_t row, const std::string& what) const;

 private:
  std::filesystem::path path_;
  // From one field to another, what is between them included.
  std::string_view Fields(size_t row, size_t first, size_t last) const;

  std::string text_;  // the rows
  std::vector<std::string> columns_;
  std::vector<uint32_t> ends_;  // of every field in text_: one character lies between it and the next
  bool has_torn_line_ = false;
};

}  // namespace reverie

#endif  // REVERIE_RUN_CSV_TABLE_H_
