// The parts of a report's page, out of src/report/page/ (report.cc puts them together).
#ifndef REVERIE_SRC_REPORT_PAGE_H_
#define REVERIE_SRC_REPORT_PAGE_H_

namespace reverie {

extern const char* const kPageHtml;
extern const char* const kPageCss;
extern const char* const kPageJs;

// Where the build found plotly.js.
extern const char* const kPlotlyJs;

}  // namespace reverie

#endif  // REVERIE_SRC_REPORT_PAGE_H_
