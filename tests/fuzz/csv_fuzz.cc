// The readers of CSV files: a table and a log that goes on, or std::invalid_argument.
#include <stdexcept>

#include "input_file.h"
#include "reverie/run/csv_log.h"
#include "reverie/run/csv_table.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace reverie;
  const std::filesystem::path path = InputFile({reinterpret_cast<const char*>(data), size}, "log.csv");
  try {
    const CsvTable table(path);
    for (size_t row = 0; row < table.rows(); ++row) {
      size_t length = table.columns().size() - 1;
      for (size_t column = 0; column < table.columns().size(); ++column) {
        length += table.Text(row, column).size();
      }
      if (length != table.Line(row).size()) {
        std::abort();
      }
    }
    CsvLog log = CsvLog::Resume(path, 1000);
    Metrics metrics;
    metrics.Set("new", 1);
    log.Append(1001, metrics);
    if (CsvTable(path).rows() > table.rows() + 1) {
      std::abort();
    }
    if (table.rows() > 0) {
      table.Number(0, table.Column("a"));
    }
  } catch (const std::invalid_argument&) {
  }
  return 0;
}
