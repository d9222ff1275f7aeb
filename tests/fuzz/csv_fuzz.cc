// The readers of CSV files: a table and a log that goes on, or std::invalid_argument. What is read and written again is
// read as the same.
#include <stdexcept>

#include "input_file.h"
#include "reverie/run/csv_log.h"
#include "reverie/run/csv_table.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace reverie;
  const std::filesystem::path path = InputFile({reinterpret_cast<const char*>(data), size}, "log.csv");
  try {
    const CsvTable table(path);
    std::string text = "\xef\xbb\xbf" + CsvLine(table.columns());  // a second mark is content
    for (size_t row = 0; row < table.rows(); ++row) {
      std::vector<std::string> fields;
      for (size_t column = 0; column < table.columns().size(); ++column) {
        fields.emplace_back(table.Text(row, column));
      }
      text += CsvLine(fields);
    }
    const CsvTable again(InputFile(text, "again.csv"));
    if (again.columns() != table.columns() || again.rows() != table.rows()) {
      std::abort();
    }
    for (size_t row = 0; row < table.rows(); ++row) {
      for (size_t column = 0; column < table.columns().size(); ++column) {
        if (again.Text(row, column) != table.Text(row, column)) {
          std::abort();
        }
      }
    }
    CsvLog log = CsvLog::Resume(path, 1000);
    Metrics metrics;
    metrics.Set("new", 1);
    log.Append(1001, metrics);
    if (CsvTable(path, {.grows = true}).rows() > table.rows() + 1) {
      std::abort();
    }
    if (table.rows() > 0) {
      table.Number(0, table.Column("a"));
    }
  } catch (const std::invalid_argument&) {
  }
  return 0;
}
