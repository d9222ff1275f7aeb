// A comparison as files and text.
#ifndef REVERIE_REPORT_REPORT_H_
#define REVERIE_REPORT_REPORT_H_

#include <filesystem>
#include <string>

#include "reverie/report/comparison.h"

namespace reverie {

// The comparison without its curves, as indented JSON. What is not known (an interval of one run, a step that was never
// reached) is null.
std::string SummaryJson(const Comparison& comparison);

// A line per task and group: task, group, runs, env_step, and every statistic with its interval. A number that is not
// known is empty.
std::string SummaryCsv(const Comparison& comparison);

// The same as tables for a terminal, with the warnings.
std::string SummaryText(const Comparison& comparison);

// One HTML page with everything in it: numbers, curves, and the script that draws them (plotly.js). It opens offline
// and neither asks anything of a network nor sends anything there. Throws std::runtime_error if plotly.js cannot be
// read: the file that the build found, or the one that the environment variable REVERIE_PLOTLY_JS names.
//
// `live`: every few seconds the page asks the server that it came from for data.json (ReportData), and draws that.
std::string ReportPage(const Comparison& comparison, bool live = false);

// The data that the page draws, as one line of JSON: the summary with its curves.
std::string ReportData(const Comparison& comparison);

// Writes index.html, summary.json and summary.csv into `folder`, which is made if it is missing. Each file is replaced
// whole. Throws as ReportPage does, and std::runtime_error naming what cannot be written.
void WriteReport(const Comparison& comparison, const std::filesystem::path& folder);

}  // namespace reverie

#endif  // REVERIE_REPORT_REPORT_H_
