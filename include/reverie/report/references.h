// Numbers that comparisons are held against: returns that others published, and returns that count as 0 and as 1.
#ifndef REVERIE_REPORT_REFERENCES_H_
#define REVERIE_REPORT_REFERENCES_H_

#include <array>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace reverie {

// A published summary at one step. A report draws it as a line beside ours; it never counts as a seed.
struct PublishedMark {
  std::string task, algorithm;
  double env_step = 0;
  double return_mean = 0;
  std::optional<double> return_std;  // over the authors' seeds
  std::string source;
};

// Reads a CSV (run/csv_table.h) with the columns task, algorithm, env_step, return_mean, return_std and source, in any
// order; return_std may be empty. Throws std::invalid_argument naming file and line.
std::vector<PublishedMark> ReadPublishedMarks(const std::filesystem::path& file);

// The returns of each task that count as 0 and as 1: {low, high}.
using ReferenceReturns = std::map<std::string, std::array<double, 2>>;

// Reads YAML of lines "TASK: [LOW, HIGH]". Throws std::invalid_argument naming file and line, also if low is not
// below high.
ReferenceReturns ReadReferenceReturns(const std::filesystem::path& file);

}  // namespace reverie

#endif  // REVERIE_REPORT_REFERENCES_H_
