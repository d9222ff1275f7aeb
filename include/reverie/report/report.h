// A comparison as files and text.
#ifndef REVERIE_REPORT_REPORT_H_
#define REVERIE_REPORT_REPORT_H_

#include <filesystem>
#include <string>

#include "reverie/report/comparison.h"

namespace reverie {

// Everything but curves, as indented JSON. What is not known (an interval of one run, a step that was never reached) is
// null.
std::string SummaryJson(const Comparison& comparison);

// A line per task and group: task, group, runs, env_step, and every statistic with its interval. Empty where not known.
std::string SummaryCsv(const Comparison& comparison);

// The same for a terminal, with the warnings.
std::string SummaryText(const Comparison& comparison);

// One HTML page with everything in it: numbers, curves, and the script that draws them (plotly.js). It opens offline
// and asks nothing of any network. Throws std::runtime_error where plotly.js is not where the build found it, or where
// the environment variable REVERIE_PLOTLY_JS says.
//
// `live`: the page asks where it came from for data.json (ReportData) every few seconds and draws that.
std::string ReportPage(const Comparison& comparison, bool live = false);

// What the page has in it besides, as one line of JSON: the summary with its curves.
std::string ReportData(const Comparison& comparison);

// index.html, summary.json and summary.csv in `folder`, made where it is missing; each file is replaced whole. Throws
// as ReportPage does, and std::runtime_error naming what cannot be written.
void WriteReport(const Comparison& comparison, const std::filesystem::path& folder);

}  // namespace reverie

#endif  // REVERIE_REPORT_REPORT_H_
