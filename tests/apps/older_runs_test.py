"""Runs of older versions (tests/runs): each is evaluated, exported, compared and gone on with.

usage: older_runs_test.py PROGRAM SOURCE_DIR CLASS [unittest arguments]
"""
import json
import math
import os
import pathlib
import re
import shutil
import sys
import unittest

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1]))
from program import SOURCE, Case, comparable, rows, run  # noqa: E402

OLDER = [path.parent for path in sorted((SOURCE / "tests/runs").glob("*/*/run.json"))]
# A key of theirs that is at its default: section, key, value.
LEFT_OUT = {"constrained_control": ("learner", "learning_rate", "0.001"),
            "dagger": ("learner", "learning_rate", "0.001"), "dhmbpo": ("learner", "discount", "0.995"),
            "gps": ("learner", "weight_decay", "1e-04"),
            "ilqr": ("model", "learning_rate", "0.001"), "local_models": ("local", "start_std", "0.3"),
            "mbpo": ("model", "learning_rate", "0.001"), "pets": ("model", "learning_rate", "0.001"),
            "plato": ("learner", "learning_rate", "0.001"), "sac": ("sac", "tau", "0.005"),
            "svg": ("model", "learning_rate", "0.001")}


class OlderRuns(Case):
    def each(self, check, algorithms=LEFT_OUT):
        """Calls check with the run.json of each older run of these algorithms, of which r is a copy."""
        self.assertEqual({run.name for run in OLDER}, set(LEFT_OUT))
        for self.older in (run for run in OLDER if run.name in algorithms):
            with self.subTest(run=str(self.older.relative_to(SOURCE))):
                shutil.rmtree(self.cwd / "r", ignore_errors=True)
                shutil.copytree(self.older, self.cwd / "r")
                check(json.loads((self.older / "run.json").read_text()))

    def edit_config(self, edit):
        path = self.cwd / "r/config.yaml"
        text = edit(path.read_text())
        self.assertNotEqual(text, path.read_text())
        path.write_text(text)

    def today(self):
        """The run's config as this version writes it, as a file of its own."""
        resolved = run("config", self.older / "config.yaml", cwd=self.cwd)
        self.assertEqual(resolved.returncode, 0, resolved.stderr)
        return self.write(resolved.stdout, "today.yaml")

    def sweep(self, *arguments):
        """A sweep that r is the only run of."""
        record = json.loads((self.cwd / "r/run.json").read_text())
        place = self.cwd / "out" / record["env"] / record["variant"] / f"seed-{record['seed']}"
        shutil.rmtree(self.cwd / "out", ignore_errors=True)
        shutil.copytree(self.cwd / "r", place)
        self.write(f"base: today.yaml\nout: out\nseeds: [{record['seed']}]\nvariants: {{{record['variant']}: {{}}}}\n", "s.yaml")
        return run("sweep", "s.yaml", *arguments, cwd=self.cwd)

    def test_there_is_one_of_each_algorithm(self):
        self.write("algorithm: none\n")
        said = run("config", "c.yaml", cwd=self.cwd).stderr
        self.assertEqual(set(re.search("expected one of (.*), got", said)[1].split(", ")), set(LEFT_OUT))

    def test_is_evaluated_exported_and_compared(self):
        def check(record):
            evaluated = run("eval", "r", "--episodes", 2, "--seed", 3, "--json", cwd=self.cwd)
            self.assertEqual(evaluated.returncode, 0, evaluated.stderr)
            then, now = json.loads((self.cwd / "r/evaluated.json").read_text()), json.loads(evaluated.stdout)
            self.assertEqual((now["env"], now["episodes"]), (record["env"], 2))
            self.assertTrue(all(math.isfinite(value) for value in now["returns"]))
            if record["algorithm"] not in ("ilqr", "pets"):  # whose policies are searches, which may get better
                for value, expected in zip(now["returns"], then["returns"]):
                    self.assertAlmostEqual(value, expected, delta=1e-3 * abs(expected))
            exported = run("export", "r", "--out", "p.pt", cwd=self.cwd)
            self.assertEqual(exported.returncode, 0 if (self.cwd / "r/policy.pt").exists() else 2, exported.stderr)
            if (self.cwd / "r/policy.json").exists():
                self.assertEqual((self.cwd / "p.json").read_text(), (self.cwd / "r/policy.json").read_text())
            compared = run("compare", "r", "--json", cwd=self.cwd)
            self.assertEqual(compared.returncode, 0, compared.stderr)
            self.assertEqual([task["name"] for task in json.loads(compared.stdout)["tasks"]], [record["env"]])
            # Beside one that this version would have begun.
            shutil.rmtree(self.cwd / "s", ignore_errors=True)
            shutil.copytree(self.cwd / "r", self.cwd / "s")
            (self.cwd / "s/config.yaml").write_text((self.cwd / self.today()).read_text())
            (self.cwd / "s/run.json").write_text((self.cwd / "r/run.json").read_text().replace(
                f'"seed": {record["seed"]}', f'"seed": {record["seed"] + 1}'))
            compared = run("compare", "r", "s", "--json", cwd=self.cwd)
            self.assertEqual(compared.returncode, 0, compared.stderr)
            warnings = json.loads(compared.stdout)["warnings"]
            self.assertFalse([warning for warning in warnings if "not of one config" in warning], warnings)
        self.each(check)

    def goes_on(self, record):
        """r is gone on with, by itself, by the command that began it, and by a sweep."""
        today = self.today()
        self.assertIn("r is finished", self.train(today, "--run-dir", "r", "--auto-resume").stderr)
        swept = self.sweep()
        self.assertEqual(swept.returncode, 0, swept.stderr)
        self.assertIn("1 of them finished before", swept.stderr)
        longer = record["env_steps"] + 60
        self.train("--resume", "r", "--set", f"total_steps={longer}")
        after = json.loads((self.cwd / "r/run.json").read_text())
        self.assertEqual((after["status"], after["env_steps"], len(after["resumed"])),
                         ("finished", longer, len(record["resumed"]) + 1))
        before = rows(self.older / "train.csv")
        now = rows(self.cwd / "r/train.csv")
        self.assertEqual([{key: row[key] for key in before[0]} for row in now[:len(before)]], before)
        self.assertEqual(int(now[-1]["env_step"]), longer)

    def test_is_gone_on_with(self):
        self.each(self.goes_on, algorithms=("mbpo", "pets", "sac"))

    def test_of_before_a_key_was_there_is_gone_on_with(self):
        def check(record):
            section, key, value = LEFT_OUT[record["algorithm"]]
            self.edit_config(lambda text: text.replace(f"  {key}: {value}\n", ""))
            said = self.train(self.today(), "--run-dir", "r", "--auto-resume", "--set", f"{section}.{key}=0.01", code=2).stderr
            self.assertIn(f"r was begun with another config: {section}.{key} ({value} there, 0.01 here); ", said)
            self.goes_on(record)
        self.each(check)

    def test_with_a_key_that_is_no_more_is_refused_with_the_version_that_wrote_it(self):
        def check(record):
            self.edit_config(lambda text: text + "momentum: 0.9\n")
            line = len((self.cwd / "r/config.yaml").read_text().splitlines())
            today = self.today()
            for result, where in ((run("eval", "r", cwd=self.cwd), "r"),
                                  (run("train", "--resume", "r", cwd=self.cwd), "r"),
                                  (run("train", today, "--run-dir", "r", "--auto-resume", cwd=self.cwd), "r"),
                                  (self.sweep(), r"out/\S+")):
                self.assertEqual(result.returncode, 2, result.stderr)
                self.assertRegex(result.stderr, rf"error: {where}/config.yaml:{line}: momentum: no such key.*; this config was "
                                                rf"written by Reverie {record['version']} \(git {record['git_revision']}\)")
        self.each(check, algorithms=("mbpo",))


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    unittest.main(argv=sys.argv[2:])
