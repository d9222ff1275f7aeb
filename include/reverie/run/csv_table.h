// A CSV file without quotes, read whole: fields by row and column, with words about what is wrong and where.
#ifndef REVERIE_RUN_CSV_TABLE_H_
#define REVERIE_RUN_CSV_TABLE_H_

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace reverie {

class CsvTable {
 public:
  // A last line without its line break is left out (see has_torn_line). Throws std::invalid_argument where there is no
  // such file or a line has another number of fields than the header.
  explicit CsvTable(const std::filesystem::path& path);
  CsvTable(const CsvTable&) = delete;
  CsvTable& operator=(const CsvTable&) = delete;

  size_t rows() const { return rows_.size(); }
  const std::vector<std::string>& columns() const { return columns_; }
  bool has_torn_line() const { return has_torn_line_; }

  // Throws std::invalid_argument where there is no such column.
  size_t Column(const std::string& name) const;

  std::string_view Text(size_t row, size_t column) const { return rows_[row][column]; }
  // Nothing where the field is empty. Throws std::invalid_argument where it is no number.
  std::optional<double> Number(size_t row, size_t column) const;

  // Throws std::invalid_argument "FILE:LINE: what".
  [[noreturn]] void Fail(size_t row, const std::string& what) const;

 private:
  std::filesystem::path path_;
  std::string text_;  // what the rows look into
  std::vector<std::string> columns_;
  std::vector<std::vector<std::string_view>> rows_;
  bool has_torn_line_ = false;
};

}  // namespace reverie

#endif  // REVERIE_RUN_CSV_TABLE_H_
