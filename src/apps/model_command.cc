#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>

#include "commands.h"
#include "experiment.h"
#include "numbers.h"
#include "options.h"
#include "reverie/core/text.h"
#include "reverie/models/report_card.h"

namespace reverie {
namespace {

const std::vector<int64_t> kHorizons{1, 5, 10, 20};
constexpr double kPush = 3;  // deviations that states are pushed by to be new

struct ModelArguments {
  std::string run_dir;
  std::string data;
  int64_t rows = 5000;
  int64_t seed = 0;
  bool targets = false;
  bool json = false;
};

// Rows that a model is judged on.
struct Exam {
  std::string name, key;
  TransitionBatch rows;
  bool is_consecutive;  // rows that followed each other
  StepScores steps;
  Metrics trajectories;
};

struct Novelty {
  std::string name, key;
  Metrics auroc;
};

TransitionBatch NewestOf(const TransitionBatch& all, int64_t most) {
  const int64_t count = std::min(all.size(), most);
  return {all.layout, all.rows.narrow(0, all.size() - count, count)};
}

// The real transitions of another run of the task.
TransitionBatch DataOf(const ModelArguments& arguments, const EnvConfig& env, const TransitionLayout& layout,
                       const EnvRegistry& envs) {
  if (std::filesystem::exists(arguments.data) && std::filesystem::equivalent(arguments.data, arguments.run_dir)) {
    throw std::invalid_argument("--data " + arguments.data + ": expected another run than that of the model");
  }
  const TrainedRun other = LoadTrainedRun(arguments.data, envs, /*with_rows=*/true);
  const ReplayBuffer* transitions = other.algorithm->transitions();
  if (transitions == nullptr || transitions->size() == 0) {
    throw std::invalid_argument("--data " + arguments.data + ": expected a run that keeps its transitions");
  }
  if (other.maker.env().id != env.id) {
    throw std::invalid_argument("--data " + arguments.data + ": expected a run of " + env.id + ", got one of " +
                                other.maker.env().id);
  }
  const TransitionLayout theirs = transitions->layout();
  if (theirs.obs_dim != layout.obs_dim || theirs.act_dim != layout.act_dim) {
    throw std::invalid_argument(Text("--data ", arguments.data, ": expected observations of ", layout.obs_dim,
                                     " numbers and actions of ", layout.act_dim, ", got ", theirs.obs_dim, " and ",
                                     theirs.act_dim));
  }
  return transitions->Newest(arguments.rows);
}

std::vector<std::string> TargetNames(const DynamicsModel& model, const TransitionLayout& layout) {
  std::vector<std::string> names;
  for (int64_t i = 0; i < layout.obs_dim; ++i) {
    names.push_back("obs " + std::to_string(i));
  }
  if (model.learns_reward()) {
    names.emplace_back("reward");
  }
  return names;
}

// Counts as they are, other numbers with three digits.
std::string Shown(double value) {
  if (std::isnan(value)) {
    return "-";
  }
  if (value == std::round(value) && std::abs(value) >= 1) {
    return FixedText(value, 0);
  }
  std::ostringstream text;
  text << std::setprecision(3) << value;
  return text.str();
}

// A column for each of some metrics, a row for each name that one of them has.
void PrintMetrics(std::vector<std::string> head, const std::vector<Metrics>& columns) {
  std::vector<std::vector<std::string>> table{std::move(head)};
  Metrics names;
  for (const Metrics& column : columns) {
    names.Merge("", column);
  }
  for (const auto& [name, _] : names) {
    table.push_back({name});
    for (const Metrics& column : columns) {
      const std::optional<double> value = column.Find(name);
      table.back().push_back(value ? Shown(*value) : "");
    }
  }
  std::cout << Aligned(table);
}

void PrintTargets(const Exam& exam, const std::vector<std::string>& names) {
  std::cout << "\neach target, " << exam.name << "\n";
  std::vector<std::vector<std::string>> table{{"", "nll", "crps", "rmse", "coverage_90"}};
  for (size_t i = 0; i < names.size(); ++i) {
    table.push_back({names[i]});
    for (const torch::Tensor& scores : {exam.steps.nll, exam.steps.crps, exam.steps.rmse, exam.steps.coverage_90}) {
      table.back().push_back(scores.defined() ? Shown(scores[static_cast<int64_t>(i)].item<double>()) : "");
    }
  }
  std::cout << Aligned(table);
}

nlohmann::ordered_json JsonOf(const Metrics& metrics) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (const auto& [name, value] : metrics) {
    json[name] = value;
  }
  return json;
}

nlohmann::ordered_json JsonOf(const Exam& exam) {
  nlohmann::ordered_json json{{"rows", exam.rows.size()}};
  json.update(JsonOf(exam.steps.overall));
  json.update(JsonOf(exam.trajectories));
  for (const auto& [name, scores] : {std::pair("nll", exam.steps.nll),
                                     {"crps", exam.steps.crps},
                                     {"rmse", exam.steps.rmse},
                                     {"coverage_90", exam.steps.coverage_90}}) {
    if (scores.defined()) {
      json["targets"][name] = Numbers(scores);
    }
  }
  return json;
}

void JudgeModel(const ModelArguments& arguments, const EnvRegistry& envs) {
  const TrainedRun run = LoadTrainedRun(arguments.run_dir, envs, /*with_rows=*/true);
  const std::optional<Algorithm::LearnedModel> learned = run.algorithm->learned_model();
  if (!learned) {
    throw std::invalid_argument(arguments.run_dir + " learned no model");
  }
  const ReplayBuffer& data = *run.algorithm->transitions();
  const TransitionBatch all =
      data.Newest(learned->unseen + std::max(std::min(arguments.rows, data.size()), kBaselineRows));
  const int64_t seen = all.size() - learned->unseen;
  if (seen == 0) {
    throw std::invalid_argument(
        arguments.run_dir +
        " keeps no transition that its model was fitted to: it has not been fitted yet, or they gave way to others");
  }
  const int64_t baseline = std::min(seen, kBaselineRows);
  const TransitionBatch known{all.layout, all.rows.narrow(0, seen - baseline, baseline)};
  std::vector<Exam> exams;
  if (const TransitionBatch& held_out = learned->model.holdout(); held_out.rows.defined() && held_out.size() > 0) {
    exams.push_back({"held out by the last fit", "held_out", NewestOf(held_out, arguments.rows), false, {}, {}});
  }
  if (learned->unseen > 0) {
    const TransitionBatch since{all.layout, all.rows.narrow(0, seen, learned->unseen)};
    exams.push_back({"unseen, after the last fit", "unseen", NewestOf(since, arguments.rows), true, {}, {}});
  } else {
    exams.push_back({"newest, most fitted to", "newest", NewestOf(all, arguments.rows), true, {}, {}});
  }
  if (!arguments.data.empty()) {
    exams.push_back({arguments.data, "data", DataOf(arguments, run.maker.env(), all.layout, envs), true, {}, {}});
  }
  const Rng rng = Rng(static_cast<uint64_t>(arguments.seed)).Split("model command");
  for (Exam& exam : exams) {
    exam.steps = ScoreSteps(learned->model, exam.rows, known);
    exam.steps.overall.Merge("", IntervalWidths(learned->model, exam.rows));
    if (exam.is_consecutive) {
      exam.trajectories = ScoreTrajectories(learned->model, exam.rows, kHorizons, rng.Split(exam.key));
    }
  }
  torch::Generator generator = MakeGenerator(rng.Split("novelty"), torch::kCPU);
  const TransitionBatch& home = exams.front().rows;
  std::vector<Novelty> novelties{
      {"uniform actions", "uniform_actions", ScoreNovelty(learned->model, home, WithUniformActions(home, generator))},
      {Text("states pushed by ", kPush, " deviations"), "pushed_states",
       ScoreNovelty(learned->model, home, WithPushedStates(home, kPush, generator))}};
  for (auto exam = exams.begin() + 1; exam < exams.end(); ++exam) {
    novelties.push_back({exam->name, exam->key, ScoreNovelty(learned->model, home, exam->rows)});
  }

  const std::vector<std::string> names = TargetNames(learned->model, all.layout);
  const int64_t hypotheses = learned->model.hypotheses().size(0);
  if (arguments.json) {
    nlohmann::ordered_json json{{"env", run.maker.env().id},
                                {"hypotheses", hypotheses},
                                {"targets", names},
                                {"target_std", Numbers(learned->model.target_std())}};
    for (const Exam& exam : exams) {
      json[exam.key] = JsonOf(exam);
    }
    for (const Novelty& novelty : novelties) {
      json["novelty"][novelty.key] = JsonOf(novelty.auroc);
    }
    std::cout << json.dump() << "\n";
    return;
  }
  std::cout
      << arguments.run_dir << ": " << run.maker.env().id << ", " << hypotheses
      << (hypotheses == 1 ? " hypothesis" : " hypotheses")
      << ", targets in units of their deviation over its training rows, by which numbers of two models differ\n\n";
  std::vector<std::string> head{""};
  std::vector<Metrics> columns;
  for (const Exam& exam : exams) {
    head.push_back(exam.name);
    Metrics& column = columns.emplace_back();
    column.Set("rows", static_cast<double>(exam.rows.size()));
    column.Merge("", exam.steps.overall);
    column.Merge("", exam.trajectories);
  }
  PrintMetrics(std::move(head), columns);
  std::cout << "\nhow often uncertainty is larger there than at the rows " << exams.front().name << "\n";
  head = {""};
  columns.clear();
  for (const Novelty& novelty : novelties) {
    head.push_back(novelty.name);
    columns.push_back(novelty.auroc);
  }
  PrintMetrics(std::move(head), columns);
  if (arguments.targets) {
    for (const Exam& exam : exams) {
      PrintTargets(exam, names);
    }
  }
}

}  // namespace

void AddModelCommand(CLI::App& program, const EnvRegistry& envs) {
  CLI::App* command = program.add_subcommand(
      "model", "What a run's model is worth: densities, calibration, errors of steps and trajectories, uncertainty");
  auto arguments = std::make_shared<ModelArguments>();
  command->add_option("run_dir", arguments->run_dir, "Folder of the run")->required();
  command->add_option("--data", arguments->data, "Judge it on the transitions of that run too, of the same task");
  AddOption(*command, "--rows", arguments->rows, "At most so many rows of each kind; of those in order the newest",
            AtLeast(1));
  AddOption(*command, "--seed", arguments->seed,
            "Seed of the particles, and of the actions and states that are made up", AtLeast(0));
  command->add_flag("--targets", arguments->targets, "Each target alone too");
  command->add_flag("--json", arguments->json, "One JSON object on stdout");
  command->callback([arguments, &envs] { JudgeModel(*arguments, envs); });
}

}  // namespace reverie
