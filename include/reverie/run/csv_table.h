// A CSV file read whole, and lines of CSV: RFC 4180, as logs of runs and spreadsheet programs write it.
//
// Fields may stand in double quotes, and then hold commas, line breaks and doubled quotes. Lines end in LF, CRLF or CR.
// A byte-order mark of UTF-8 is skipped. Lines without content may follow the last row.
#ifndef REVERIE_RUN_CSV_TABLE_H_
#define REVERIE_RUN_CSV_TABLE_H_

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace reverie {

struct CsvFormat {
  bool header = true;  // the first line names the columns
  // Another program may be writing the file, a line at a time: a last line without its break is not whole and is left
  // out (see has_torn_line).
  bool grows = false;
};

class CsvTable {
 public:
  // Throws std::invalid_argument naming file and line if there is no such file, it is UTF-16, a line has another number
  // of fields than the first, that has more than 10,000, a quote is not closed or does not enclose a whole field, or a
  // row follows a line without content. Memory: five times the file at most, which may have up to 4 GiB.
  explicit CsvTable(const std::filesystem::path& path, CsvFormat format = {});

  size_t rows() const { return columns_.empty() ? 0 : ends_.size() / columns_.size() - header_lines_; }
  // Names of the columns, all empty without a header.
  const std::vector<std::string>& columns() const { return columns_; }
  bool has_torn_line() const { return has_torn_line_; }

  // Throws std::invalid_argument if there is no such column.
  size_t Column(const std::string& name) const;

  // The field's content, without the quotes around it.
  std::string_view Text(size_t row, size_t column) const;
  // Nothing if the field is empty. Blanks around a number and a plus before it are skipped. Throws
  // std::invalid_argument if it is no number.
  std::optional<double> Number(size_t row, size_t column) const;
  // Throws std::invalid_argument if the field is no number, or one that is not finite.
  double FiniteNumber(size_t row, size_t column) const;

  // Throws std::invalid_argument "FILE:LINE: what".
  [[noreturn]] void Fail(size_t row, const std::string& what) const;

 private:
  void Split(const CsvFormat& format);
  size_t Begin(size_t field) const { return field == 0 ? 0 : ends_[field - 1] + 1; }
  [[noreturn]] void FailAt(size_t line, const std::string& what) const;
  [[noreturn]] void FailAsNumber(size_t row, size_t column, const std::string& expected) const;

  std::filesystem::path path_;
  std::string text_;  // fields without their quotes, a comma or a line feed after each
  std::vector<std::string> columns_;
  std::vector<uint32_t> ends_;  // of every field in text_, the header's first
  size_t header_lines_ = 0;     // 0 or 1
  bool has_torn_line_ = false;
};

// The fields with commas between them and a line feed at the end. Those that need quotes get them.
std::string CsvLine(const std::vector<std::string>& fields);

}  // namespace reverie

#endif  // REVERIE_RUN_CSV_TABLE_H_
