"""Runs reverie_bench and the peers in turn and prints how they compare. Called by scripts/bench."""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

import tables

PARTS = ["learning", "planning", "control", "env", "mbpo", "phases", "start", "threads"]
BUSY = 4  # programs beside a run
THREADS = sorted({1, 2, len(os.sched_getaffinity(0))})
PHASES = ["model_fit", "rollout", "env", "updates"]
PHASE_ROWS = [2000, 50000]
TASKS = ["HalfCheetah-v5", "Hopper-v5", "Walker2d-v5", "Ant-v5", "Humanoid-v5"]
TWINS = ["eager PyTorch", "compiled PyTorch"]
SUITE_TASKS = ["dm_control/walker-walk", "dm_control/cheetah-run"]
PLANNED_SIZES = [(400, 20), (100, 5)]  # population, particles
RICCATI_SIZES = ["n:4/m:1/T:50", "n:8/m:2/T:50", "n:18/m:6/T:30", "n:37/m:12/T:100"]
PLANNED_TASKS = ["HalfCheetah-v5", "Reacher-v5"]

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
# The same at Hopper's sizes of src/learners/value_gradient_learner.cc and src/models/homoscedastic_ensemble.cc.
H, E, VALUE_OBS, VALUE_ACT = 5, 8, 11, 3
VALUE_ACTOR = mlp(VALUE_OBS, 256, 256, 256, 2 * VALUE_ACT)
VALUE_CRITIC = mlp(VALUE_OBS + VALUE_ACT, 256, 256, 256, 1)
VALUE_MODEL = mlp(VALUE_OBS + VALUE_ACT, 256, 256, 256, VALUE_OBS + 1)
VALUE_FLOP = BATCH * (
    3 * (H + 1) * VALUE_ACTOR - mlp(VALUE_OBS, 256)  # the first step's states have no gradient
    + 2 * H * VALUE_MODEL  # forward, states' and actions' gradients
    + 2 * VALUE_CRITIC  # targets
    + 5 * (3 * VALUE_CRITIC - mlp(VALUE_OBS + VALUE_ACT, 256))  # critics
    + 5 * 2 * VALUE_CRITIC  # Q at the last state and its gradient
)
HOMOSCEDASTIC_FLOP = E * 2048 * (3 * VALUE_MODEL - mlp(VALUE_OBS + VALUE_ACT, 256))

# Kinds of model and what their imagined rows/s have to be of the ensemble's.
KINDS = {"homoscedastic": None, "dropout": "0.95x", "bnn": "0.95x", "mdn": "0.8x", "gp": "50,000 rows/s", "flow": "0.17x",
         "diffusion": "0.125x", "vae": None, "gan": None}


class Bench:
    def __init__(self, args):
        self.args = args
        self.samples = {}
        self.peers = args.root / "scripts" / "peers"
        self.scratch = tempfile.TemporaryDirectory()  # MuJoCo in Python leaves its log in the current folder

    def add(self, name, value):
        self.samples.setdefault(name, []).append(value)

    def run(self, *command, threads=None):
        env = dict(os.environ)
        if threads:
            env["OMP_NUM_THREADS"] = str(threads)
        result = subprocess.run([str(c) for c in command], capture_output=True, text=True, env=env, cwd=self.scratch.name)
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
        self.ours("^(Gemm|GraphLaunch|SacUpdate|EnsembleMinibatch|ImaginedStep|KindStep|ValueGradientUpdate|HomoscedasticMinibatch)")
        for row in self.peer("dhmbpo_twin.py"):
            if "error" in row:
                print(f"the {row['kind']} twin on {row['threads']} threads: {row['error']}", file=sys.stderr)
                continue
            self.add(f"{row['kind']} PyTorch/ValueGradientUpdate/threads:{row['threads']}", row["updates_per_s"])
            self.add(f"{row['kind']} PyTorch/HomoscedasticMinibatch/threads:{row['threads']}", row["minibatches_per_s"])
        for row in self.peer("sb3_sac.py", "HalfCheetah-v5", 200):
            self.add(f"sb3/SacUpdate/threads:{row['threads']}", row["updates_per_s"])
        for row in self.peer("mbrl_ensemble.py"):
            self.add("mbrl/EnsembleMinibatch/threads:2", 1000 / row["fit_ms_per_minibatch"])
            self.add("mbrl/ImaginedStep/threads:2", row["sampled_rows_per_s"])

    def planning(self):
        self.ours("^(CemDecision|PlannedRollout)")
        for row in self.peer("mbrl_planning.py"):
            size = f"population:{row['population']}/particles:{row['particles']}"
            self.add(f"mbrl/CemDecision/{row['propagation']}/{size}/threads:2", row["rows_per_s"])
        self.ours("^Simulator")
        for task in PLANNED_TASKS:
            for work in ("SimulatorPlan", "SimulatorPhysics"):
                one, two = (self.samples[f"{work}/{task}/threads:{threads}"][-1] for threads in (1, 2))
                self.add(f"{work}/{task}/speedup", two / one)

    def control(self):
        self.ours("^(BackwardPass|Linearisation|SwingUpEpisode|LocalUpdate)")
        for row in self.peer("crocoddyl_lqr.py", python=self.args.control):
            self.add(f"crocoddyl/BackwardPass/n:{row['n']}/m:{row['m']}/T:{row['T']}", row["backward_passes_per_s"])

    def env(self):
        self.ours("^(EnvSteps|PhysicsSteps|VectorSteps|VectorPhysics|SuiteSteps|SuiteVectorSteps)")
        for row in self.peer("dm_control_steps.py"):
            for name in ("SuiteSteps", "SuiteVectorSteps"):
                self.add(f"dm_control/{name}/{row['task']}", row["env_steps_per_s"])
        for row in self.peer("gymnasium_steps.py"):
            self.add(f"gymnasium/EnvSteps/{row['task']}", row["env_steps_per_s"])
        for row in self.peer("envpool_steps.py", python=self.args.envpool):
            kind = "EnvSteps" if row["envs"] == 1 else "VectorSteps"
            self.add(f"envpool/{kind}/{row['task']}", row["env_steps_per_s"])

    def train(self, config, explore, learn, **overrides):
        """The last `learn` steps of a training: their seconds by phase (`all`: of all of it), and the most memory it took."""
        overrides = {
            "exploration_steps": explore, "total_steps": explore + learn, "log.every_steps": learn,
            "eval.every_steps": 1000000, "eval.episodes": 1, "threads": 2, **overrides,
        }
        with tempfile.TemporaryDirectory() as folder:
            run = pathlib.Path(folder) / "run"
            sets = [word for key, value in overrides.items() for word in ("--set", f"{key}={value}")]
            command = [self.args.build / "reverie", "train", self.args.root / "configs" / config, "--run-dir", run, *sets]
            with open(pathlib.Path(folder) / "output", "w+") as output:
                process = subprocess.Popen([str(c) for c in command], stdout=output, stderr=output)
                _, status, usage = os.wait4(process.pid, 0)
                if status != 0:
                    output.seek(0)
                    sys.exit(f"{' '.join(map(str, command))} failed:\n{output.read()[-2000:]}")
            log = {int(row["env_step"]): row for row in tables.rows(run / "train.csv")}
        seconds = {phase: float(log[explore + learn][f"time/{phase}_s"]) for phase in PHASES}
        seconds["all"] = float(log[explore + learn]["time/wall_s"]) - float(log[explore]["time/wall_s"])
        return seconds, usage.ru_maxrss / 1024

    def mbpo(self):
        explore, learn, updates = 2000, 250, 20
        seconds, _ = self.train("mbpo/half_cheetah.yaml", explore, learn, updates_per_step=updates)
        self.add("Mbpo", learn / seconds["all"])
        for row in self.peer("mbrl_mbpo.py", "HalfCheetah-v5", explore, learn, updates):
            self.add("mbrl/Mbpo", row["env_steps_per_s"])
            self.add("mbrl/SacUpdate/threads:2", learn * updates / row["sac_s"])
            for part in ("model_fit_s", "rollout_s", "sac_s"):
                self.add(f"mbrl/Mbpo/{part}", row[part])

    def phases(self):
        """One fit of at most 10 epochs, 100,000 imagined rows and 5,000 updates, beside few and many real rows."""
        for rows in PHASE_ROWS:
            seconds, mib = self.train("mbpo/half_cheetah.yaml", rows, 250, updates_per_step=20, **{"model.max_epochs": 10})
            for phase, spent in seconds.items():
                self.add(f"Phases/{rows}/{phase}", spent)
            self.add(f"Phases/{rows}/mib", mib)

    def start(self):
        def seconds(*command):
            begin = time.perf_counter()
            self.run(*command)
            return time.perf_counter() - begin

        with tempfile.TemporaryDirectory() as folder:
            self.add("Start", 1 / seconds(
                self.args.build / "reverie", "train", self.args.root / "configs/sac/inverted_pendulum.yaml", "--run-dir",
                pathlib.Path(folder) / "run", "--set", "exploration_steps=1", "--set", "total_steps=2", "--set", "eval.episodes=1", "--set", "threads=2"))
        self.add("torch/Start", 1 / seconds(sys.executable, "-c", "import torch"))

    def threads(self):
        """The quickstart with the threads that it chooses and with numbers that are named, alone and beside busy programs,
        each in a session of its own: such the kernel counts as one, however many threads they have."""
        for beside in (0, BUSY):
            busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"], start_new_session=True)
                    for _ in range(beside)]
            try:
                for threads in ("auto", *THREADS):
                    seconds, _ = self.train("quickstart.yaml", 4 * self.args.steps, self.args.steps, threads=threads)
                    self.add(f"Threads/{threads}/beside:{beside}", self.args.steps / seconds["all"])
            finally:
                for process in busy:
                    process.kill()
                    process.wait()

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

        def of_products(name, flop, shape, where):
            share = self.ratio(f"{name}/{where}", f"Gemm/{shape}/{where}")
            return None if share is None else share * flop

        square = "m:256/k:256/n:256"
        for work, name, peers, flop, tall, must in [
            ("SAC updates/s", "SacUpdate", ["sb3", "mbrl"], SAC_FLOP, False, "2.3x"),
            ("ensemble minibatches/s", "EnsembleMinibatch", ["mbrl"], ENSEMBLE_FLOP, False, "1.8x"),
            ("imagined rows/s", "ImaginedStep", ["mbrl"], ROW_FLOP, True, "1.6x"),
            ("DHMBPO updates/s", "ValueGradientUpdate", TWINS, VALUE_FLOP, False, "2x of eager"),
            ("DHMBPO minibatches/s", "HomoscedasticMinibatch", TWINS, HOMOSCEDASTIC_FLOP, False, "2x of eager"),
        ]:
            for where, words in [("threads:1", "1 thread"), ("threads:2", "2 threads"), ("cuda", "GPU")]:
                shape = square if not tall else "m:20000/k:200/n:200" if where == "cuda" else "m:8192/k:200/n:200"
                row(f"{work}, {words}", f"{name}/{where}", peers, of_products(name, flop, shape, where), must if where == "threads:2" else None)
        for kind, must in KINDS.items():
            for where, words in [("threads:1", "1 thread"), ("threads:2", "2 threads"), ("cuda", "GPU")]:
                name = f"KindStep/{kind}/{where}"
                if f"KindStep/ensemble/{where}" in self.samples:
                    self.samples[f"ensemble/{name}"] = self.samples[f"KindStep/ensemble/{where}"]
                row(f"imagined rows/s of model.kind {kind}, {words}", name, ["ensemble"], None, must if where != "cuda" else None)
        for population, particles in PLANNED_SIZES:
            for threads in (1, 2):
                size = f"population:{population}/particles:{particles}/threads:{threads}"
                for kind in ("tsinf", "ts1", "tsinf-bf16x2", "tsinf-bf16"):
                    same = kind.split("-")[0]
                    if f"mbrl/CemDecision/{same}/{size}" in self.samples:
                        self.samples[f"mbrl/CemDecision/{kind}/{size}"] = self.samples[f"mbrl/CemDecision/{same}/{size}"]
                    for policy in ("uniform", "actor"):  # of the rollout beside it
                        if f"PlannedRollout/{policy}/{size}" in self.samples:
                            self.samples[f"{policy} rollout/CemDecision/{kind}/{size}"] = self.samples[f"PlannedRollout/{policy}/{size}"]
                    row(f"rows/s of CEM decisions, {population} x {particles} {kind}, {threads} thread{'s' * (threads - 1)}",
                        f"CemDecision/{kind}/{size}", ["uniform rollout", "actor rollout", "mbrl"], None,
                        None if kind != same else "0.85x of rollouts, 3x of mbrl" if threads == 2 else "0.85x")
        for task in PLANNED_TASKS:
            for threads in (1, 2):
                row(f"{task} steps/s of CEM decisions, {threads} thread{'s' * (threads - 1)}", f"SimulatorPlan/{task}/threads:{threads}",
                    [], self.ratio(f"SimulatorPlan/{task}/threads:{threads}", f"SimulatorPhysics/{task}/threads:{threads}"))
            row(f"{task} speed-up of CEM decisions by a second thread", f"SimulatorPlan/{task}/speedup",
                [], self.ratio(f"SimulatorPlan/{task}/speedup", f"SimulatorPhysics/{task}/speedup"), "0.9 of limit")
        for size in RICCATI_SIZES:
            row(f"backward passes of LQR/s, {size.replace('/', ', ').replace(':', ' ')}", f"BackwardPass/{size}", ["crocoddyl"],
                None, "1x")
        for threads in (1, 2):
            row(f"linearisations/s of HalfCheetah-v5 along 30 steps, {threads} thread{'s' * (threads - 1)}",
                f"Linearisation/threads:{threads}", [], None, "40" if threads == 2 else None)
        row("swing-up episodes/s under iLQR at every step, 1 thread", "SwingUpEpisode", [], None, "0.5")
        row("updates/s of a local model, 5 episodes of Reacher-v5", "LocalUpdate", [])
        for task in TASKS:
            row(f"{task} steps/s, 1 thread", f"EnvSteps/{task}", ["gymnasium", "envpool"],
                self.ratio(f"EnvSteps/{task}", f"PhysicsSteps/{task}"), "0.92 of limit, ahead")
        for task in SUITE_TASKS:
            row(f"{task} control steps/s, 1 thread", f"SuiteSteps/{task}", ["dm_control"], None, "5x")
            row(f"{task} control steps/s, 64 on 2 threads", f"SuiteVectorSteps/{task}", ["dm_control"], None, "5x")
        for task in TASKS:
            row(f"{task} steps/s, 64 on 2 threads", f"VectorSteps/{task}", ["envpool"],
                self.ratio(f"VectorSteps/{task}", f"VectorPhysics/{task}"), "0.9 of limit, ahead")
        row("MBPO env steps/s, 2 threads", "Mbpo", ["mbrl"], None, "2x")
        row("starts/s", "Start", ["torch"], None, "2x")
        for beside, words, numbers, must in ((0, "alone", THREADS, 0.95), (BUSY, f"beside {BUSY} busy programs", (1, 2), 0.9)):
            name = f"Threads/auto/beside:{beside}"
            for threads in numbers:
                if name in self.samples:
                    self.samples[f"{threads} threads/{name}"] = self.samples[f"Threads/{threads}/beside:{beside}"]
            row(f"quickstart env steps/s, threads auto, {words}", name, [f"{threads} threads" for threads in numbers], None,
                f"{must} of the best")
        print("| work | ours | peers | ours / peer | of the limit | must |\n|---|---|---|---|---|---|")
        for r in rows:
            rates = ", ".join(f"{p} {v:,.4g}" for p, v in r["peer_rates"].items())
            ratios = ", ".join(f"{v:.2f}" for v in r["peers"].values())
            share = "" if r["of_limit"] is None else f"{r['of_limit']:.2f}"
            print(f"| {r['work']} | {r['ours']:,.4g} | {rates} | {ratios} | {share} | {r['must'] or ''} |")
        for name in sorted(self.samples):
            if name.startswith("Gemm"):
                print(f"{name}: {statistics.median(self.samples[name]) / 1e9:.0f} GFLOP/s")
            if name.startswith("GraphLaunch"):
                print(f"{name}: {1e6 / statistics.median(self.samples[name]):.2f} us a launch")
        for real_rows in PHASE_ROWS:
            seconds = {phase: self.samples.get(f"Phases/{real_rows}/{phase}") for phase in [*PHASES, "all", "mib"]}
            if all(seconds.values()):
                middle = {phase: statistics.median(values) for phase, values in seconds.items()}
                parts = ", ".join(f"{phase} {middle[phase]:.2f} s" for phase in PHASES)
                print(f"MBPO, 250 steps from {real_rows} real rows on: {middle['all']:.2f} s ({parts}), {middle['mib']:.0f} MiB")
        return rows


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench")
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--root", type=pathlib.Path, required=True)
    parser.add_argument("--envpool", required=True)
    parser.add_argument("--control", required=True)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--only", choices=PARTS, action="append")
    parser.add_argument("--steps", type=int, default=125, help="of learning, in the part threads")
    args = parser.parse_args()
    bench = Bench(args)
    for repetition in range(args.repetitions):
        for part in args.only or PARTS:
            print(f"repetition {repetition + 1}: {part}", file=sys.stderr)
            getattr(bench, part)()
    rows = bench.table()
    result = {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count(),
              "date": time.strftime("%Y-%m-%d"), "rows": rows, "samples": bench.samples}
    (args.build / "bench.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
