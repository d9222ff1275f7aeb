"""Takes the handling of one fault after another out of the sources: each time a test has to fail.

usage: mutants.py SOURCE_DIR [--check] [--only TEXT] [--out FOLDER]

With --check it says only whether every place is still found once.
"""
import argparse
import datetime
import json
import os
import pathlib
import subprocess
import sys
import time

# Fault, what is taken out, file, text there, text instead, tests of which one has to fail.
MUTANTS = [
    ("kill -9", "logs are not cut back to the checkpoint", "src/run/csv_log.cc", "return *step <= last_step;", "return true;",
     ["run/run_context"]),
    ("kill -9", "a file is written over the old one", "src/core/file.cc", "open(partial_.c_str(), O_WRONLY",
     "open(path_.c_str(), O_WRONLY", ["core/file"]),
    ("kill -9", "half-written files stay", "src/run/checkpoint_folder.cc", ' || name.ends_with(".partial")', "",
     ["run/checkpoint_folder"]),
    ("kill -9", "rows written twice or not at all", "src/run/checkpoint_folder.cc",
     "const int64_t begin = list.empty() ? rows.begin : list.back().end;", "const int64_t begin = rows.begin;", ["run/checkpoint_folder"]),
    ("kill -9", "rows are overwritten before they are written", "src/data/replay_buffer.cc",
     "lender_.Await(total_added_ + batch.size() - capacity());", "", ["data/replay_buffer"]),
    ("kill -9", "snapshots are overwritten before they are written", "src/data/snapshot_buffer.cc",
     "lender_.Await(total_added_ + 1 - capacity_);", "", ["data/snapshot_buffer"]),
    ("kill -9", "snapshots are not kept", "src/algorithms/mbpo.cc", 'state("snapshots", simulator_->snapshots);', "",
     ["apps/exact"]),
    ("overwriting", "the record is taken away", "src/run/run_directory.cc", "if (IsRunFile(name) && name != kRecordFile) {",
     "if (IsRunFile(name)) {", ["run/run_directory"]),
    ("overwriting", "a user's files are taken away", "src/run/run_directory.cc", "if (IsRunFile(name) && name != kRecordFile) {",
     "if (name != kRecordFile) {", ["run/run_directory", "apps/autoresume"]),
    ("overwriting", "a folder that cannot be looked into is an empty one", "src/run/checkpoint_folder.cc",
     'if (error) {\n    const std::string target', 'if (false) {\n    const std::string target', ["apps/autoresume"]),
    ("kill -9", "alpha's optimiser is not kept", "src/learners/sac_learner.cc", 'state("alpha_adam", alpha_adam_);', "",
     ["learners/sac_learner", "apps/exact"]),
    ("kill -9", "a run that went on meanwhile is begun anew", "src/run/run_directory.cc",
     "if (existing == Existing::kReplaceUnbegun &&", "if (false &&", ["run/run_directory"]),
    ("another config", "differences are let through", "src/apps/train_command.cc", "if (!difference.empty()) {",
     "if (false) {", ["apps/autoresume"]),
    ("damaged checkpoint", "the checksum is not compared", "src/core/tensor_file.cc",
     "if (checksum.Digits() != content.checksum) {", "if (false) {", ["core/tensor_file"]),
    ("damaged checkpoint", "the length is not compared", "src/core/tensor_file.cc",
     "if (bytes_ != sizeof header_bytes_ + header_bytes_ + place) {", "if (false) {", ["core/tensor_file"]),
    ("damaged checkpoint", "rows of another checkpoint are taken", "src/run/checkpoint_folder.cc",
     "content.checksum != piece.checksum || ", "", ["run/checkpoint_folder"]),
    ("damaged checkpoint", "the one before is not used", "src/run/checkpoint_folder.cc",
     "problems.emplace_back(error.what());", "throw;", ["run/checkpoint_folder", "apps/autoresume"]),
    ("damaged checkpoint", "another format is read", "src/run/checkpoint_folder.cc", "if (format != kFormat) {",
     "if (format.empty()) {", ["run/checkpoint_folder"]),
    ("damaged checkpoint", "names inside lead elsewhere", "src/run/checkpoint_folder.cc",
     "return std::isalnum(c) == 0 && c != '_';", "return c == 0;", ["run/checkpoint_folder"]),
    ("full disk", "a write's error is ignored", "src/core/file.cc", "if (written < 0 && errno != EINTR) {",
     "if (written < 0) {\n        break;\n      }\n      if (false) {", ["core/file"]),
    ("full disk", "a log's error is ignored", "src/run/csv_log.cc",
     'if (!file_) {\n    throw std::runtime_error("cannot write " + path_.string() + ": "',
     'if (false) {\n    throw std::runtime_error("cannot write " + path_.string() + ": "', ["run/csv_log"]),
    ("full disk", "log.txt ends the run", "src/core/log.cc", "if (!std::exchange(sinks.file_failed, true)) {",
     "throw;\n    {", ["core/log"]),
    ("full disk", "the writing thread's error is dropped", "src/run/checkpoint_folder.cc",
     "void CheckpointFolder::Finish() {\n  if (writing_.valid()) {\n    writing_.get();",
     "void CheckpointFolder::Finish() {\n  if (writing_.valid()) {\n    writing_.wait();", ["run/checkpoint_folder"]),
    ("read-only folder", "a folder that was not made is not noticed", "src/core/file.cc",
     'if (error) {\n    throw std::runtime_error("cannot make the folder "', 'if (false) {\n    throw std::runtime_error("cannot make the folder "',
     ["apps/disk"]),
    ("SIGTERM", "no signal is heard", "src/run/signals.cc", "received.compare_exchange_strong(none, signal);",
     "received.compare_exchange_strong(none, 0);", ["run/signals", "run/run_context"]),
    ("SIGTERM", "no checkpoint at the end", "src/run/run_context.cc", "if (saved_env_steps_ != env_steps_) {", "if (false) {",
     ["run/run_context"]),
    ("SIGTERM", "a fit is not stopped", "src/models/minibatch_fit.cc", "if (stop()) {", "if (false) {",
     ["models/gaussian_ensemble"]),
    ("SIGTERM", "MBPO does not say when to stop a fit", "src/algorithms/mbpo.cc", "run.StopOfFit()",
     "[] { return false; }",
     ["apps/autoresume"]),
    ("SIGTERM", "a stopped fit is not undone", "src/models/gaussian_ensemble.cc",
     "LoadState(before, *this);", "", ["models/gaussian_ensemble"]),
    ("SIGTERM", "an evaluation is not stopped", "src/run/evaluator.cc", "if (stop()) {", "if (false) {", ["run/evaluator"]),
    ("SIGTERM", "training does not say when to stop an evaluation", "src/apps/train_command.cc",
     "return StopSignals::Received() != 0;", "return false;", ["apps/autoresume"]),
    ("SIGTERM", "a stopped evaluation is not made up for", "src/run/run_context.cc", "if (!resume || evaluation_owed_) {",
     "if (!resume) {", ["run/run_context"]),
    ("SIGTERM", "a run that owes its last evaluation is finished", "src/run/run_context.cc", " && !evaluation_owed_;", ";",
     ["run/run_context"]),
    ("SIGTERM", "the exit code is not the signal's", "src/apps/program.cc", "return 128 + stopped.signal;", "return 0;",
     ["apps/autoresume"]),
    ("SIGTERM", "Slurm's script does not pass it on", "src/sweep/slurm_engine.cc", "trap 'stop' TERM\n", "", ["sweep/slurm"]),
    ("SIGTERM", "Slurm's script does not go back into the queue", "src/sweep/slurm_engine.cc", "scontrol requeue", ": requeue",
     ["sweep/slurm"]),
    ("second process", "the lock is not looked at", "src/core/file.cc",
     "if (errno == EAGAIN || errno == EACCES) {", "if (false) {", ["core/file", "run/run_directory"]),
    ("simulation that blows up", "MuJoCo's warnings are not read", "src/env/mujoco/simulation.cc",
     "if (data_->warning[warning].number > 0) {", "if (false) {", ["env/mujoco/simulation"]),
    ("NaN in a reward", "not looked at", "src/env/env.cc", "bool finite = std::isfinite(result.reward);", "bool finite = true;",
     ["apps/faulty_env"]),
    ("NaN in an observation", "not looked at", "src/env/env.cc", "finite = finite && std::isfinite(x);", "(void)x;",
     ["apps/faulty_env"]),
    ("NaN in a loss", "not looked at", "src/learners/metric_means.cc", "if (!std::isfinite(values[i])) {", "if (false) {",
     ["learners/sac_learner", "apps/faults"]),
    ("NaN in a model", "not looked at after a fit's epoch", "src/models/minibatch_fit.cc",
     "if (!finite) {", "if (false) {", ["models/gaussian_ensemble", "apps/faults"]),
    ("NaN in a step that gradients go through", "its row goes on", "src/learners/value_gradient_learner.cc",
     ".ended = next.terminated.logical_or(finite.logical_not()),", ".ended = next.terminated,",
     ["learners/value_gradient_learner"]),
    ("NaN in a step that gradients go through", "its derivatives go on", "src/learners/value_gradient_learner.cc",
     "const torch::Tensor by = Gated(action, finite);", "const torch::Tensor by = action;",
     ["learners/value_gradient_learner", "learners/value_gradient_switches"]),
    ("value gradient", "critics of real steps learn at the policy's actions", "src/learners/value_gradient_learner.cc",
     ".detach() : starts_.action();", ".detach() : trajectories.steps.action.front().detach();",
     ["learners/value_gradient_switches"]),
    ("value gradient", "a real end is not looked at", "src/learners/value_gradient_learner.cc",
     "config_.discount * (1 - real.terminated()) *", "config_.discount *", ["learners/value_gradient_switches"]),
    ("value gradient", "inferred noise is that of another hypothesis", "src/models/inferred_noise.cc",
     "all.mean.gather(0, own).squeeze(0)", "all.mean[0]", ["learners/value_gradient_switches", "models/gaussian_ensemble"]),
    ("value gradient", "the entropy at the start counts for the critics", "src/learners/value_gradient_learner.cc",
     "later_bonus[0].zero_();", "", ["learners/value_gradient_learner"]),
    ("value gradient", "a target is one critic's", "src/learners/value_critics.cc", "q.amin(0)", "q[0]",
     ["learners/value_gradient_learner"]),
    ("homoscedastic ensemble", "a row is labelled anew by each fit", "src/models/homoscedastic_ensemble.cc",
     "rows_labelled_ = data.total_added();", "rows_labelled_ = 0;", ["models/homoscedastic_ensemble"]),
    ("homoscedastic ensemble", "a lower mean is a better model", "src/models/paired_stopping.cc",
     "if (-mean <= error *", "if (0 * mean > error *", ["models/homoscedastic_ensemble"]),
    ("NaN in an imagined row", "not looked at", "src/models/model_env.cc", "FiniteRows(batch.next_obs_reward(), step.finite);",
     "step.finite.fill_(true);", ["rollout/branched_rollout"]),
    ("NaN in an imagined row", "its uncertainty is not looked at", "src/rollout/branched_rollout.cc",
     "step.finite = step.finite.logical_and(torch::isfinite(u));", "", ["rollout/branched_rollout"]),
    ("NaN in a plan", "a particle without a number counts", "src/planning/imagined_return.cc",
     "return mean.masked_fill(finite.view({propagation_.particles, -1}).all(0).logical_not(), kLeast);", "return mean;",
     ["planning/imagined_return"]),
    ("NaN in a plan", "a score that is no number ranks", "src/planning/sequences.cc",
     "return torch::where(torch::isfinite(scores), scores, -std::numeric_limits<float>::infinity());", "return scores;",
     ["planning/planner"]),
    ("NaN in a plan", "an elite without a score has a share", "src/planning/sequences.cc",
     "const torch::Tensor weight = elites.finite.to(candidates.scalar_type());",
     "const torch::Tensor weight = torch::ones_like(elites.finite, candidates.options());", ["planning/planner"]),
    ("NaN in a plan", "the exported search takes any score", "src/planning/sequences.cc",
     'scores = torch.where(torch.isfinite(scores), scores, torch.full_like(scores, float("-inf")))', "scores = scores",
     ["planning/export"]),
    ("a simulation that blows up", "it ends the plan", "src/planning/simulator_return.cc",
     "return -std::numeric_limits<double>::infinity();", "throw;", ["planning/simulator_return"]),
    ("kill -9", "a planner's plan is not kept", "src/rollout/collector.cc", 'state("memory", *memory_);', "", ["apps/exact"]),
    ("NaN in an action", "not looked at", "src/run/evaluator.cc", "if (!torch::isfinite(action).all().item<bool>()) {",
     "if (false) {", ["run/evaluator"]),
    ("any failure", "the state is not kept", "src/run/run_context.cc", "checkpoints_.SaveFailed(State(), env_steps_);", "",
     ["run/run_context"]),
    ("any failure", "run.json does not say so", "src/run/run_context.cc",
     "directory_.SetStatus(RunStatus::kFailed, reason, env_steps_, TrainingSeconds());", "", ["run/run_context"]),
    ("too little memory", "the buffer is not named", "src/data/replay_buffer.cc", "} catch (const c10::Error&) {",
     "} catch (const std::logic_error&) {", ["data/replay_buffer", "apps/faults"]),
    ("too little memory", "a GPU's error names no key", "src/apps/experiment.cc",
     "dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr", "false", ["apps/faulty_env"]),
    ("too little memory", "LibTorch's own error names no key", "src/apps/experiment.cc",
     'text.find("DefaultCPUAllocator") != std::string::npos', "false", ["apps/faults"]),
    ("bad input", "aliases are read", "src/config/reader.cc",
     'Fail(LineOf(name_, mark), "an alias (*name) is not read; write out what it stands for");', "(void)mark;", ["apps/badinput"]),
    ("bad input", "any depth is read", "src/config/reader.cc", "if (++depth_ > kDeepest) {", "if (false) {",
     ["config/config", "apps/badinput"]),
    ("bad input", "any length is read", "src/config/reader.cc", "if (text.size() > kMostBytes) {", "if (false) {",
     ["config/config", "apps/badinput"]),
    ("bad input", "a second document is passed over", "src/config/reader.cc", "if (++documents_ > 1) {", "if (false) {",
     ["config/config", "apps/badinput"]),
    ("bad input", "a CSV file may have any number of columns", "src/run/csv_table.cc", "== kMostColumns) {",
     "== 1000 * kMostColumns) {", ["run/csv_log"]),
    ("numbers", "alpha has no bounds", "src/learners/sac_learner.cc",
     "log_alpha_.values().clamp_(kLowestLogAlpha, kHighestLogAlpha);", "", ["learners/sac_learner"]),
    ("numbers", "log-std has no upper bound", "src/nn/squashed_gaussian_math.h",
     "log_std = bounds.high < log_std ? bounds.high : log_std;", "", ["nn/squashed_gaussian"]),
    ("numbers", "critics that diverge are not noticed", "src/learners/sac_learner.cc", "if (value > kDivergence * allowed && ",
     "if (false && ", ["learners/sac_learner"]),
]


def place(root, file, old):
    """The text of a file, where `old` is found once in it."""
    text = (root / file).read_text()
    if text.count(old) != 1:
        sys.exit(f"{file}: found {text.count(old)} times, expected once: {old}")
    return text


def shell(root, command):
    return subprocess.run(["bash", "-c", f"source scripts/lib/setup.sh\n{command}"], cwd=root, capture_output=True, text=True,
                          env={**os.environ, "REVERIE_WERROR": "OFF"})  # what is left over is unused now and then


def targets_of(build):
    """The executable of each test that has one of its own, as a target."""
    listed = subprocess.run(["ctest", "--test-dir", build, "--show-only=json-v1"], capture_output=True, text=True, check=True)
    commands = {test["name"]: pathlib.Path(test["command"][0]) for test in json.loads(listed.stdout)["tests"]}
    return {name: path.name for name, path in commands.items() if path.parent == build / "tests"}


def caught_by(root, build, tests, targets):
    """The first of the tests that fails on these sources, or None; a build that fails catches nothing."""
    wanted = sorted({targets[test] for test in tests if test in targets} | {"reverie_program"})
    built = subprocess.run(["ninja", "-C", build, *wanted], capture_output=True, text=True)
    if built.returncode != 0:
        sys.exit(built.stdout[-3000:])
    for test in tests:
        result = subprocess.run(["ctest", "--test-dir", build, "--timeout", "300", "-R", f"^{test}$", "--no-tests=error"],
                                capture_output=True, text=True)
        if result.returncode != 0:
            return test
    return None


def main():
    parser = argparse.ArgumentParser(prog="scripts/reliability mutants")
    parser.add_argument("source", type=pathlib.Path)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--only", default="", help="those whose fault or description has this text")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("build/mutants"), help="a clone and its build")
    args = parser.parse_args()
    mutants = [mutant for mutant in MUTANTS if args.only in mutant[0] or args.only in mutant[1]]
    for _, _, file, old, _, _ in mutants:
        place(args.source, file, old)
    if args.check:
        return

    root = args.out.resolve()
    if not root.exists():
        subprocess.run(["git", "clone", "--quiet", args.source, root], check=True)
    subprocess.run(["git", "pull", "--quiet", "--ff-only"], cwd=root, check=True)
    subprocess.run(["git", "checkout", "--quiet", "--", "."], cwd=root, check=True)
    revision = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=root, capture_output=True, text=True).stdout.strip()
    print(f"mutants: {len(mutants)}, {datetime.date.today()}, git {revision}", flush=True)
    built = shell(root, "configured tests || configure tests; build")
    if built.returncode != 0:
        sys.exit(built.stderr[-3000:])
    build = root / "build/release"
    targets = targets_of(build)
    survived = 0
    for fault, what, file, old, new, tests in mutants:
        text = place(root, file, old)
        begun = time.monotonic()
        try:
            (root / file).write_text(text.replace(old, new))
            test = caught_by(root, build, tests, targets)
        finally:
            (root / file).write_text(text)
        survived += test is None
        print(f"{f'caught by {test}' if test else 'SURVIVED'}: {fault}, {what} ({time.monotonic() - begun:.0f} s)", flush=True)
    sys.exit(1 if survived else 0)


if __name__ == "__main__":
    main()
