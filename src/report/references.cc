#include "reverie/report/references.h"

#include "reverie/config/reader.h"
#include "reverie/run/csv_table.h"

namespace reverie {

std::vector<PublishedMark> ReadPublishedMarks(const std::filesystem::path& file) {
  const CsvTable table(file);
  const size_t task = table.Column("task");
  const size_t algorithm = table.Column("algorithm");
  const size_t step = table.Column("env_step");
  const size_t mean = table.Column("return_mean");
  const size_t deviation = table.Column("return_std");
  const size_t source = table.Column("source");
  std::vector<PublishedMark> marks;
  for (size_t row = 0; row < table.rows(); ++row) {
    const bool has_deviation = !table.Text(row, deviation).empty();
    marks.push_back({.task = std::string(table.Text(row, task)),
                     .algorithm = std::string(table.Text(row, algorithm)),
                     .env_step = table.FiniteNumber(row, step),
                     .return_mean = table.FiniteNumber(row, mean),
                     .return_std = has_deviation ? std::optional(table.FiniteNumber(row, deviation)) : std::nullopt,
                     .source = std::string(table.Text(row, source))});
  }
  return marks;
}

ReferenceReturns ReadReferenceReturns(const std::filesystem::path& file) {
  const ConfigDocument document = ConfigDocument::FromFile(file);
  ReferenceReturns references;
  Fields fields;
  for (const std::string& task : document.Keys()) {
    std::array<double, 2>& bounds = references[task];
    fields(task, bounds, "");
    fields.Check([&bounds] { return bounds[0] < bounds[1]; }, "[LOW, HIGH] with LOW below HIGH");
  }
  document.ReadInto(fields);
  return references;
}

}  // namespace reverie
