#include <chrono>
#include <iostream>
#include <set>
#include <thread>

#include "commands.h"
#include "options.h"
#include "reverie/algorithms/registry.h"
#include "reverie/core/log.h"
#include "reverie/core/text.h"
#include "reverie/report/live_page.h"
#include "reverie/report/report.h"
#include "reverie/run/signals.h"

namespace reverie {
namespace {

struct CompareArguments {
  std::vector<std::string> paths;
  std::string out;
  std::string normalise;
  std::vector<std::string> reach;
  std::vector<std::string> published;
  bool json = false;
  bool live = false;
  int64_t port = 8787;
  std::vector<std::string> hosts;
  CompareOptions options;
};

// "950" for every task, "Hopper-v5=3000" for one.
std::pair<std::string, double> ReadReach(const std::string& text) {
  const size_t equals = text.find('=');
  const size_t begin = equals == std::string::npos ? 0 : equals + 1;
  return {text.substr(0, begin == 0 ? 0 : equals), ReadOption<double>("--reach", text.substr(begin), Range())};
}

CompareOptions ReadOptions(const CompareArguments& arguments) {
  CompareOptions options = arguments.options;
  if (!arguments.normalise.empty()) {
    options.reference_returns = ReadReferenceReturns(arguments.normalise);
  }
  for (const std::string& reach : arguments.reach) {
    options.reach.insert(ReadReach(reach));
  }
  for (const std::string& file : arguments.published) {
    const std::vector<PublishedMark> marks = ReadPublishedMarks(file);
    options.published.insert(options.published.end(), marks.begin(), marks.end());
  }
  return options;
}

// As today's version reads it. One that it does not read any more, such as of an environment that is not there, stands
// as it is.
ConfigDocument ReadConfig(const std::filesystem::path& file, const EnvRegistry& envs) {
  try {
    return Resolved(OpenConfig(file), envs);
  } catch (const std::invalid_argument&) {
    return ConfigDocument::FromFile(file);
  }
}

Comparison CompareRuns(const CompareArguments& arguments, const CompareOptions& options, const EnvRegistry& envs) {
  std::vector<RunData> runs;
  std::vector<DamagedRun> damaged;
  std::set<std::filesystem::path> known;
  for (const std::string& path : arguments.paths) {
    for (const std::filesystem::path& run : FindRuns(path, damaged)) {
      if (!known.insert(std::filesystem::canonical(run)).second) {
        continue;
      }
      try {
        runs.push_back(ReadRun(run, [&](const std::filesystem::path& file) { return ReadConfig(file, envs); }));
      } catch (const std::exception& error) {
        damaged.push_back({.path = run, .reason = error.what()});
      }
    }
  }
  return Compare(std::move(runs), options, std::move(damaged));
}

// Until a signal comes.
void Follow(const CompareArguments& arguments, const CompareOptions& options, const EnvRegistry& envs) {
  const LivePage page([&] { return ReportPage(CompareRuns(arguments, options, envs), /*live=*/true); },
                      [&] { return ReportData(CompareRuns(arguments, options, envs)); },
                      static_cast<uint16_t>(arguments.port), arguments.hosts);
  LogInfo("following at " + page.url() + "; Ctrl-C ends it");
  const StopSignals signals;
  while (StopSignals::Received() == 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
}

void RunComparison(const CompareArguments& arguments, const EnvRegistry& envs) {
  const CompareOptions options = ReadOptions(arguments);
  const Comparison comparison = CompareRuns(arguments, options, envs);
  std::cout << (arguments.json ? SummaryJson(comparison) : SummaryText(comparison));
  if (!arguments.out.empty()) {
    WriteReport(comparison, arguments.out);
    LogInfo("wrote " + (std::filesystem::path(arguments.out) / "index.html").string());
  }
  if (arguments.live) {
    Follow(arguments, options, envs);
  }
  if (!comparison.damaged.empty()) {
    std::vector<std::string> paths;
    for (const DamagedRun& run : comparison.damaged) {
      paths.push_back(run.path.string());
    }
    LogError("compared without what cannot be read: " + Joined(paths));
    throw Incomplete();
  }
}

}  // namespace

void AddCompareCommand(CLI::App& program, const EnvRegistry& envs) {
  CLI::App* command =
      program.add_subcommand("compare", "Compare runs: statistics with intervals, and a page to look at");
  auto arguments = std::make_shared<CompareArguments>();
  CompareOptions& options = arguments->options;
  command->add_option("paths", arguments->paths, "Folders of runs, or with runs below them")->required();
  command->add_option("--out", arguments->out, "Write index.html, summary.json and summary.csv into this folder");
  command->add_flag("--json", arguments->json, "JSON on stdout instead of a table");
  AddOption(*command, "--window", options.window, "Part of the steps, at their end, that a score is the mean over",
            Range{.low = 0, .high = 1, .low_open = true});
  command
      ->add_option_function<std::vector<std::string>>(
          "--at",
          [&options](const std::vector<std::string>& texts) {
            for (const std::string& text : texts) {
              options.at_steps.push_back(ReadOption<double>("--at", text, Range()));
            }
          },
          "Give returns at these steps too: --at 10000,50000")
      ->delimiter(',');
  command
      ->add_option("--reach", arguments->reach,
                   "Give the steps and hours to this return: --reach 950, or --reach Hopper-v5=3000,Ant-v5=4000")
      ->delimiter(',');
  command->add_option("--normalise", arguments->normalise,
                      "YAML of TASK: [LOW, HIGH], the returns that count as 0 and 1");
  command->add_option("--published", arguments->published, "CSV of published summaries, drawn dashed")
      ->allow_extra_args(false);
  command->add_flag("--finished-only", options.finished_only, "Leave out runs that have not finished");
  AddOption(*command, "--draws", options.draws, "Draws of the bootstrap", AtLeast(1));
  CLI::Option* live =
      command->add_flag("--live", arguments->live, "Serve the page to this machine's browser and follow the runs");
  AddOption(*command, "--port", arguments->port, "Port of --live; 0: any free one", Between(0, 65535))->needs(live);
  command
      ->add_option("--allow-host", arguments->hosts,
                   "Name of --live's page besides 127.0.0.1 and localhost, as that of a proxy before it")
      ->allow_extra_args(false)
      ->needs(live);
  command->callback([arguments, &envs] { RunComparison(*arguments, envs); });
}

}  // namespace reverie
