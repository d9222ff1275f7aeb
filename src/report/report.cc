#include "reverie/report/report.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>

#include "page.h"
#include "reverie/config/writer.h"
#include "reverie/core/file.h"
#include "reverie/core/text.h"
#include "reverie/core/version.h"
#include "reverie/run/csv_table.h"

namespace reverie {
namespace {

using Json = nlohmann::ordered_json;

// JSON has no infinity and no NaN.
Json Number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json ToJson(const Estimate& estimate) {
  return {{"value", Number(estimate.value)}, {"low", Number(estimate.low)}, {"high", Number(estimate.high)}};
}

Json ToJson(const std::vector<Improvement>& improvements) {
  Json list = Json::array();
  for (const Improvement& improvement : improvements) {
    Json item{{"x", improvement.x}, {"y", improvement.y}};
    item.update(ToJson(improvement.probability));
    list.push_back(item);
  }
  return list;
}

Json ToJson(const RunData& run) {
  Json libraries = Json::object();
  for (const auto& [name, version] : run.record.libraries) {
    libraries[name] = version;
  }
  return {{"path", run.path.string()},
          {"task", run.task()},
          {"group", run.group()},
          {"seed", run.record.facts.seed},
          {"status", Name(run.record.status)},
          {"env_steps", run.returns.x.back()},
          {"wall_s", run.wall_s.back()},
          {"hostname", run.record.hostname},
          {"device", run.record.facts.device},
          {"threads", run.record.facts.threads},
          {"version", run.record.version},
          {"git_revision", run.record.git_revision},
          {"libraries", libraries}};
}

Json ToJson(const GroupReport& group, const Comparison& comparison) {
  Json seeds = Json::array();
  for (const size_t run : group.runs) {
    seeds.push_back(comparison.runs[run].record.facts.seed);
  }
  Json json{{"name", group.name},        {"runs", group.runs},       {"seeds", seeds},
            {"scores", group.scores},    {"iqm", ToJson(group.iqm)}, {"mean", ToJson(group.mean)},
            {"area", ToJson(group.area)}};
  Json at_steps = Json::array();
  for (size_t i = 0; i < group.at_steps.size(); ++i) {
    Json item{{"env_step", comparison.options.at_steps[i]}};
    item.update(ToJson(group.at_steps[i]));
    at_steps.push_back(item);
  }
  json["at_steps"] = at_steps;
  if (group.reached) {
    json["reached"] = {{"return", group.reached->reach},
                       {"runs", group.reached->runs},
                       {"median_steps", Number(group.reached->median_steps)},
                       {"median_hours", Number(group.reached->median_hours)}};
  }
  return json;
}

Json ToJson(const TaskReport& task, const Comparison& comparison) {
  Json groups = Json::array();
  for (const GroupReport& group : task.groups) {
    groups.push_back(ToJson(group, comparison));
  }
  Json differences = Json::array();
  for (const DifferingKey& difference : task.differences) {
    differences.push_back({{"key", difference.key}, {"values", difference.values}});
  }
  Json published = Json::array();
  for (const PublishedMark& mark : task.published) {
    published.push_back({{"algorithm", mark.algorithm},
                         {"env_step", mark.env_step},
                         {"return_mean", mark.return_mean},
                         {"return_std", mark.return_std ? Json(*mark.return_std) : Json(nullptr)},
                         {"source", mark.source}});
  }
  return {{"name", task.name},
          {"env_step", task.horizon},
          {"score_after", task.window_begin},
          {"groups", groups},
          {"probability_of_improvement", ToJson(task.improvements)},
          {"config_differences", differences},
          {"published", published}};
}

Json SummaryOf(const Comparison& comparison) {
  Json tasks = Json::array();
  for (const TaskReport& task : comparison.tasks) {
    tasks.push_back(ToJson(task, comparison));
  }
  Json runs = Json::array();
  for (const RunData& run : comparison.runs) {
    runs.push_back(ToJson(run));
  }
  Json json{{"reverie", Version()},
            {"window", comparison.options.window},
            {"draws", comparison.options.draws},
            {"warnings", comparison.warnings},
            {"tasks", tasks}};
  if (comparison.overall) {
    Json groups = Json::array();
    for (const OverallReport::Group& group : comparison.overall->groups) {
      Json item{{"name", group.name}};
      if (group.iqm) {
        item["iqm"] = ToJson(*group.iqm);
        item["mean"] = ToJson(*group.mean);
      }
      groups.push_back(item);
    }
    json["overall"] = {{"groups", groups}, {"probability_of_improvement", ToJson(comparison.overall->improvements)}};
  }
  json["runs"] = runs;
  return json;
}

// --- The page's own part: curves, in digits enough for a picture
// ------------------------------------------------------

Json Rounded(double value) {
  if (!std::isfinite(value)) {
    return nullptr;
  }
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.6g", value);
  return std::strtod(text.data(), nullptr);
}

Json Rounded(const std::vector<double>& values) {
  Json list = Json::array();
  for (const double value : values) {
    list.push_back(Rounded(value));
  }
  return list;
}

Json Drawn(const std::vector<double>& x, const std::vector<Estimate>& y) {
  Json value = Json::array();
  Json low = Json::array();
  Json high = Json::array();
  for (const Estimate& estimate : y) {
    value.push_back(Rounded(estimate.value));
    low.push_back(Rounded(estimate.low));
    high.push_back(Rounded(estimate.high));
  }
  return {{"x", Rounded(x)}, {"value", value}, {"low", low}, {"high", high}};
}

Json Drawn(const Curve& curve) { return Drawn(curve.x, curve.y); }

Json PageData(const Comparison& comparison) {
  Json json = SummaryOf(comparison);
  for (size_t t = 0; t < comparison.tasks.size(); ++t) {
    const TaskReport& task = comparison.tasks[t];
    for (size_t g = 0; g < task.groups.size(); ++g) {
      const GroupReport& group = task.groups[g];
      Json training = Json::object();
      for (const auto& [column, curve] : group.training) {
        training[column] = Drawn(curve);
      }
      Json& item = json["tasks"][t]["groups"][g];
      item["by_steps"] = Drawn(group.by_steps);
      item["by_hours"] = Drawn(group.by_hours);
      item["profile"] = Drawn(task.profile_levels, group.profile);
      item["training"] = training;
    }
  }
  if (comparison.overall) {
    for (size_t g = 0; g < comparison.overall->groups.size(); ++g) {
      const OverallReport::Group& group = comparison.overall->groups[g];
      if (!group.profile.empty()) {
        json["overall"]["groups"][g]["profile"] = Drawn(comparison.overall->profile_levels, group.profile);
      }
    }
  }
  for (size_t i = 0; i < comparison.runs.size(); ++i) {
    const RunData& run = comparison.runs[i];
    json["runs"][i]["returns"] = {
        {"steps", Rounded(run.returns.x)}, {"wall_s", Rounded(run.wall_s)}, {"value", Rounded(run.returns.y)}};
  }
  return json;
}

// Text inside a <script> of a page: no "</script>" ends it early.
std::string ForScript(const std::string& json) {
  std::string text;
  for (const char c : json) {
    if (c == '<') {
      text += "\\u003c";
    } else {
      text += c;
    }
  }
  return text;
}

std::string PlotlyScript() {
  const char* named = std::getenv("REVERIE_PLOTLY_JS");
  const std::string path = named != nullptr && *named != '\0' ? named : kPlotlyJs;
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file || text.str().empty()) {
    throw std::runtime_error("cannot read plotly.js from " + path + "; REVERIE_PLOTLY_JS may name another place");
  }
  return text.str();
}

void Replace(std::string& text, const std::string& marker, const std::string& content) {
  const size_t place = text.find(marker);
  if (place == std::string::npos) {
    throw std::logic_error("the page has no place for " + marker);
  }
  text.replace(place, marker.size(), content);
}

// --- Text ------------------------------------------------------------------------------------------------------------

// Five digits, as many as a return of a simulator is worth.
std::string Short(double value) {
  if (!std::isfinite(value)) {
    return "-";
  }
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), std::abs(value) >= 1000 ? "%.0f" : "%.4g", value);
  return text.data();
}

std::string Short(const Estimate& estimate) {
  std::string text = Short(estimate.value);
  if (std::isfinite(estimate.low)) {
    text += " [" + Short(estimate.low) + ", " + Short(estimate.high) + "]";
  }
  return text;
}

// A cell of a CSV file; empty if the number is not known.
std::string Cell(double value) { return std::isfinite(value) ? ShortestDouble(value) : std::string(); }

}  // namespace

std::string SummaryJson(const Comparison& comparison) {
  return SummaryOf(comparison).dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string SummaryCsv(const Comparison& comparison) {
  const CompareOptions& options = comparison.options;
  std::vector<std::string> names{"iqm", "mean", "area"};
  for (const double step : options.at_steps) {
    names.push_back("iqm_at_" + ShortestDouble(step));
  }
  std::vector<std::string> header{"task", "group", "runs", "env_step"};
  for (const std::string& name : names) {
    header.insert(header.end(), {name, name + "_low", name + "_high"});
  }
  if (!options.reach.empty()) {
    header.insert(header.end(), {"reach", "runs_reached", "median_steps", "median_hours"});
  }
  std::string text = CsvLine(header);
  for (const TaskReport& task : comparison.tasks) {
    for (const GroupReport& group : task.groups) {
      std::vector<std::string> cells{task.name, group.name, std::to_string(group.runs.size()), Cell(task.horizon)};
      std::vector<Estimate> estimates{group.iqm, group.mean, group.area};
      estimates.insert(estimates.end(), group.at_steps.begin(), group.at_steps.end());
      for (const Estimate& estimate : estimates) {
        cells.insert(cells.end(), {Cell(estimate.value), Cell(estimate.low), Cell(estimate.high)});
      }
      if (group.reached) {
        cells.insert(cells.end(), {Cell(group.reached->reach), std::to_string(group.reached->runs),
                                   Cell(group.reached->median_steps), Cell(group.reached->median_hours)});
      }
      cells.resize(header.size());
      text += CsvLine(cells);
    }
  }
  return text;
}

std::string SummaryText(const Comparison& comparison) {
  const CompareOptions& options = comparison.options;
  std::string text;
  for (const TaskReport& task : comparison.tasks) {
    text += task.name + ": evaluation return after step " + ShortestDouble(task.window_begin) + " up to " +
            ShortestDouble(task.horizon) + ", interquartile mean over runs [95 % interval]\n";
    std::vector<std::vector<std::string>> rows{{"", "runs", "IQM", "mean", "area under curve"}};
    for (const double step : options.at_steps) {
      rows.front().push_back("at " + ShortestDouble(step));
    }
    if (const auto& reached = task.groups.front().reached) {
      rows.front().push_back("reached " + ShortestDouble(reached->reach));
      rows.front().push_back("median steps");
      rows.front().push_back("median hours");
    }
    for (const GroupReport& group : task.groups) {
      rows.push_back({group.name, std::to_string(group.runs.size()), Short(group.iqm), Short(group.mean.value),
                      Short(group.area)});
      for (const Estimate& estimate : group.at_steps) {
        rows.back().push_back(Short(estimate));
      }
      if (group.reached) {
        rows.back().push_back(std::to_string(group.reached->runs) + " of " + std::to_string(group.runs.size()));
        rows.back().push_back(Short(group.reached->median_steps));
        rows.back().push_back(Short(group.reached->median_hours));
      }
    }
    text += Aligned(rows);
    for (const Improvement& improvement : task.improvements) {
      if (improvement.x < improvement.y) {
        text += "  P(" + task.groups[improvement.x].name + " > " + task.groups[improvement.y].name +
                ") = " + Short(improvement.probability) + "\n";
      }
    }
    text += "\n";
  }
  if (comparison.overall) {
    text += "All tasks\n";
    std::vector<std::vector<std::string>> rows{{"", "normalised IQM", "mean"}};
    for (const OverallReport::Group& group : comparison.overall->groups) {
      if (group.iqm) {
        rows.push_back({group.name, Short(*group.iqm), Short(*group.mean)});
      }
    }
    if (rows.size() > 1) {
      text += Aligned(rows);
    }
    for (const Improvement& improvement : comparison.overall->improvements) {
      if (improvement.x < improvement.y) {
        text += "  P(" + comparison.overall->groups[improvement.x].name + " > " +
                comparison.overall->groups[improvement.y].name + ") = " + Short(improvement.probability) + "\n";
      }
    }
    text += "\n";
  }
  for (const std::string& warning : comparison.warnings) {
    text += "warning: " + warning + "\n";
  }
  return text;
}

std::string ReportData(const Comparison& comparison) {
  return PageData(comparison).dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string ReportPage(const Comparison& comparison, bool live) {
  std::string page = kPageHtml;
  Replace(page, "<!--style-->", "<style>\n" + std::string(kPageCss) + "</style>");
  Replace(page, "<!--data-->",
          std::string(R"(<script type="application/json" id="data")") + (live ? " data-live" : "") + ">" +
              ForScript(ReportData(comparison)) + "</script>");
  Replace(page, "<!--script-->", "<script>\n" + std::string(kPageJs) + "</script>");
  Replace(page, "<!--plotly-->", "<script>" + PlotlyScript() + "</script>");
  return page;
}

void WriteReport(const Comparison& comparison, const std::filesystem::path& folder) {
  const std::string page = ReportPage(comparison);
  MakeFolder(folder);
  WriteFileWhole(folder / "index.html", page);
  WriteFileWhole(folder / "summary.json", SummaryJson(comparison));
  WriteFileWhole(folder / "summary.csv", SummaryCsv(comparison));
}

}  // namespace reverie
