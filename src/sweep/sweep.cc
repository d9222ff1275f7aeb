#include "reverie/sweep/sweep.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <set>
#include <stdexcept>

#include "algorithms/existing_run.h"
#include "reverie/algorithms/registry.h"
#include "reverie/config/reader.h"
#include "reverie/config/writer.h"
#include "reverie/core/file.h"
#include "reverie/core/log.h"
#include "reverie/core/text.h"
#include "reverie/env/registry.h"
#include "reverie/run/checkpoint_folder.h"
#include "reverie/run/csv_table.h"

namespace reverie {
namespace {

namespace fs = std::filesystem;

constexpr const char* kDefaultSeeds = "0..4";
constexpr int64_t kMostSeeds = 10'000;

[[noreturn]] void Fail(const std::string& where, const std::string& what) {
  throw std::invalid_argument(where + ": " + what);
}

struct SweepFields {
  std::string base;
  std::string out;
  int64_t runs_per_gpu = 1;
  SlurmOptions slurm;

  void Visit(Fields& fields) {
    fields.Required("base", base, "config that every run starts from");
    fields("out", out, "folder of the runs");
    fields.Any("overrides", "{KEY: VALUE}, for every run");
    fields.Any("tasks", "a list of env ids or configs");
    fields.Any("seeds", "a range 1..5, or a list");
    fields.Any("variants", "NAME: {KEY: VALUE}");
    fields.Any("grid", "KEY: [VALUE, VALUE]");
    fields("runs_per_gpu", runs_per_gpu, "runs at once on each GPU of this machine", AtLeast(1));
    fields("slurm", slurm, "what a run asks of Slurm");
  }
};

std::vector<ConfigAssignment> Assignments(const ConfigDocument& document) {
  std::vector<ConfigAssignment> assignments;
  for (const ConfigLeaf& leaf : document.Leaves()) {
    assignments.push_back({leaf.key + "=" + leaf.value, leaf.where});
  }
  return assignments;
}

std::optional<int64_t> ParseSeed(std::string_view text) {
  const std::optional<int64_t> seed = ParseNumber<int64_t>(text);
  return seed && *seed >= 0 ? seed : std::nullopt;
}

// What stands at a key at the top, or that value where the key is missing.
ConfigLeaf LeafOf(const ConfigDocument& document, const std::string& key, const std::string& missing) {
  for (const ConfigLeaf& leaf : document.Leaves()) {
    if (leaf.key == key) {
      return leaf;
    }
  }
  return {.key = key, .value = missing, .elements = {}, .where = document.Where(key)};
}

std::vector<int64_t> ReadSeeds(const ConfigDocument& document) {
  const auto [key, text, list, where] = LeafOf(document, "seeds", kDefaultSeeds);
  std::vector<int64_t> seeds;
  if (const size_t dots = text.find(".."); list.empty() && dots != std::string::npos) {
    const std::optional<int64_t> first = ParseSeed(std::string_view(text).substr(0, dots));
    const std::optional<int64_t> last = ParseSeed(std::string_view(text).substr(dots + 2));
    for (int64_t seed = first.value_or(0); first && last && seed <= *last && *last - *first < kMostSeeds; ++seed) {
      seeds.push_back(seed);
    }
  }
  for (const std::string& element : list) {
    if (const std::optional<int64_t> seed = ParseSeed(element)) {
      seeds.push_back(*seed);
    }
  }
  const bool twice = std::set<int64_t>(seeds.begin(), seeds.end()).size() < seeds.size();
  if (seeds.empty() || twice || (!list.empty() && seeds.size() < list.size())) {
    Fail(where, "seeds: expected a range like 1..5 or a list of different integers from 0 on, got " + text);
  }
  return seeds;
}

// File systems take 255 bytes; NAME.yaml has another name while it is written.
constexpr size_t kLongestName = 240;

bool CanBeInAName(unsigned char c) { return c != '/' && c != '"' && c != '\\' && std::iscntrl(c) == 0; }

// A name that is a folder of its own.
void CheckName(const std::string& what, const std::string& name, const std::string& where) {
  if (name.empty() || name.starts_with('.') || !std::all_of(name.begin(), name.end(), CanBeInAName)) {
    Fail(where, what + " " + name + ": expected a name that can be a folder's");
  }
  if (name.size() > kLongestName) {
    Fail(where, what + " " + name + ": expected a name of at most " + std::to_string(kLongestName) + " bytes, got " +
                    std::to_string(name.size()) + "; name what differs in `variants`");
  }
}

// What the sweep itself sets of every run cannot be given by its other sections: it would be lost, or the runs of one
// folder would be of different things.
void RefuseOwnKeys(const std::vector<ConfigAssignment>& assignments, bool has_tasks) {
  for (const ConfigAssignment& assignment : assignments) {
    const std::string key = assignment.text.substr(0, assignment.text.find('='));
    std::string setter;
    if (key == "seed") {
      setter = "seeds";
    } else if (key == "variant") {
      setter = "variants";
    } else if (has_tasks && (key == "env" || key == "env.id")) {
      setter = "tasks";
    }
    if (!setter.empty()) {
      Fail(assignment.origin, key + ": is set by the sweep's `" + setter + "`");
    }
  }
}

// A config that the sweep's file names.
ConfigDocument OpenNamed(const fs::path& file, const std::string& key, const std::string& where) {
  if (!fs::exists(file)) {
    Fail(where, key + ": no such file: " + file.string());
  }
  return OpenConfig(file);
}

struct Task {
  std::string name;
  std::string env;    // its id; empty where the task does not say
  std::string where;  // the task is given
  std::vector<ConfigAssignment> assignments;
};

std::vector<Task> ReadTasks(const ConfigDocument& document, const fs::path& folder) {
  const auto [key, text, names, where] = LeafOf(document, "tasks", "");
  if (names.empty() && !text.empty()) {
    Fail(where, "tasks: expected a list of env ids or configs, got " + text);
  }
  std::vector<Task> tasks;
  for (const std::string& name : names) {
    if (name.ends_with(".yaml") || name.ends_with(".yml")) {
      const ConfigDocument config = OpenNamed(folder / name, "tasks", where);
      tasks.push_back({.name = fs::path(name).stem().string(),
                       .env = config.TextAt("env.id"),
                       .where = config.Where("env.id"),
                       .assignments = Assignments(config)});
    } else {
      tasks.push_back(
          {.name = NameInPaths(name), .env = name, .where = where, .assignments = {{"env.id=" + name, where}}});
    }
    CheckName("tasks:", tasks.back().name, where);
  }
  return tasks;
}

// What the base says of its environment is not said of another one: all of the section gives way to the task's. Returns
// what of it did.
std::vector<ConfigLeaf> SetTask(const Task& task, const std::vector<ConfigAssignment>& overrides,
                                ConfigDocument& config) {
  std::vector<ConfigLeaf> given_way;
  if (!task.env.empty() && task.env != config.TextAt("env.id")) {
    given_way = config.Section("env").Leaves();
    config.Set("env={id: " + YamlText(task.env) + "}", task.where);
  }
  config.Set(overrides);
  config.Set(task.assignments);
  return given_way;
}

// What of the base's environment the config does without, as nothing sets it again, or "".
std::string LeftOut(const std::vector<ConfigLeaf>& given_way, const ConfigDocument& config) {
  std::set<std::string> there;
  for (const ConfigLeaf& leaf : config.Section("env").Leaves()) {
    there.insert(leaf.key);
  }
  std::vector<std::string> left_out;
  for (const ConfigLeaf& leaf : given_way) {
    if (!there.contains(leaf.key)) {
      left_out.push_back("env." + leaf.key + " (" + leaf.where + ")");
    }
  }
  return left_out.empty() ? "" : config.TextAt("env.id") + " does without the base's " + Joined(left_out);
}

struct Variant {
  std::string name;
  std::optional<fs::path> base;
  std::string base_where;
  std::vector<ConfigAssignment> assignments;
};

std::vector<Variant> ReadVariants(const ConfigDocument& document, const fs::path& folder) {
  const ConfigDocument section = document.Section("variants");
  std::vector<Variant> variants;
  for (const std::string& name : section.Keys()) {
    CheckName("variants:", name, document.Where("variants"));
    Variant variant{.name = name};
    for (const ConfigAssignment& assignment : Assignments(section.Section(name))) {
      if (assignment.text.starts_with("base=")) {
        variant.base = folder / assignment.text.substr(5);
        variant.base_where = assignment.origin;
      } else {
        variant.assignments.push_back(assignment);
      }
    }
    variants.push_back(std::move(variant));
  }
  return variants;
}

// Every variant with every combination of the grid; the name says which.
std::vector<Variant> WithGrid(std::vector<Variant> variants, const ConfigDocument& grid) {
  for (const ConfigLeaf& leaf : grid.Leaves()) {
    if (leaf.elements.empty()) {
      Fail(leaf.where, "grid." + leaf.key + ": expected a list of values, got " + leaf.value);
    }
    std::vector<Variant> combined;
    for (const Variant& variant : variants) {
      for (const std::string& value : leaf.elements) {
        Variant one = variant;
        one.name += "-" + leaf.key + "=" + value;
        std::replace_if(
            one.name.begin(), one.name.end(), [](char c) { return !CanBeInAName(c); }, '_');
        CheckName("grid:", one.name, leaf.where);
        one.assignments.push_back({leaf.key + "=" + value, leaf.where});
        combined.push_back(std::move(one));
      }
    }
    variants = std::move(combined);
  }
  return variants;
}

// The last value of a column in a CSV file of a run; nothing where there is none.
std::optional<double> LastValue(const fs::path& path, const std::string& column) {
  try {
    const CsvTable table(path, {.grows = true});
    return table.rows() > 0 ? table.Number(table.rows() - 1, table.Column(column)) : std::nullopt;
  } catch (const std::invalid_argument&) {
    return std::nullopt;  // not there yet, or damaged, which a comparison tells
  }
}

}  // namespace

void SlurmOptions::Visit(Fields& fields) {
  fields("partition", partition, "partition; the cluster's default where empty");
  fields("account", account, "account that is charged");
  fields("time", time, "time limit of a run, as 12:00:00; the partition's where empty");
  fields("memory", memory, "memory of a run, as 8G");
  fields("cpus", cpus, "cores of a run, and its threads where its config names none", AtLeast(1));
  fields("gpus", gpus, "GPUs of a run", AtLeast(0));
  fields("at_once", at_once, "most runs at once; 0: as many as the cluster gives", AtLeast(0));
  fields("requeue", requeue, "back into the queue after a preemption and at the time limit");
  fields("options", options, "further options of sbatch, as --qos=long");
}

Sweep ReadSweep(const fs::path& file, const fs::path& out, const EnvRegistry& envs) {
  const ConfigDocument document = ConfigDocument::FromFile(file);
  SweepFields fields;
  document.ReadInto(Fields::Of(fields));
  const fs::path folder = file.parent_path();
  Sweep sweep{.out = out};
  if (out.empty()) {
    sweep.out = fields.out.empty() ? fs::path("runs") / file.stem() : fs::path(fields.out);
  }
  sweep.runs_per_gpu = fields.runs_per_gpu;
  sweep.slurm = fields.slurm;
  const std::vector<int64_t> seeds = ReadSeeds(document);
  const std::vector<ConfigAssignment> overrides = Assignments(document.Section("overrides"));
  std::vector<Task> tasks = ReadTasks(document, folder);
  std::vector<Variant> variants = ReadVariants(document, folder);
  RefuseOwnKeys(overrides, !tasks.empty());
  if (variants.empty()) {
    variants.emplace_back();  // named after the algorithm
  }
  variants = WithGrid(std::move(variants), document.Section("grid"));
  for (const Variant& variant : variants) {
    RefuseOwnKeys(variant.assignments, !tasks.empty());
  }
  if (tasks.empty()) {
    tasks.emplace_back();  // the base's own
  }

  std::vector<SweepRun> unseeded;
  std::set<fs::path> known;
  std::set<std::string> said{""};
  const bool has_grid = !document.Section("grid").Keys().empty();
  for (const Task& task : tasks) {
    std::map<std::string, std::string> of_grid;  // a config but for its variant -> that
    for (const Variant& variant : variants) {
      ConfigDocument config = variant.base ? OpenNamed(*variant.base, "base", variant.base_where)
                                           : OpenNamed(folder / fields.base, "base", document.Where("base"));
      const std::vector<ConfigLeaf> given_way = SetTask(task, overrides, config);
      config.Set(variant.assignments);
      if (const std::string left_out = LeftOut(given_way, config); said.insert(left_out).second) {
        LogInfo(left_out);
      }
      SweepRun run{.task = task.name, .variant = variant.name};
      if (run.task.empty()) {
        run.task = NameInPaths(config.Section("env").RequiredString("id"));
      }
      if (run.variant.empty() || run.variant.starts_with('-')) {
        run.variant = config.RequiredString("algorithm") + run.variant;
      }
      CheckName("grid:", run.variant, file.string());
      config.Set("variant=\"" + run.variant + "\"");
      const AlgorithmMaker maker = ReadAlgorithm(config, envs);
      run.total_steps = maker.run().total_steps;
      run.threads = maker.run().NamedThreads();
      run.device = maker.run().device;
      run.config = sweep.out / "configs" / run.task / (run.variant + ".yaml");
      if (!known.insert(run.config).second) {
        Fail(file.string(), run.task + "/" + run.variant + " is there twice: two tasks or variants have the same name");
      }
      sweep.configs.push_back({.path = run.config, .yaml = ToYaml(maker.fields())});
      maker.run().variant.clear();
      const auto [same, is_new] = of_grid.try_emplace(ToYaml(maker.fields()), run.variant);
      if (has_grid && !is_new) {
        Fail(document.Where("grid"),
             "grid: " + same->second + " and " + run.variant + " are one config of " + run.task);
      }
      unseeded.push_back(run);
    }
  }
  // The first seed of everything before the second of anything: early pictures compare.
  for (const int64_t seed : seeds) {
    for (size_t i = 0; i < unseeded.size(); ++i) {
      SweepRun run = unseeded[i];
      run.seed = seed;
      const std::string name = "seed-" + std::to_string(seed);
      run.directory = sweep.out / run.task / run.variant / name;
      run.output = sweep.out / "output" / run.task / run.variant / (name + ".txt");
      sweep.runs.push_back(run);
    }
  }
  return sweep;
}

void RefuseOtherRuns(const Sweep& sweep, const EnvRegistry& envs) {
  std::map<fs::path, AlgorithmMaker> makers;
  for (const SweepConfig& config : sweep.configs) {
    makers.emplace(config.path, ReadAlgorithm(ConfigDocument::FromText(config.yaml, config.path.string()), envs));
  }
  for (const SweepRun& run : sweep.runs) {
    if (!fs::exists(run.directory / "config.yaml")) {
      continue;
    }
    const RunDirectory directory = RunDirectory::Open(run.directory);
    const AlgorithmMaker& maker = makers.at(run.config);
    const std::string difference = DifferenceFrom(directory, maker, envs, [](const ConfigDifference& one) {
      // A variant may have been given another name for `compare`.
      return one.key == "seed" || one.key == "variant" || RunConfig::SaysHow(one.key);
    });
    const RunRecord& record = directory.record();
    if (record.status != RunStatus::kFinished && record.facts.variant != maker.run().variant) {
      LogInfo(run.directory.string() + " is not finished: its variant, " + record.facts.variant + ", becomes " +
              maker.run().variant + " again");
    }
    if (!difference.empty()) {
      throw std::invalid_argument(difference + "; remove it, or name another folder in `out`");
    }
  }
}

FolderLock LockSweep(const Sweep& sweep) {
  MakeFolder(sweep.out);
  std::optional<FolderLock> lock = FolderLock::Take(sweep.out);
  if (!lock) {
    throw std::invalid_argument("another process is at the sweep in " + sweep.out.string() + " already (" +
                                FolderLock::Holder(sweep.out) + ")");
  }
  return std::move(*lock);
}

void WriteSweepConfigs(const Sweep& sweep) {
  for (const SweepConfig& config : sweep.configs) {
    MakeFolder(config.path.parent_path());
    WriteFileWhole(config.path, config.yaml);
  }
}

const char* Name(SweepRunState state) {
  switch (state) {
    case SweepRunState::kMissing:
      return "to do";
    case SweepRunState::kUnfinished:
      return "unfinished";
    case SweepRunState::kFailed:
      return "failed";
    case SweepRunState::kRunning:
      return "running";
    case SweepRunState::kFinished:
      return "finished";
  }
  return "";
}

SweepRunStatus StatusOf(const SweepRun& run) {
  SweepRunStatus status;
  if (!fs::exists(run.directory / "run.json")) {
    return status;
  }
  const RunDirectory directory = RunDirectory::Open(run.directory);
  status.has_checkpoint = CheckpointFolder::Newest(directory.checkpoint_path()).has_value();
  status.env_steps = static_cast<int64_t>(LastValue(run.directory / "train.csv", "env_step").value_or(0));
  status.last_return = LastValue(run.directory / "eval.csv", "return_mean");
  status.reason = directory.record().reason;
  if (directory.record().status == RunStatus::kFinished) {
    status.state = SweepRunState::kFinished;
  } else if (RunDirectory::InUse(run.directory)) {
    status.state = SweepRunState::kRunning;
  } else if (directory.record().status == RunStatus::kFailed) {
    status.state = SweepRunState::kFailed;
  } else {
    status.state = SweepRunState::kUnfinished;
  }
  return status;
}

}  // namespace reverie
