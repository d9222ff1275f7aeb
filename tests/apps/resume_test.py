"""Runs that were killed, and went on: the same numbers as if they had not been.

usage: resume_test.py PROGRAM SOURCE_DIR CLASS [unittest arguments]
"""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import unittest

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1]))
from program import (PROGRAM, TINY_CONSTRAINED, TINY_DAGGER, TINY_DHMBPO, TINY_GPS, TINY_ILQR, TINY_ILQR_SIMULATOR, TINY_LOCAL, TINY_MBPO, TINY_MBPO_SIMULATOR, TINY_PETS, TINY_PLATO, TINY_SAC, TINY_SIMULATOR, TINY_STEVE,  # noqa: E402
                     TINY_SVG, Case, comparable, rows, run, state, tensors)


class ResumeCase(Case):
    def kill_at_checkpoint(self, run_dir, *arguments, least=0):
        """Starts a run, or goes on with it where no arguments are given, and kills it as soon as it has a checkpoint of
        `least` env steps or more; the env steps of that."""
        how = [*arguments, "--run-dir", run_dir] if arguments else ["--resume", run_dir]
        process = subprocess.Popen([PROGRAM, "train", *how], cwd=self.cwd, stderr=subprocess.DEVNULL)
        folder = self.cwd / run_dir / "checkpoints"

        def steps():
            return max((int(path.stem.split("-")[1]) for path in folder.glob("step-*.safetensors")), default=-1)
        while (found := steps()) < least:
            self.assertIsNone(process.poll(), "ended before it could be killed")
            time.sleep(0.002)
        process.kill()
        self.assertEqual(process.wait(), -signal.SIGKILL)
        return found

    def assert_equal_runs(self, one, other):
        for file in ("train.csv", "eval.csv"):
            self.assertEqual(comparable(self.cwd / one / file), comparable(self.cwd / other / file), file)
        (texts, values), (other_texts, other_values) = state(self.cwd / one), state(self.cwd / other)
        self.assertEqual(texts, other_texts)
        self.assertEqual(values.keys(), other_values.keys())
        for name, value in values.items():
            self.assertEqual(value, other_values[name], name)
        if not re.search("algorithm: (ilqr|local_models|pets)", (self.cwd / one / "config.yaml").read_text()):  # which have no network
            self.assertEqual((self.cwd / one / "policy.json").read_text(), (self.cwd / other / "policy.json").read_text())


class Exact(ResumeCase):
    """Killed at checkpoints inside of episodes and gone on with each time: logs, weights, buffers, streams, bit for bit."""

    EVERY = 370
    # At exploration, with the model's first fits, and where the rollouts have grown.
    POSITIONS = (370, 1110, 1850)
    STEPS = 2400

    def check(self, text, env, threads=1, total=None):
        total = total or self.STEPS
        self.write(text)
        sets = [f"env.id={env}", f"total_steps={total}", "eval.every_steps=800", "eval.episodes=1", "log.every_steps=100",
                f"threads={threads}"]
        explores = not re.search("algorithm: (constrained_control|dagger|gps|local_models|plato)", text)
        sets += ["exploration_steps=700"] if explores else []
        if explores and ("simulator" not in text or "replay_capacity" in text):
            sets.append("epoch_length=400" if "epoch_length" in text else "replay_capacity=1900")
        sets = [x for s in sets for x in ("--set", s)]
        # The whole run writes as many checkpoints as any: writing them changes nothing.
        self.train("c.yaml", *sets, "--set", "checkpoint.every_steps=400", "--run-dir", "whole")
        self.assertEqual(json.loads((self.cwd / "whole/run.json").read_text())["env_steps"], total)
        begin = ("c.yaml", *sets, "--set", f"checkpoint.every_steps={self.EVERY}")
        for position, following in zip(self.POSITIONS, (*self.POSITIONS[1:], total)):
            self.assertLess(self.kill_at_checkpoint("part", *begin, least=position), following)
            begin = ()
        self.train("--resume", "part")
        self.assert_equal_runs("whole", "part")
        self.assertEqual(len(json.loads((self.cwd / "part/run.json").read_text())["resumed"]), len(self.POSITIONS))

    def test_sac_inverted_pendulum(self):
        self.check(TINY_SAC, "InvertedPendulum-v5", total=6000)

    def test_sac_ant_with_contact_forces(self):
        self.check(TINY_SAC, "Ant-v5")

    def test_sac_humanoid(self):
        self.check(TINY_SAC, "Humanoid-v5")

    def test_mbpo_inverted_pendulum(self):
        self.check(TINY_MBPO, "InvertedPendulum-v5")

    def test_mbpo_ant_with_contact_forces(self):
        self.check(TINY_MBPO, "Ant-v5")

    def test_mbpo_humanoid_on_two_threads(self):
        self.check(TINY_MBPO, "Humanoid-v5", threads=2)

    def test_mbpo_hopper_with_an_expansion(self):
        self.check(TINY_STEVE, "Hopper-v5")

    def test_mbpo_hopper_in_the_simulator_on_two_threads(self):
        self.check(TINY_MBPO_SIMULATOR, "Hopper-v5", threads=2)

    def test_dhmbpo_hopper(self):
        self.check(TINY_DHMBPO, "Hopper-v5")

    def test_svg_hopper(self):
        self.check(TINY_SVG, "Hopper-v5")

    def test_svg_of_real_steps_without_an_entropy(self):
        self.check(TINY_SVG.replace("horizon: 2", "horizon: 1, entropy: none, noise: inferred, max_grad_norm: 0.1"), "Pendulum-v1")

    def test_pets_cart_pole(self):
        self.check(TINY_PETS, "CartPoleSwingUp-v0")

    def test_pets_hopper_with_open_loop_plans(self):
        self.check(TINY_PETS + "ladder: v1.0\nuncertainty: {use: truncate, threshold: 0.3}\n", "Hopper-v5")

    def test_pets_cart_pole_with_polished_plans(self):
        self.check(TINY_PETS.replace("{kind: cem, horizon: 3, options: {population: 10, elites: 3, iterations: 2}}",
                                     "{kind: ilqs, horizon: 3, options: {sample_every: 2, sampler: {options: {population: 10, elites: 5}}}}"),
                   "CartPoleSwingUp-v0")

    def test_pets_reacher_in_the_simulator_on_two_threads(self):
        self.check(TINY_SIMULATOR.replace("cem", "icem"), "Reacher-v5", threads=2)

    def test_local_models(self):
        self.check(TINY_LOCAL, "LinearQuadratic-v0")

    def test_gps_by_mirror_descent_of_the_networks_own_episodes(self):
        self.check(TINY_GPS + "samples: network\n", "LinearQuadratic-v0")

    def test_gps_with_the_simulators_derivatives(self):
        self.check(TINY_GPS.replace("kl_step", "dynamics: derivatives, kl_step"), "Reacher-v5")

    def test_gps_by_badmm(self):
        self.check(TINY_GPS.replace("kl_step", "noise_smoothing: 2, kl_step") + "coupling: badmm\n", "LinearQuadratic-v0")

    def test_constrained_control(self):
        self.check(TINY_CONSTRAINED + "penalty_growth: 2\n", "LinearQuadratic-v0")

    def test_constrained_control_stopped_while_it_plans_twice(self):
        # Plans long enough to be stopped in.
        self.write(TINY_CONSTRAINED.replace("start_draws: 2", "start_draws: 12").replace("LinearQuadratic-v0", "CartPoleSwingUp-v0")
                   .replace("max_episode_steps: 20", "max_episode_steps: 40"))
        self.train("c.yaml", "--run-dir", "whole")
        planned = [0]
        for go_on in (("c.yaml", "--run-dir", "r"), ("--resume", "r")):
            with subprocess.Popen([PROGRAM, "train", *go_on], cwd=self.cwd, stderr=subprocess.PIPE, text=True) as process:
                for line in process.stderr:
                    if "step 0: evaluation" in line or "going on from" in line:
                        time.sleep(0.6)
                        process.send_signal(signal.SIGINT)
                        break
                said = process.stderr.read()
            self.assertIn("stopped by SIGINT at env step 0", said)
            stored = tensors(self.cwd / "r/checkpoints/step-000000000.safetensors")[1]
            planned.append(sum(shape[0] > 0 for name, (shape, _) in stored.items() if re.search(r"trajectory_\d+/u$", name)))
            self.assertGreater(planned[-1], planned[-2])  # what was planned is kept
        self.train("--resume", "r")
        self.assert_equal_runs("whole", "r")

    def test_constrained_control_reacher_on_two_threads(self):
        self.check(TINY_CONSTRAINED, "Reacher-v5", threads=2)

    def test_dagger_pendulum(self):
        self.check(TINY_DAGGER, "Pendulum-v1")

    def test_plato_of_places_and_their_changes(self):
        self.check(TINY_PLATO + "lambda_growth: 1.5\n", "InvertedDoublePendulum-v5")

    def test_ilqr_cart_pole(self):
        self.check(TINY_ILQR, "CartPoleSwingUp-v0")

    def test_ilqr_reacher_with_whole_plans(self):
        self.check(TINY_ILQR + "ladder: v1.0\nfeedback: true\n", "Reacher-v5")

    def test_ilqr_reacher_in_the_simulator_on_two_threads(self):
        self.check(TINY_ILQR_SIMULATOR, "Reacher-v5", threads=2)


class AutoResume(ResumeCase):
    """The same command again and again."""

    def again(self, *arguments, code=0):
        return self.train("c.yaml", "--run-dir", "r", "--auto-resume", *arguments, code=code)

    def test_begins_goes_on_and_has_nothing_left_to_do(self):
        self.write(TINY_SAC.replace("500", "3000"))
        self.train("c.yaml", "--run-dir", "whole")
        self.kill_at_checkpoint("r", "c.yaml", "--auto-resume")
        self.assertIn("going on from", self.again().stderr)
        self.assert_equal_runs("whole", "r")
        before = {path: path.stat().st_mtime_ns for path in (self.cwd / "r").rglob("*")}
        self.assertIn("r is finished", self.again().stderr)
        self.assertEqual(before, {path: path.stat().st_mtime_ns for path in (self.cwd / "r").rglob("*")})

    def test_the_name_of_a_variant_may_change(self):
        self.write(TINY_SAC)
        self.again("--set", "variant=before")
        for name in ("after", "at last"):  # the last of a run that is finished
            self.assertIn("going on from", self.again("--set", f"variant={name}", "--set", "total_steps=600").stderr)
            self.assertEqual(json.loads((self.cwd / "r/run.json").read_text())["variant"], name)
        self.assertIn("r is finished", self.again("--set", "variant=at last", "--set", "total_steps=600").stderr)

    def test_another_config_is_told_how_the_run_goes_on(self):
        self.write(TINY_SAC.replace("500", "100000"))
        self.kill_at_checkpoint("my run", "c.yaml", "--auto-resume")
        said = self.train("c.yaml", "--run-dir", "my run", "--auto-resume", "--set", "sac.discount=0.9", code=2).stderr
        self.assertRegex(said, "sac.discount .*; by its own config it goes on with: .*reverie train --resume 'my run'\n$")
        shutil.rmtree(self.cwd / "my run/checkpoints")
        said = self.train("c.yaml", "--run-dir", "my run", "--auto-resume", "--set", "sac.discount=0.9", code=2).stderr
        self.assertTrue(said.endswith("device and threads change\n"), said)

    def test_a_run_that_is_trained_and_has_no_checkpoint_yet_is_said_to_be(self):
        self.write(TINY_SAC.replace("500", "1000000").replace("150", "900000"))
        process = subprocess.Popen([PROGRAM, "train", "c.yaml", "--run-dir", "r"], cwd=self.cwd, stderr=subprocess.DEVNULL)
        try:
            while not (self.cwd / "r/eval.csv").exists():
                self.assertIsNone(process.poll(), "ended before it was looked at")
                time.sleep(0.002)
            for command in (["eval", "r"], ["export", "r", "--out", "p.pt"], ["record", "r", "--out", "v.mp4"]):
                said = run(*command, cwd=self.cwd)
                self.assertEqual((said.returncode, said.stderr),
                                 (2, "error: r is being trained and has no checkpoint yet\n"))
        finally:
            process.kill()
            process.wait()

    def test_what_has_no_checkpoint_yet_is_begun_anew(self):
        self.write(TINY_SAC)
        (self.cwd / "r").mkdir()  # killed before its first file
        self.again()
        shutil.rmtree(self.cwd / "r/checkpoints")
        self.set_status("running", 0)
        mine = self.keep_files_of_mine()
        said = self.again().stderr
        self.assertNotIn("going on", said)
        self.assertNotIn("is finished", said)
        self.assertEqual(json.loads((self.cwd / "r/run.json").read_text())["status"], "finished")
        self.assertEqual([path.read_text() for path in mine], ["mine"] * len(mine))
        self.set_status("running", 0)  # killed while it was created
        for path in [self.cwd / "r/config.yaml", *(self.cwd / "r/checkpoints").iterdir()]:
            if path not in mine:
                path.unlink()
        self.again()
        self.assertEqual([path.read_text() for path in mine], ["mine"] * len(mine))

    def set_status(self, status, env_steps):
        """As a process leaves run.json that was killed there, or ended."""
        path = self.cwd / "r/run.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "status": status, "env_steps": env_steps}))

    def keep_files_of_mine(self):
        """A user's files beside those of the run."""
        names = ("r/notes.txt", "r/figures/curve.svg", "r/train.csv.bak", "r/slurm.partial", "r/checkpoints/best.safetensors",
                 "r/checkpoints/step-best.partial")
        for name in names:
            (self.cwd / name).parent.mkdir(exist_ok=True)
            (self.cwd / name).write_text("mine")
        return [self.cwd / name for name in names]

    def nothing_changes(self, *arguments, code, says):
        def look():
            paths = [os.path.join(folder, name) for folder, folders, files in os.walk(self.cwd) for name in folders + files]
            return {path: (os.lstat(path).st_ino, os.lstat(path).st_mtime_ns) for path in paths}
        before = look()
        self.assertIn(says, self.again(*arguments, code=code).stderr)
        self.assertEqual(look(), before)

    def test_a_finished_run_is_finished_whatever_is_left_of_it(self):
        self.write(TINY_SAC)
        self.again()
        shutil.rmtree(self.cwd / "r/checkpoints")
        self.nothing_changes(code=0, says="r is finished")
        self.nothing_changes("--set", "total_steps=900", code=2,
                             says="r is finished at env step 500 and has no checkpoint to go on from; --overwrite begins it")
        for path in (self.cwd / "r").iterdir():  # what one keeps of a run
            if path.name not in ("run.json", "config.yaml", "eval.csv", "policy.pt"):
                path.unlink()
        (self.cwd / "r/notes.txt").write_text("mine")
        self.nothing_changes(code=0, says="r is finished")
        (self.cwd / "r/checkpoints").symlink_to(self.cwd / "unmounted")
        self.nothing_changes(code=0, says="r is finished")

    def test_a_run_that_ended_without_a_checkpoint_is_left_alone(self):
        self.write(TINY_SAC)
        self.again()
        shutil.rmtree(self.cwd / "r/checkpoints")
        for status in ("failed", "interrupted"):
            self.set_status(status, 300)
            self.nothing_changes(code=2, says=f"r is {status} at env step 300 and has no checkpoint to go on from")

    def test_a_link_to_a_disk_that_is_not_mounted_is_not_an_empty_folder(self):
        self.write(TINY_SAC)
        self.again()
        (self.cwd / "r/checkpoints").rename(self.cwd / "disk")
        (self.cwd / "r/checkpoints").symlink_to(self.cwd / "disk")
        self.set_status("running", 450)
        (self.cwd / "disk").rename(self.cwd / "unmounted")
        says = f"cannot look into the folder r/checkpoints, a link to {self.cwd}/disk: No such file or directory"
        self.nothing_changes(code=1, says=says)
        (self.cwd / "unmounted").rename(self.cwd / "disk")
        self.assertIn("going on from r/checkpoints/step-000000500", self.again().stderr)
        (self.cwd / "r").rename(self.cwd / "elsewhere")
        (self.cwd / "r").symlink_to("unmounted")
        self.nothing_changes(code=2, says="r is a link to unmounted, which is not there")
        (self.cwd / "r").unlink()
        (self.cwd / "r").symlink_to("r")
        self.nothing_changes(code=1, says="cannot create the run directory r: Too many levels of symbolic links")

    def test_another_config_is_refused_where_there_is_no_checkpoint_too(self):
        self.write(TINY_SAC)
        self.again()
        shutil.rmtree(self.cwd / "r/checkpoints")
        for status in ("running", "finished"):
            self.set_status(status, 500)
            self.nothing_changes("--seed", "4", code=2, says="r was begun with another config: seed (0 there, 4 here)")
            self.write(TINY_MBPO)
            self.nothing_changes(code=2, says="r was begun with another config: algorithm (sac there, mbpo here)")
            self.write(TINY_SAC)

    def test_overwriting_removes_what_a_run_wrote_and_nothing_else(self):
        self.write(TINY_MBPO)
        self.again()
        mine = self.keep_files_of_mine()
        self.write(TINY_SAC)
        self.train("c.yaml", "--run-dir", "r", "--overwrite")
        self.train("c.yaml", "--run-dir", "fresh")
        names = lambda folder: sorted(re.sub("tfevents.*", "tfevents", str(path.relative_to(self.cwd / folder)))
                                      for path in (self.cwd / folder).rglob("*") if path.is_file() and path not in mine)
        self.assertEqual(names("r"), names("fresh"))
        self.assertEqual([path.read_text() for path in mine], ["mine"] * len(mine))

    def test_another_config_is_refused_with_the_keys_that_differ(self):
        self.write(TINY_SAC)
        self.again()
        before = (self.cwd / "r/run.json").read_text()
        said = self.again("--set", "sac.discount=0.9", "--seed", "4", "--set", "total_steps=900", code=2).stderr
        self.assertIn("r was begun with another config: sac.discount (0.99 there, 0.9 here), seed (0 there, 4 here); ", said)
        self.assertIn("total_steps (500 there, 400 here)", self.again("--set", "total_steps=400", code=2).stderr)
        self.assertIn("eval.episodes", self.train("--resume", "r", "--set", "eval.episodes=3", code=2).stderr)
        self.assertEqual((self.cwd / "r/run.json").read_text(), before)

    def test_a_longer_run_is_the_run_that_was_that_long_from_the_beginning(self):
        self.write(TINY_MBPO)
        self.again()
        self.again("--set", "total_steps=1050")
        self.train("c.yaml", "--run-dir", "whole", "--set", "total_steps=1050")
        self.assert_equal_runs("whole", "r")
        self.assertEqual((self.cwd / "r/config.yaml").read_text(), (self.cwd / "whole/config.yaml").read_text())

    def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(self):
        self.write(TINY_SAC.replace("checkpoint: {", "checkpoint: {keep: 3, "))
        self.train("c.yaml", "--run-dir", "whole", "--set", "total_steps=800")
        self.again()
        newest = self.cwd / "r/checkpoints/step-000000500.safetensors"
        newest.write_bytes(newest.read_bytes()[:-1])
        said = self.again("--set", "total_steps=800").stderr
        self.assertIn("r/checkpoints/step-000000500.safetensors: is cut off", said)
        self.assertIn("going on from r/checkpoints/step-000000450.safetensors", said)
        self.assert_equal_runs("whole", "r")
        for path in (self.cwd / "r/checkpoints").glob("step-*"):
            path.write_bytes(b"PK" + path.read_bytes())
        before = [(self.cwd / "r" / name).read_text() for name in ("run.json", "config.yaml", "train.csv", "eval.csv")]
        said = self.again("--set", "total_steps=900", code=1).stderr
        self.assertIn("no checkpoint is good: ", said)
        self.assertEqual([(self.cwd / "r" / name).read_text() for name in ("run.json", "config.yaml", "train.csv", "eval.csv")],
                         before)
        self.assertEqual(run("eval", "r", cwd=self.cwd).returncode, 1)

    def test_a_config_that_cannot_be_replaced_is_a_failure_with_its_reason(self):
        self.write(TINY_SAC)
        self.train("c.yaml", "--run-dir", "r")
        before = (self.cwd / "r/config.yaml").read_text()
        (self.cwd / "r/config.yaml.partial").mkdir()
        self.again("--set", "total_steps=700", code=1)
        record = json.loads((self.cwd / "r/run.json").read_text())
        self.assertEqual((record["status"], record["env_steps"]), ("failed", 500))
        self.assertIn("config.yaml", record["reason"])
        self.assertEqual((self.cwd / "r/config.yaml").read_text(), before)

    def test_a_signal_in_the_middle_of_an_evaluation_or_a_fit_is_heard_within_seconds(self):
        # Both would take minutes.
        self.write(TINY_MBPO)
        slow_fit = ["--set", "model.max_epochs=0", "--set", "model.patience=1000000"]
        slow_eval = ["--set", "eval.episodes=2000", "--set", "env.id=HalfCheetah-v5"]
        for name, sets in (("fit", slow_fit), ("eval", slow_eval)):
            process = subprocess.Popen([PROGRAM, "train", "c.yaml", "--run-dir", name, *sets], cwd=self.cwd,
                                       stderr=subprocess.DEVNULL)
            self.addCleanup(process.kill)
            log = self.cwd / name / "train.csv"
            while name == "fit" and (not log.exists() or len(rows(log)) < 4):  # in the first fit now
                self.assertIsNone(process.poll())
                time.sleep(0.05)
            time.sleep(2)
            begun = time.monotonic()
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(60), 143)
            self.assertLess(time.monotonic() - begun, 10)
            record = json.loads((self.cwd / name / "run.json").read_text())
            self.assertEqual((record["status"], record["reason"]), ("interrupted", "SIGTERM"))
            self.assertEqual(record["env_steps"], 400 if name == "fit" else 0)


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    unittest.main(argv=sys.argv[2:])
