// What others reached, and what counts as nothing and as everything: numbers that comparisons are held against.
#ifndef REVERIE_REPORT_REFERENCES_H_
#define REVERIE_REPORT_REFERENCES_H_

#include <array>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace reverie {

// A published summary at one step: a line beside ours, never a seed.
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

// By task the returns that count as 0 and 1: {low, high}.
using ReferenceReturns = std::map<std::string, std::array<double, 2>>;

// Reads YAML of lines "TASK: [LOW, HIGH]". Throws std::invalid_argument naming file and line, also where low is not
// below high.
ReferenceReturns ReadReferenceReturns(const std::filesystem::path& file);

}  // namespace reverie

#endif  // REVERIE_REPORT_REFERENCES_H_
