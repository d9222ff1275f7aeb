"""Long trials of what runs survive. Called by scripts/reliability.

usage: reliability.py PROGRAM SOURCE_DIR {kill-loop|long-run} [arguments]
"""
import argparse
import datetime
import json
import os
import pathlib
import platform
import random
import shutil
import statistics
import subprocess
import sys
import time

import tables

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "tests"))
from program import PROGRAM, TINY_MBPO, TINY_SAC, comparable, state  # noqa: E402


def header(what):
    version = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    print(f"{what}, {datetime.date.today()}, {version}, {os.cpu_count()} cores of {cpu_model()}", flush=True)


def cpu_model():
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


# --- Killed at random moments ----------------------------------------------------------------------------------------

def kill_loop(args):
    """kill -9 at random moments of a run, gone on with each time: in the end the run that was never killed."""
    args.out.mkdir(parents=True, exist_ok=True)
    header(f"kill-loop: {args.kills} kills each, seed {args.seed}")
    rng = random.Random(args.seed)
    failed = False
    for name, text in (("sac", TINY_SAC), ("mbpo", TINY_MBPO)):
        config = args.out / f"{name}.yaml"
        config.write_text(text)
        sets = [x for s in (f"total_steps={args.steps[name]}", "env.id=HalfCheetah-v5", "checkpoint.every_steps=100",
                            "eval.every_steps=1000", "eval.episodes=1", "log.every_steps=50") for x in ("--set", s)]
        begin = time.monotonic()
        whole, killed = args.out / f"{name}-whole", args.out / f"{name}-killed"
        subprocess.run([PROGRAM, "train", config, *sets, "--run-dir", whole, "--overwrite"], check=True, capture_output=True)
        undisturbed_s = time.monotonic() - begin
        shutil.rmtree(killed, ignore_errors=True)
        moments = []
        while len(moments) < args.kills:
            # Some come before the first file is written, most somewhere in the run.
            wait = rng.uniform(0.05, args.longest)
            process = subprocess.Popen([PROGRAM, "train", config, *sets, "--run-dir", killed, "--auto-resume"],
                                       stderr=subprocess.DEVNULL)
            try:
                code = process.wait(wait)
                sys.exit(f"{name}: ended with {code} before kill {len(moments) + 1}: raise --steps or lower --longest")
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            rows = comparable(killed / "train.csv") if (killed / "train.csv").exists() else []
            moments.append(int(rows[-1]["env_step"]) if rows else 0)
        last = subprocess.run([PROGRAM, "train", config, *sets, "--run-dir", killed, "--auto-resume"], capture_output=True,
                              text=True)
        same = last.returncode == 0 and state(whole) == state(killed) and all(
            comparable(whole / file) == comparable(killed / file) for file in ("train.csv", "eval.csv"))
        resumed = len(json.loads((killed / "run.json").read_text())["resumed"])
        print(f"{name}: {args.steps[name]} env steps ({undisturbed_s:.1f} s undisturbed), killed {args.kills} times, at the "
              f"logged steps {moments}; {resumed} starts went on from a checkpoint, the others were killed before there was one "
              f"or before they had read it; final logs, weights, buffers "
              f"and streams {'identical' if same else 'DIFFER'}", flush=True)
        failed |= not same
    sys.exit(1 if failed else 0)


# --- A long run ------------------------------------------------------------------------------------------------------

LONG = {
    "sac": """algorithm: sac
exploration_steps: 1000
replay_capacity: 20000
""",
    "mbpo": """algorithm: mbpo
exploration_steps: 1000
replay_capacity: 20000
updates_per_step: 1
epoch_length: 1000
model: {retrain_every: 1000, max_epochs: 5}
rollout: {start_states: 20000, length: 1, retain_epochs: 1}
""",
}
COMMON = """threads: 1
device: cpu
env: {id: InvertedPendulum-v5}
eval: {every_steps: 10000, episodes: 5}
checkpoint: {every_steps: 10000}
log: {every_steps: 1000}
"""


def usage(pid):
    """Open files, threads and resident MiB of a process."""
    status = dict(line.split(":", 1) for line in open(f"/proc/{pid}/status") if ":" in line)
    return len(os.listdir(f"/proc/{pid}/fd")), int(status["Threads"]), int(status["VmRSS"].split()[0]) / 1024


def long_run(args):
    """Runs one after another on one thread; memory, handles and rates over their length."""
    args.out.mkdir(parents=True, exist_ok=True)
    header(f"long-run: {args.steps} env steps")
    failed = False
    for name in args.algorithms:
        config = args.out / f"long-{name}.yaml"
        config.write_text(LONG[name] + COMMON + f"total_steps: {args.steps}\n")
        run_dir = args.out / f"long-{name}"
        process = subprocess.Popen([PROGRAM, "train", config, "--run-dir", run_dir, "--overwrite"], stderr=subprocess.DEVNULL)
        samples = []
        while process.poll() is None:
            try:
                samples.append(usage(process.pid))
            except (FileNotFoundError, KeyError, ProcessLookupError):
                break
            time.sleep(1)
        if process.wait() != 0:
            sys.exit(f"{name} ended with {process.returncode}")
        failed |= not judge(name, run_dir, samples, args)
    sys.exit(1 if failed else 0)


def judge(name, run_dir, samples, args):
    rows = tables.rows(run_dir / "train.csv")
    number = lambda row, column: float(row[column] or 0)
    tenth = len(rows) // 10
    tenths = [rows[i * tenth:(i + 1) * tenth] for i in range(10)]
    mean = lambda part, column: statistics.mean(number(row, column) for row in part)
    each = rows and number(rows[1], "env_step") - number(rows[0], "env_step")
    env_rate = [each / mean(part, "time/env_s") if mean(part, "time/env_s") else 0 for part in tenths]
    update_rate = [each / mean(part, "time/updates_s") if mean(part, "time/updates_s") else 0 for part in tenths]
    # The buffers are full after 20,000 steps; what the first evaluation and checkpoints take is there by then too.
    memory = [number(row, "memory/resident_mib") for row in rows[3 * tenth:]]
    flat = max(memory) / min(memory) - 1
    running = samples[len(samples) // 5:-2]
    files, threads = ({sample[i] for sample in running} for i in range(2))
    change = lambda rates: rates[-1] / rates[1] - 1
    checks = [("memory once the buffers are full", f"{min(memory):.0f} to {max(memory):.0f} MiB, {100 * flat:.1f} %", flat <= 0.03),
              ("open files", f"{sorted(files)}", max(files) - min(files) <= 1),  # one more while a checkpoint is written
              ("threads", f"{sorted(threads)}", max(threads) - min(threads) <= 1),
              ("env steps per second, second tenth to last", f"{env_rate[1]:.0f} to {env_rate[-1]:.0f}, {100 * change(env_rate):+.1f} %",
               abs(change(env_rate)) <= 0.05),
              ("updates per second, second tenth to last",
               f"{update_rate[1]:.1f} to {update_rate[-1]:.1f}, {100 * change(update_rate):+.1f} %", abs(change(update_rate)) <= 0.05)]
    if name == "mbpo":
        per_row = [statistics.mean(number(row, "time/model_fit_s") / (number(row, "model/epochs") * number(row, "model/train_rows"))
                                   for row in part if number(row, "model/epochs")) * 1e6 for part in tenths]
        checks.append(("fit, microseconds per row and epoch, second tenth to last",
                       f"{per_row[1]:.1f} to {per_row[-1]:.1f}, {100 * change(per_row):+.1f} %", abs(change(per_row)) <= 0.05))
    print(f"{name}:")
    for what, value, good in checks:
        print(f"  {'good' if good else 'BAD '}  {what}: {value}", flush=True)
    plot(name, rows, env_rate, update_rate, args)
    return all(good for _, _, good in checks)


def plot(name, rows, env_rate, update_rate, args):
    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "reverie"
    import matplotlib.pyplot as plt
    figure, (memory, rate) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    steps = [float(row["env_step"]) for row in rows]
    memory.plot(steps, [float(row["memory/resident_mib"]) for row in rows])
    memory.set(xlabel="env steps", ylabel="resident MiB", ylim=(0, None), title=f"{name}: memory")
    middle = [(i + 0.5) * steps[-1] / 10 for i in range(10)]
    rate.plot(middle[1:], [x / env_rate[1] for x in env_rate[1:]], marker="o", label="env steps per second")
    rate.plot(middle[1:], [x / update_rate[1] for x in update_rate[1:]], marker="o", label="updates per second")
    rate.set(xlabel="env steps", ylabel="by the second tenth's", ylim=(0.8, 1.2), title=f"{name}: rates outside the fits")
    rate.grid(alpha=0.3)
    for axes in (memory, rate):
        axes.locator_params(axis="x", nbins=5)
    rate.legend()
    figure.savefig(args.out / f"long-{name}.svg", metadata={"Date": None})


def main():
    parser = argparse.ArgumentParser(prog="scripts/reliability")
    commands = parser.add_subparsers(required=True)
    kill = commands.add_parser("kill-loop", help=kill_loop.__doc__)
    kill.set_defaults(act=kill_loop)
    kill.add_argument("--kills", type=int, default=30)
    kill.add_argument("--seed", type=int, default=0)
    kill.add_argument("--longest", type=float, default=1.5, help="seconds until a kill, at most")
    kill.add_argument("--steps", type=json.loads, default={"sac": 60_000, "mbpo": 60_000}, help="env steps, by algorithm")
    long = commands.add_parser("long-run", help=long_run.__doc__)
    long.set_defaults(act=long_run)
    long.add_argument("--steps", type=int, default=100_000)
    long.add_argument("--algorithms", nargs="+", default=["sac", "mbpo"])
    for command in (kill, long):
        command.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/reliability"))
    args = parser.parse_args(sys.argv[3:])
    args.out = args.out.resolve()
    args.act(args)


if __name__ == "__main__":
    main()
