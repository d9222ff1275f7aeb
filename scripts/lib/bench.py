"""Runs reverie_bench and the peers in turn and prints how they compare. Called by scripts/bench."""

import argparse
import csv
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

TASKS = ["HalfCheetah-v5", "Hopper-v5", "Walker2d-v5", "Ant-v5", "Humanoid-v5"]

# Floating-point operations of one update or row at HalfCheetah's sizes: every matrix product of
# src/learners/sac_learner.cc, src/models/gaussian_ensemble.cc and src/rollout/branched_rollout.cc.
def mlp(*widths):
    return sum(2 * a * b for a, b in zip(widths, widths[1:]))


OBS, ACT, BATCH = 17, 6, 256
ACTOR = mlp(OBS, 256, 256, 2 * ACT)
CRITIC = mlp(OBS + ACT, 256, 256, 1)
ENSEMBLE = mlp(OBS + ACT, 200, 200, 200, 200, 2 * (OBS + 1))
CRITIC_INPUT_GRADIENT = mlp(1, 256, 256, ACT)
SAC_FLOP = BATCH * (
    ACTOR  # a' at s'
    + 2 * CRITIC  # targets
    + 2 * (3 * CRITIC - mlp(OBS + ACT, 256))  # critics: forward, weights' gradients, hidden layers' gradients
    + 3 * ACTOR - mlp(OBS, 256)  # actor
    + 2 * (CRITIC + CRITIC_INPUT_GRADIENT)  # Q and its gradient by the action
)
ENSEMBLE_FLOP = 7 * 256 * (3 * ENSEMBLE - mlp(OBS + ACT, 200))
ROW_FLOP = ENSEMBLE + ACTOR


class Bench:
    def __init__(self, args):
        self.args = args
        self.samples = {}
        self.peers = args.root / "scripts" / "peers"

    def add(self, name, value):
        self.samples.setdefault(name, []).append(value)

    def run(self, *command, threads=None):
        env = dict(os.environ)
        if threads:
            env["OMP_NUM_THREADS"] = str(threads)
        result = subprocess.run([str(c) for c in command], capture_output=True, text=True, env=env)
        if result.returncode != 0:
            sys.exit(f"{' '.join(map(str, command))} failed:\n{result.stderr[-2000:]}")
        return result.stdout

    def peer(self, script, *arguments, python=sys.executable):
        return [json.loads(line) for line in self.run(python, self.peers / script, *arguments).splitlines() if line.startswith("{")]

    def ours(self, pattern):
        out = self.run(self.args.build / "reverie_bench", f"--benchmark_filter={pattern}", "--benchmark_format=json")
        for row in json.loads(out)["benchmarks"]:
            name = row["name"].replace("/real_time", "").replace("/process_time", "")
            self.add(name, row["items_per_second"])

    def learning(self):
        self.ours("^(Gemm|SacUpdate|EnsembleMinibatch|ImaginedStep)")
        for row in self.peer("sb3_sac.py", "HalfCheetah-v5", 200):
            self.add(f"sb3/SacUpdate/threads:{row['threads']}", row["updates_per_s"])
        for row in self.peer("mbrl_ensemble.py"):
            self.add("mbrl/EnsembleMinibatch/threads:2", 1000 / row["fit_ms_per_minibatch"])
            self.add("mbrl/ImaginedStep/threads:2", row["sampled_rows_per_s"])

    def env(self):
        self.ours("^(EnvSteps|PhysicsSteps|VectorSteps|VectorPhysics)")
        for row in self.peer("gymnasium_steps.py"):
            self.add(f"gymnasium/EnvSteps/{row['task']}", row["env_steps_per_s"])
        for row in self.peer("envpool_steps.py", python=self.args.envpool):
            kind = "EnvSteps" if row["envs"] == 1 else "VectorSteps"
            self.add(f"envpool/{kind}/{row['task']}", row["env_steps_per_s"])

    def mbpo(self):
        explore, learn, updates = 2000, 250, 20
        with tempfile.TemporaryDirectory() as folder:
            run = pathlib.Path(folder) / "run"
            overrides = {
                "exploration_steps": explore, "total_steps": explore + learn, "updates_per_step": updates,
                "log.every_steps": 250, "eval.every_steps": 1000000, "eval.episodes": 1, "threads": 2,
            }
            sets = [word for key, value in overrides.items() for word in ("--set", f"{key}={value}")]
            self.run(self.args.build / "reverie", "train", self.args.root / "configs/mbpo/half_cheetah.yaml", "--run-dir", run, *sets)
            wall = {int(row["env_step"]): row for row in csv.DictReader(open(run / "train.csv"))}
        seconds = float(wall[explore + learn]["time/wall_s"]) - float(wall[explore]["time/wall_s"])
        self.add("Mbpo", learn / seconds)
        self.add("Mbpo/fit_s", float(wall[explore + learn]["time/model_fit_s"]))
        self.add("Mbpo/rollout_s", float(wall[explore + learn]["time/rollout_s"]))
        self.add("Mbpo/updates_s", float(wall[explore + learn]["time/updates_s"]))
        for row in self.peer("mbrl_mbpo.py", "HalfCheetah-v5", explore, learn, updates):
            self.add("mbrl/Mbpo", row["env_steps_per_s"])
            self.add("mbrl/SacUpdate/threads:2", learn * updates / row["sac_s"])
            for part in ("model_fit_s", "rollout_s", "sac_s"):
                self.add(f"mbrl/Mbpo/{part}", row[part])

    def start(self):
        def seconds(*command):
            begin = time.perf_counter()
            self.run(*command)
            return time.perf_counter() - begin

        with tempfile.TemporaryDirectory() as folder:
            self.add("Start", 1 / seconds(
                self.args.build / "reverie", "train", self.args.root / "configs/quickstart.yaml", "--run-dir",
                pathlib.Path(folder) / "run", "--set", "total_steps=1", "--set", "eval.episodes=1"))
        self.add("torch/Start", 1 / seconds(sys.executable, "-c", "import torch"))

    def ratio(self, name, other):
        """Median of ours over theirs, repetition by repetition; None where either was not measured."""
        if name not in self.samples or other not in self.samples:
            return None
        return statistics.median(a / b for a, b in zip(self.samples[name], self.samples[other]))

    def table(self):
        rows = []

        def row(work, name, peers, limit=None, must=None):
            if name not in self.samples:
                return
            compared = {peer: self.ratio(name, f"{peer}/{name}") for peer in peers}
            compared = {peer: value for peer, value in compared.items() if value is not None}
            rows.append({
                "work": work, "ours": statistics.median(self.samples[name]), "peers": compared,
                "peer_rates": {peer: statistics.median(self.samples[f"{peer}/{name}"]) for peer in compared},
                "of_limit": limit, "must": must})

        def gemm_share(name, flop, shape, threads):
            gemm = f"Gemm/{shape}/threads:{threads}"
            value = self.ratio(name, gemm)
            return None if value is None else value * flop

        square, tall = "m:256/k:256/n:256", "m:8192/k:200/n:200"
        for threads in (1, 2):
            suffix = f"threads:{threads}"
            row(f"SAC updates/s, {threads} threads", f"SacUpdate/{suffix}", ["sb3", "mbrl"],
                gemm_share(f"SacUpdate/{suffix}", SAC_FLOP, square, threads), "2.3x" if threads == 2 else None)
        for threads in (1, 2):
            suffix = f"threads:{threads}"
            row(f"ensemble minibatches/s, {threads} threads", f"EnsembleMinibatch/{suffix}", ["mbrl"],
                gemm_share(f"EnsembleMinibatch/{suffix}", ENSEMBLE_FLOP, square, threads), "1.8x" if threads == 2 else None)
        for threads in (1, 2):
            suffix = f"threads:{threads}"
            row(f"imagined rows/s, {threads} threads", f"ImaginedStep/{suffix}", ["mbrl"],
                gemm_share(f"ImaginedStep/{suffix}", ROW_FLOP, tall, threads), "1.6x" if threads == 2 else None)
        for task in TASKS:
            row(f"{task} steps/s, 1 thread", f"EnvSteps/{task}", ["gymnasium", "envpool"],
                self.ratio(f"EnvSteps/{task}", f"PhysicsSteps/{task}"), "0.92 of limit, ahead")
        for task in TASKS:
            row(f"{task} steps/s, 64 on 2 threads", f"VectorSteps/{task}", ["envpool"],
                self.ratio(f"VectorSteps/{task}", f"VectorPhysics/{task}"), "0.9 of limit, ahead")
        row("MBPO env steps/s, 2 threads", "Mbpo", ["mbrl"], None, "2x")
        row("starts/s", "Start", ["torch"], None, "2x")
        print("| work | ours | peers | ours / peer | of the limit | must |\n|---|---|---|---|---|---|")
        for r in rows:
            rates = ", ".join(f"{p} {v:,.4g}" for p, v in r["peer_rates"].items())
            ratios = ", ".join(f"{v:.2f}" for v in r["peers"].values())
            share = "" if r["of_limit"] is None else f"{r['of_limit']:.2f}"
            print(f"| {r['work']} | {r['ours']:,.4g} | {rates} | {ratios} | {share} | {r['must'] or ''} |")
        for name in sorted(self.samples):
            if name.startswith("Gemm"):
                print(f"{name}: {statistics.median(self.samples[name]) / 1e9:.0f} GFLOP/s")
        return rows


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench")
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--root", type=pathlib.Path, required=True)
    parser.add_argument("--envpool", required=True)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--only", choices=["learning", "env", "mbpo", "start"], action="append")
    args = parser.parse_args()
    bench = Bench(args)
    for repetition in range(args.repetitions):
        for part in args.only or ["learning", "env", "mbpo", "start"]:
            print(f"repetition {repetition + 1}: {part}", file=sys.stderr)
            getattr(bench, part)()
    rows = bench.table()
    result = {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count(),
              "date": time.strftime("%Y-%m-%d"), "rows": rows, "samples": bench.samples}
    (args.build / "bench.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
