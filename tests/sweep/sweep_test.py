"""The command `reverie sweep` as a user meets it.

usage: sweep_test.py PROGRAM SOURCE_DIR CLASS [unittest arguments]
"""
import json
import os
import pathlib
import pty
import re
import signal
import subprocess
import sys
import time
import unittest

import slurm_cluster

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1]))
import program  # noqa: E402
from program import PROGRAM, SOURCE, comparable  # noqa: E402

BASE = """algorithm: sac
total_steps: 400
exploration_steps: 200
device: cpu
env: {id: InvertedPendulum-v5}
sac: {hidden: [16, 16], batch_size: 32}
eval: {every_steps: 200, episodes: 2}
checkpoint: {every_steps: 200}
log: {every_steps: 100}
"""
SWEEP = """base: base.yaml
out: out
tasks: [InvertedPendulum-v5, Pendulum-v1]
seeds: 0..1
variants:
  plain: {}
  wide: {sac: {hidden: [24, 24]}}
"""


PENDULUM_XML = """<mujoco>
  <worldbody>
    <body name="cart">
      <joint name="slider" type="slide" axis="1 0 0" range="-1 1" limited="true"/>
      <geom type="box" size="0.1 0.1 0.1"/>
      <body name="pole">
        <joint name="hinge" type="hinge" axis="0 1 0"/>
        <geom type="capsule" fromto="0 0 0 0 0 {length}" size="0.05"/>
      </body>
    </body>
  </worldbody>
  <actuator><motor joint="slider" gear="100" ctrllimited="true" ctrlrange="-3 3"/></actuator>
</mujoco>
"""


def through_the_loader():
    """The program as a bundle starts it, so that the file of its process is the loader's."""
    libraries = subprocess.run(["ldd", PROGRAM], capture_output=True, text=True, check=True).stdout
    return [re.search(r"(?m)^\s+(/\S+/ld-\S+) \(", libraries)[1], "--argv0", "reverie", PROGRAM]


class Case(program.Case):
    def setUp(self):
        super().setUp()
        self.write(BASE, "base.yaml")
        self.write(SWEEP)

    def write(self, text, name="s.yaml"):
        return super().write(text, name)

    def sweep(self, *arguments, code=0, file="s.yaml", start=(PROGRAM,)):
        result = subprocess.run([*start, "sweep", file, *map(str, arguments)], cwd=self.cwd, capture_output=True,
                                text=True, timeout=300)
        self.assertEqual(result.returncode, code, result.stderr)
        return result

    def start(self, *arguments):
        process = subprocess.Popen([PROGRAM, "sweep", "s.yaml", *map(str, arguments)], cwd=self.cwd,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(process.stdout.close)
        return process

    def records(self, out="out"):
        """run.json of every run, by its folder below `out`."""
        return {str(path.parent.relative_to(self.cwd / out)): json.loads(path.read_text())
                for path in sorted((self.cwd / out).rglob("run.json"))}


class Sweep(Case):
    def test_every_task_variant_and_seed_is_run_once(self):
        result = self.sweep("--jobs", "2")
        self.assertIn("8 runs, 0 of them finished before; 2 at once", result.stderr)
        self.assertIn("8 runs finished, 0 failed", result.stderr)
        records = self.records()
        self.assertEqual(len(records), 8)
        for folder, record in records.items():
            task, variant, seed = folder.split("/")
            self.assertEqual((record["env"], record["variant"], f"seed-{record['seed']}", record["status"]),
                             (task, variant, seed, "finished"))
        config = (self.cwd / "out/Pendulum-v1/wide/seed-1/config.yaml").read_text()
        self.assertIn("hidden: [24, 24]", config)

        before = {path: path.stat().st_mtime_ns for path in (self.cwd / "out").rglob("train.csv")}
        self.assertIn("8 of them finished before", self.sweep().stderr)
        self.assertEqual(before, {path: path.stat().st_mtime_ns for path in (self.cwd / "out").rglob("train.csv")})

        status = self.sweep("--status").stdout
        self.assertEqual(len(status.splitlines()), 8)
        self.assertRegex(status, r"Pendulum-v1/wide/seed-1 +finished +400 of 400  return -\d+")
        compared = subprocess.run([PROGRAM, "compare", "out", "--json"], cwd=self.cwd, capture_output=True, text=True)
        groups = [[group["name"] for group in task["groups"]] for task in json.loads(compared.stdout)["tasks"]]
        self.assertEqual(groups, [["plain", "wide"], ["plain", "wide"]])

    def test_later_layers_win_and_the_grid_names_its_runs(self):
        self.write(BASE.replace("InvertedPendulum-v5", "Hopper-v5").replace("400", "300"), "other.yaml")
        self.write("""base: base.yaml
out: out
tasks: [InvertedPendulum-v5, other.yaml]
seeds: [7]
overrides: {sac.discount: 0.9, updates_per_step: 2}
variants:
  a: {updates_per_step: 3}
  b: {base: other.yaml, env.options: {reset_noise_scale: 0.001}}
grid: {sac.learning_rate: [1e-3, 1e-4]}
""")
        names = [line.split()[0] for line in self.sweep("--status").stdout.splitlines()]
        self.assertEqual(names, [f"{task}/{variant}-sac.learning_rate={rate}/seed-7" for task in
                                 ("InvertedPendulum-v5", "other") for variant in "ab" for rate in ("1e-3", "1e-4")])
        self.sweep()
        config = (self.cwd / "out/other/b-sac.learning_rate=1e-4/seed-7/config.yaml").read_text()
        for line in ("total_steps: 300", "id: Hopper-v5", "reset_noise_scale: 0.001", "learning_rate: 1e-04",
                     "discount: 0.9", "updates_per_step: 2", "seed: 7"):
            self.assertIn(line, config)
        config = (self.cwd / "out/InvertedPendulum-v5/a-sac.learning_rate=1e-3/seed-7/config.yaml").read_text()
        self.assertIn("updates_per_step: 3", config)

    def test_a_slash_in_an_id_makes_no_folder(self):
        self.write("base: base.yaml\nout: out\ntasks: [dm_control/pendulum-swingup]\nseeds: [0]\n")
        self.sweep()
        (record,) = self.records().items()
        self.assertEqual((record[0], record[1]["env"]),
                         ("dm_control-pendulum-swingup/sac/seed-0", "dm_control/pendulum-swingup"))

    def test_without_variants_the_algorithm_gives_the_name(self):
        self.write("base: base.yaml\nseeds: [0]\n")
        self.sweep()
        self.assertEqual(list(self.records("runs/s")), ["InvertedPendulum-v5/sac/seed-0"])

    def test_a_program_that_a_loader_started_starts_its_runs(self):
        self.write("base: base.yaml\nseeds: [0]\nout: out\n")
        self.assertIn("1 runs finished, 0 failed", self.sweep(start=through_the_loader()).stderr)

    def test_a_failed_run_is_reported_and_the_rest_go_on(self):
        blocked = self.cwd / "out/Pendulum-v1/plain/seed-0"
        blocked.parent.mkdir(parents=True)
        blocked.write_text("in the way")
        result = self.sweep(code=1)
        self.assertIn("Pendulum-v1/plain/seed-0: ended before its end; what it said is in out/output", result.stderr)
        self.assertIn("7 runs finished, 1 failed", result.stderr)
        self.assertIn("is not a folder", (self.cwd / "out/output/Pendulum-v1/plain/seed-0.txt").read_text())
        blocked.unlink()
        self.assertIn("8 runs finished, 0 failed", self.sweep().stderr)

    def test_a_terminal_shows_the_runs_at_work(self):
        master, slave = pty.openpty()
        process = subprocess.Popen([PROGRAM, "sweep", "s.yaml", "--jobs", "2"], cwd=self.cwd, stdin=slave, stdout=slave,
                                   stderr=slave, start_new_session=True)
        os.close(slave)
        seen = b""
        while True:
            try:
                part = os.read(master, 4096)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            seen += part
        os.close(master)
        self.assertEqual(process.wait(), 0)
        text = seen.decode()
        self.assertIn(" of 400", text)
        self.assertIn(" running, ", text)
        self.assertIn("\x1b[3A\x1b[J", text)  # two runs and a line, wiped
        self.assertTrue(text.rstrip().splitlines()[-1].endswith("--out out/report"), text[-300:])


class Stopped(Case):
    """What was stopped goes on, to the numbers of a sweep that never was."""

    def setUp(self):
        super().setUp()
        self.write(BASE.replace("400", "8000").replace("every_steps: 200", "every_steps: 1000"), "base.yaml")
        self.write(SWEEP.replace("tasks: [InvertedPendulum-v5, Pendulum-v1]", "tasks: [Pendulum-v1]"))

    def checkpoints(self):
        """The steps of all checkpoints, added up."""
        return sum(int(path.stem.split("-")[1]) for path in (self.cwd / "out").rglob("step-*.safetensors"))

    def wait_for_checkpoints(self, process, before=0):
        deadline = time.monotonic() + 60
        while self.checkpoints() < before + 2000:
            self.assertIsNone(process.poll(), "the sweep ended before it could be stopped")
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)

    def check_against_an_undisturbed_one(self):
        self.sweep("--jobs", "2")
        self.sweep("--jobs", "2", "--out", "whole")
        self.assertEqual({r["status"] for r in self.records().values()}, {"finished"})
        self.assertTrue(any(record["resumed"] for record in self.records().values()))
        for folder in self.records("whole"):
            for name in ("train.csv", "eval.csv"):
                self.assertEqual(comparable(self.cwd / "out" / folder / name),
                                 comparable(self.cwd / "whole" / folder / name), folder)

    def test_by_a_signal(self):
        for signal_number in (signal.SIGINT, signal.SIGTERM):
            before = self.checkpoints()
            process = self.start("--jobs", "2")
            self.wait_for_checkpoints(process, before)
            process.send_signal(signal_number)
            self.assertEqual(process.wait(timeout=60), 128 + signal_number)
            self.assertIn("the same command goes on", process.stdout.read())
            records = self.records().values()
            self.assertNotIn("running", {record["status"] for record in records})
            self.assertIn("interrupted", {record["status"] for record in records})
        self.check_against_an_undisturbed_one()

    def test_killed(self):
        process = self.start("--jobs", "2")
        self.wait_for_checkpoints(process)
        process.kill()
        process.wait()
        # Its runs are told by the system to stop; the next sweep waits where one has not ended yet.
        self.check_against_an_undisturbed_one()

    def test_a_second_sweep_at_the_same_time_is_refused(self):
        process = self.start("--jobs", "2")
        self.wait_for_checkpoints(process)
        taken = f"another process is at the sweep in out already (process {process.pid} on "
        self.assertIn(taken, self.sweep(code=2).stderr)
        self.assertIn(taken, self.sweep("--engine", "slurm", code=2).stderr)
        self.assertFalse((self.cwd / "out/slurm").exists())
        process.terminate()
        process.wait()


class Broken(Case):
    """Exit code 2, one line that says what is wrong and where, and not a file left behind."""

    CASES = {
        "no base": (SWEEP.replace("base: base.yaml\n", ""), "s.yaml: base: missing"),
        "a base that is not there": (SWEEP.replace("base.yaml", "bas.yaml"), "s.yaml:1: base: no such file: bas.yaml"),
        "a variant's base that is not there": ("base: base.yaml\nvariants:\n  a: {base: bas.yaml}\n", "s.yaml:3: base: no such file: bas.yaml"),
        "a task that is not there": ("base: base.yaml\ntasks: [bas.yaml]\n", "s.yaml:2: tasks: no such file: bas.yaml"),
        "unknown key": (SWEEP + "seed: 1\n", "s.yaml:8: seed: no such key; did you mean seeds?"),
        "unknown key of a variant": (SWEEP.replace("hidden", "hiden"), "s.yaml:7: sac.hiden: no such key; did you mean sac.hidden?"),
        "wrong value of a variant": (SWEEP.replace("[24, 24]", "much"), "s.yaml:7: sac.hidden: expected a list of integers, got much"),
        "a key of another algorithm": (SWEEP + "overrides: {model.members: 3}\n", "s.yaml:8: model: no such key"),
        "unknown task": (SWEEP.replace("Pendulum-v1]", "Pendulun-v1]"),
                         "s.yaml:3: env.id: no environment named Pendulun-v1; did you mean Pendulum-v1?"),
        "tasks as a text": (SWEEP.replace("[InvertedPendulum-v5, Pendulum-v1]", "Pendulum-v1"), "s.yaml:3: tasks: expected a list"),
        "a task twice": (SWEEP.replace("[InvertedPendulum-v5, ", "[Pendulum-v1, "), "Pendulum-v1/plain is there twice"),
        "seeds the wrong way round": (SWEEP.replace("0..1", "3..1"), "s.yaml:4: seeds: expected a range like 1..5"),
        "a seed twice": (SWEEP.replace("0..1", "[0, 1, 0]"), "s.yaml:4: seeds: expected"),
        "a seed that is none": (SWEEP.replace("0..1", "[0, one]"), "s.yaml:4: seeds: expected"),
        "a grid without a list": (SWEEP + "grid: {updates_per_step: 3}\n", "s.yaml:8: grid.updates_per_step: expected a list"),
        "a grid of seeds": (SWEEP + "grid: {seed: [1, 2]}\n", "s.yaml:8: seed: is set by the sweep's `seeds`"),
        "a variant's seed": (SWEEP.replace("plain: {}", "plain: {seed: 3}"), "s.yaml:6: seed: is set by the sweep's `seeds`"),
        "overrides of the seed": (SWEEP + "overrides: {seed: 3}\n", "s.yaml:8: seed: is set by the sweep's `seeds`"),
        "a grid of variants": (SWEEP + "grid: {variant: [a, b]}\n", "s.yaml:8: variant: is set by the sweep's `variants`"),
        "a grid with one value twice": (SWEEP + "grid: {sac.discount: [0.9, 0.95, 0.90]}\n",
                                        "s.yaml:8: grid: plain-sac.discount=0.9 and plain-sac.discount=0.90 are one config"),
        "a grid over a variant's own": (SWEEP + "grid: {sac.hidden: [[16, 16], [24, 24]]}\n",
                                        "wide-sac.hidden=[16, 16] are one config of InvertedPendulum-v5"),
        "a variant of another task": (SWEEP.replace("plain: {}", "plain: {env: {id: Hopper-v5}}"),
                                      "s.yaml:6: env.id: is set by the sweep's `tasks`"),
        "overrides that a task's env has not": (SWEEP + "overrides: {env.options.reset_noise_scale: 0.1}\n",
                                                "s.yaml:8: env.options.reset_noise_scale: no such key"),
        "a name too long for a folder": (SWEEP.replace("wide", "w" * 241), "expected a name of at most 240 bytes, got 241"),
        "a grid whose names are too long": (
            SWEEP + "grid: {sac.hidden: [[" + ", ".join(["64"] * 60) + "], [64]]}\n",
            "s.yaml:8: grid: plain-sac.hidden=[64, 64, "),
        "a variant with a slash": (SWEEP.replace("wide", "a/b"), "variants: a/b: expected a name that can be a folder's"),
        "variants as a list": (SWEEP.replace("\n  plain: {}\n  wide: {sac: {hidden: [24, 24]}}", " [a]"),
                               "s.yaml:5: variants: expected a section of keys"),
    }

    def test_broken_sweeps(self):
        for name, (text, expected) in self.CASES.items():
            with self.subTest(name):
                self.write(text)
                before = sorted(self.cwd.rglob("*"))
                result = self.sweep(code=2)
                self.assertIn(expected, result.stderr)
                self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
                self.assertEqual(sorted(self.cwd.rglob("*")), before)

    def test_what_is_said_of_an_env_holds_for_it_alone_but_overrides_for_all(self):
        env = "env: {id: InvertedPendulum-v5, max_episode_steps: 70, options: {reset_noise_scale: 0.02}}"
        self.write(BASE.replace("env: {id: InvertedPendulum-v5}", env), "base.yaml")
        self.write("env: {id: Pendulum-v1}\n", "other.yaml")
        self.write("env: {id: InvertedPendulum-v5, options: {reset_noise_scale: 0.03}}\n", "noisy.yaml")
        sweep = "base: base.yaml\nout: OUT\nseeds: [0]\ntasks: [InvertedPendulum-v5, Pendulum-v1, other.yaml, noisy.yaml]\n"

        def envs(out):
            found = {}
            for task in ("InvertedPendulum-v5", "Pendulum-v1", "other", "noisy"):
                text = (self.cwd / out / "configs" / task / "sac.yaml").read_text()
                found[task] = [value for key in ("max_episode_steps", "reset_noise_scale")
                               for value in re.findall(rf"  {key}: (\S+)", text)]
            return found

        self.write(sweep.replace("OUT", "out"))
        said = self.sweep().stderr
        self.assertEqual(said.count("Pendulum-v1 does without the base's env.max_episode_steps (base.yaml:5), "
                                    "env.options.reset_noise_scale (base.yaml:5)\n"), 1, said)
        self.assertEqual(envs("out"), {"InvertedPendulum-v5": ["70", "0.02"], "Pendulum-v1": ["auto"],
                                       "other": ["auto"], "noisy": ["70", "0.03"]})
        self.write(sweep.replace("OUT", "all") + "overrides: {env.max_episode_steps: 60}\n")
        said = self.sweep().stderr
        self.assertEqual(said.count("Pendulum-v1 does without the base's env.options.reset_noise_scale (base.yaml:5)\n"), 1, said)
        self.write(sweep.replace("OUT", "own").replace(", noisy.yaml", "") + "variants: {v: {env.max_episode_steps: 50}}\n")
        said = self.sweep("--status").stderr
        self.assertIn("Pendulum-v1 does without the base's env.options.reset_noise_scale (base.yaml:5)\n", said)
        self.assertNotIn("without the base's env.max_episode_steps", said)
        self.assertEqual(envs("all"), {"InvertedPendulum-v5": ["60", "0.02"], "Pendulum-v1": ["60"],
                                       "other": ["60"], "noisy": ["60", "0.03"]})

    def test_a_file_of_runs_that_are_there_may_have_moved_but_not_changed(self):
        self.write(PENDULUM_XML.format(length=0.6), "pole.xml")
        sweep = "base: base.yaml\nout: out\nseeds: [0]\noverrides: {env.options.xml_file: ./FILE}\n"
        self.write(sweep.replace("FILE", "pole.xml"))
        self.sweep()
        (self.cwd / "pole.xml").rename(self.cwd / "moved.xml")
        self.write(sweep.replace("FILE", "moved.xml").replace("[0]", "[0, 1]"))
        self.assertIn("2 runs, 1 of them finished before", self.sweep().stderr)
        self.write(PENDULUM_XML.format(length=0.3), "moved.xml")
        said = self.sweep(code=2).stderr
        self.assertIn("moved.xml is not what it was when out/InvertedPendulum-v5/sac/seed-0 was begun; remove it, or name", said)
        self.sweep("--status")

    def test_a_grid_over_paths_and_the_longest_names(self):
        for name in ("a", "b"):
            (self.cwd / name).mkdir()
            self.write(PENDULUM_XML.format(length={"a": 0.6, "b": 0.3}[name]), f"{name}/pole.xml")
        paths = [str(self.cwd / name / "pole.xml") for name in ("a", "b")]
        longest = "w" * 240
        self.write("base: base.yaml\nout: out\nseeds: [0]\nvariants: {v: {}}\n"
                   f"grid: {{env.options.xml_file: {paths}}}\n".replace("'", ""))
        self.sweep()
        records = self.records()
        self.assertEqual(len(records), 2)
        for path in paths:
            folder = f"InvertedPendulum-v5/v-env.options.xml_file={path.replace('/', '_')}/seed-0"
            self.assertEqual(records[folder]["status"], "finished")
            self.assertIn(f"xml_file: {path}\n", (self.cwd / "out" / folder / "config.yaml").read_text())
        self.write(f"base: base.yaml\nout: long\nseeds: [0]\nvariants: {{{longest}: {{}}}}\n")
        self.sweep()
        self.assertEqual([record["status"] for record in self.records("long").values()], ["finished"])

    def test_a_run_of_another_config_is_not_gone_on_with(self):
        self.write("base: base.yaml\nseeds: [0]\nout: out\n")
        self.sweep()
        self.write("base: base.yaml\nseeds: [0]\nout: out\noverrides: {sac.discount: 0.9}\n")
        result = self.sweep(code=2)
        self.assertIn("out/InvertedPendulum-v5/sac/seed-0 was begun with another config: sac.discount (0.99 there, "
                      "0.9 here); remove it, or name another folder", result.stderr)
        # Its variant may have another name since.
        self.write("base: base.yaml\nseeds: [0]\nout: out\n")
        config = self.cwd / "out/InvertedPendulum-v5/sac/seed-0/config.yaml"
        config.write_text(re.sub(r"(?m)^variant: .*$", "variant: other", config.read_text()))
        self.assertIn("1 of them finished before", self.sweep().stderr)

    def test_a_variant_of_another_kind_leaves_out_what_the_base_says_of_the_other(self):
        self.write(program.TINY_PETS, "pets.yaml")
        self.write("base: pets.yaml\nseeds: [0]\nout: out\nvariants: {learned: {}, simulator: {model: {kind: simulator}}}\n")
        self.sweep()
        config = self.cwd / "out/CartPoleSwingUp-v0/simulator/seed-0/config.yaml"
        text = config.read_text()
        self.assertIn("model:\n  kind: simulator\n", text)
        for key in ("members", "propagation", "uncertainty", "replay_capacity"):
            self.assertNotIn(key, text)
        # A run that an older version finished, whose config lists them all, is still a run of this sweep.
        config.write_text(text.replace("kind: simulator\n", "kind: simulator\n  members: 2\n"))
        self.assertIn("2 of them finished before", self.sweep().stderr)
        self.write("base: pets.yaml\nseeds: [0]\nout: out\nvariants: {simulator: {model: {kind: simulator, members: 2}}}\n")
        self.assertIn("s.yaml:4: model.members: is read only where model.kind is", self.sweep(code=2).stderr)

    def test_sweeps_that_come_with_reverie_are_read(self):
        files = sorted((SOURCE / "configs/sweeps").glob("*.yaml"))
        self.assertGreater(len(files), 0)
        for file in files:
            said = self.sweep("--status", file=file)
            self.assertGreater(len(said.stdout.splitlines()), 1)
            # Another task of the suite has none of the options of the base's own.
            self.assertNotIn("action_repeat", said.stderr)


class Slurm(Case):
    """Against a real Slurm on this machine."""

    def setUp(self):
        super().setUp()
        self.write(BASE.replace("400", "20000").replace("every_steps: 200", "every_steps: 1000"), "long.yaml")
        self.cluster = slurm_cluster.Cluster(self.cwd / "cluster")
        self.addCleanup(self.cluster.stop)

    def on_slurm(self, *arguments, code=0, start=(PROGRAM,)):
        result = self.cluster.run("env", "-C", self.cwd, *start, "sweep", "s.yaml", *arguments)
        self.assertEqual(result.returncode, code, result.stderr)
        return result

    def submit(self, **options):
        result = self.on_slurm("--engine", "slurm", **options)
        return re.search(r"submitted to Slurm as job (\d+)", result.stderr)[1]

    def wait_until_empty(self):
        self.cluster.wait_for(lambda: self.cluster.run("squeue", "--noheader").stdout == "", "the end of the job", 120)

    def wait_for_checkpoint(self, folder):
        self.cluster.wait_for(lambda: any((self.cwd / folder / "checkpoints").glob("step-*.safetensors")), "a checkpoint")

    def test_submit_finish_fail_requeue_and_status(self):
        self.write("""base: base.yaml
out: out
tasks: [Pendulum-v1]
seeds: [0]
variants: {short: {}, blocked: {}, long: {base: long.yaml}}
slurm: {cpus: 1, memory: 100M, time: "00:30:00", options: --nice=1}
""")
        blocked = self.cwd / "out/Pendulum-v1/blocked/seed-0"
        blocked.parent.mkdir(parents=True)
        blocked.write_text("in the way")
        job = self.submit()
        self.assertRegex(self.on_slurm("--status").stdout, r"long/seed-0 .*Slurm: (PENDING|RUNNING|CONFIGURING)")
        self.assertIn(f"job {job} of this sweep is still in Slurm's queue",
                      self.on_slurm("--engine", "slurm", code=2).stderr)

        self.wait_for_checkpoint("out/Pendulum-v1/long/seed-0")
        self.assertEqual(self.cluster.run("scontrol", "requeue", f"{job}_2").returncode, 0)
        self.wait_until_empty()
        records = self.records()
        self.assertEqual({folder: record["status"] for folder, record in records.items()},
                         {"Pendulum-v1/short/seed-0": "finished", "Pendulum-v1/long/seed-0": "finished"})
        self.assertEqual(len(records["Pendulum-v1/long/seed-0"]["resumed"]), 1)
        self.assertIn("is not a folder", (self.cwd / f"out/slurm/{job}_1.txt").read_text())
        status = self.on_slurm("--status").stdout
        self.assertRegex(status, r"blocked/seed-0 +to do")
        self.assertNotIn("Slurm:", status)

        # What is left is submitted alone; the requeued run has the numbers of one that never was.
        blocked.unlink()
        self.submit()
        self.wait_until_empty()
        self.assertEqual({record["status"] for record in self.records().values()}, {"finished"})
        self.assertEqual(len((self.cwd / "out/slurm/runs.tsv").read_text().splitlines()), 1)
        self.assertIn("every run of this sweep is finished", self.on_slurm("--engine", "slurm", code=2).stderr)
        self.sweep("--out", "here")
        for name in ("train.csv", "eval.csv"):
            self.assertEqual(comparable(self.cwd / "out/Pendulum-v1/long/seed-0" / name),
                             comparable(self.cwd / "here/Pendulum-v1/long/seed-0" / name))

    def test_the_time_limit_requeues_and_cancel_ends_with_a_checkpoint(self):
        self.write("base: long.yaml\nout: out of here\nseeds: [0]\n")
        job = self.submit(start=through_the_loader())
        run = "out of here/InvertedPendulum-v5/sac/seed-0"
        self.wait_for_checkpoint(run)
        # What Slurm sends before the time limit.
        self.assertEqual(self.cluster.run("scancel", "--batch", "--signal=USR1", f"{job}_0").returncode, 0)
        record = lambda: json.loads((self.cwd / run / "run.json").read_text())
        self.cluster.wait_for(lambda: record()["resumed"], "the second start")
        self.assertIn(f"cancelled Slurm's job {job}", self.on_slurm("--cancel").stderr)
        self.wait_until_empty()
        self.assertEqual((record()["status"], record()["reason"]), ("interrupted", "SIGTERM"))
        self.assertIn("no job of this sweep", self.on_slurm("--cancel").stderr)

    def test_a_refusal_is_told_in_slurms_words(self):
        self.write("base: base.yaml\nout: out\nslurm: {partition: nowhere}\n")
        result = self.on_slurm("--engine", "slurm", code=1)
        self.assertIn("invalid partition specified: nowhere", result.stderr)


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    unittest.main(argv=sys.argv[2:])
