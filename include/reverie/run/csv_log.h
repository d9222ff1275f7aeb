// A CSV file of metrics that grows a row at a time.
#ifndef REVERIE_RUN_CSV_LOG_H_
#define REVERIE_RUN_CSV_LOG_H_

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "reverie/core/metrics.h"

namespace reverie {

// The first column is env_step. A name that first appears in a later row adds a column: the file is replaced whole, and
// the column is empty in the earlier rows. Whole numbers are written as such, others in the shortest form that reads
// back to the same float64; inf, -inf, nan. Every row is flushed. Throws std::runtime_error naming the file if it
// cannot be written.
class CsvLog {
 public:
  // A new file with these columns after env_step.
  static CsvLog Create(const std::filesystem::path& path, const std::vector<std::string>& columns);

  // Goes on with an existing file. Rows beyond `last_step` and a last line that was not written to its end are cut off.
  // Throws std::invalid_argument if the file is no log of a run, or a row does not fit the header.
  static CsvLog Resume(const std::filesystem::path& path, int64_t last_step);

  // Throws std::logic_error if a new name has a comma, quote or line break in it.
  void Append(int64_t env_step, const Metrics& metrics);

 private:
  explicit CsvLog(std::filesystem::path path) : path_(std::move(path)) {}
  // Replaces the file by the header and these lines.
  void Rewrite(const std::string& lines);

  std::filesystem::path path_;
  std::vector<std::string> columns_;  // without env_step
  std::ofstream file_;
};

}  // namespace reverie

#endif  // REVERIE_RUN_CSV_LOG_H_
