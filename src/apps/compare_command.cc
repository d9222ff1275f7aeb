#include <iostream>
#include <set>

#include "commands.h"
#include "reverie/core/log.h"
#include "reverie/report/report.h"

namespace reverie {
namespace {

struct CompareArguments {
  std::vector<std::string> paths;
  std::string out;
  std::string normalise;
  std::vector<std::string> published;
  bool json = false;
  CompareOptions options;
};

void RunComparison(const CompareArguments& arguments) {
  CompareOptions options = arguments.options;
  if (!arguments.normalise.empty()) {
    options.reference_returns = ReadReferenceReturns(arguments.normalise);
  }
  for (const std::string& file : arguments.published) {
    const std::vector<PublishedMark> marks = ReadPublishedMarks(file);
    options.published.insert(options.published.end(), marks.begin(), marks.end());
  }
  std::vector<RunData> runs;
  std::set<std::filesystem::path> known;
  for (const std::string& path : arguments.paths) {
    for (const std::filesystem::path& run : FindRuns(path)) {
      if (known.insert(std::filesystem::canonical(run)).second) {
        runs.push_back(ReadRun(run));
      }
    }
  }
  const Comparison comparison = Compare(std::move(runs), options);
  std::cout << (arguments.json ? SummaryJson(comparison) : SummaryText(comparison));
  if (!arguments.out.empty()) {
    WriteReport(comparison, arguments.out);
    LogInfo("wrote " + (std::filesystem::path(arguments.out) / "index.html").string());
  }
}

}  // namespace

void AddCompareCommand(CLI::App& program) {
  CLI::App* command =
      program.add_subcommand("compare", "Compare runs: statistics with intervals, and a page to look at");
  auto arguments = std::make_shared<CompareArguments>();
  CompareOptions& options = arguments->options;
  command->add_option("paths", arguments->paths, "Folders of runs, or with runs below them")->required();
  command->add_option("--out", arguments->out, "Write index.html, summary.json and summary.csv into this folder");
  command->add_flag("--json", arguments->json, "JSON on stdout instead of a table");
  command->add_option("--window", options.window, "Part of the steps, at their end, that a score is the mean over")
      ->capture_default_str();
  command->add_option("--at", options.at_steps, "Give returns at these steps too: --at 10000,50000")->delimiter(',');
  command->add_option("--reach", options.reach, "Give the steps and hours to this return");
  command->add_option("--normalise", arguments->normalise,
                      "YAML of TASK: [LOW, HIGH], the returns that count as 0 and 1");
  command->add_option("--published", arguments->published, "CSV of published summaries, drawn dashed")
      ->allow_extra_args(false);
  command->add_flag("--finished-only", options.finished_only, "Leave out runs that have not finished");
  command->add_option("--draws", options.draws, "Draws of the bootstrap")->capture_default_str();
  command->callback([arguments] { RunComparison(*arguments); });
}

}  // namespace reverie
