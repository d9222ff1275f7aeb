"""What a run meets: a full disk, a folder that is read-only, another process, numbers that are none, too little memory.

Each leaves a run directory that says what happened and can be gone on with.

usage: faults_test.py PROGRAM SOURCE_DIR CLASS [unittest arguments]
"""
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import unittest
import unittest.mock

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1]))
from program import PROGRAM, TINY_MBPO, TINY_SAC, Case, comparable, rows, run, state  # noqa: E402


class Disk(Case):
    """On a small file system of its own, made in a namespace of its own."""

    def on_small_disk(self, script, megabytes=2):
        """Runs a shell script with $p the program and disk/ a file system of that size; its lines."""
        command = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"]), "sh", "-c",
                   f"mkdir disk && mount -t tmpfs -o size={megabytes}m none disk\n" + script]
        return subprocess.run(command, cwd=self.cwd, capture_output=True, text=True, timeout=300,
                              env={**os.environ, "p": str(PROGRAM)})

    def record(self, folder):
        return json.loads((self.cwd / folder / "run.json").read_text())

    def check(self, text, named, megabytes=2):
        """A run that fills the disk, then goes on when there is room again, is the run that never met the end of it."""
        self.write(text)
        self.train("c.yaml", "--run-dir", "whole")
        result = self.on_small_disk("""
            $p train c.yaml --run-dir disk/r; echo code $?
            cp -a disk/r after; mv disk/r elsewhere; rm -rf disk/*; cp -a elsewhere disk/r
            mount -o remount,size=50m disk
            $p train --resume disk/r; echo code $?
            cp -a disk/r end""", megabytes)
        self.assertEqual(result.stdout.split(), ["code", "1", "code", "0"], result.stderr)
        self.assertRegex(result.stderr, rf"error: after env step \d+: cannot write disk/r/{named}: No space left on device")
        self.assertIn(self.record("after")["status"], ("running", "failed"))  # the latter where there was room to say so
        self.assertEqual(list((self.cwd / "after").rglob("*.partial")), [])
        self.assertEqual(self.record("end")["status"], "finished")
        for file in ("train.csv", "eval.csv"):
            self.assertEqual(comparable(self.cwd / "whole" / file), comparable(self.cwd / "end" / file))
        self.assertEqual(state(self.cwd / "whole"), state(self.cwd / "end"))

    def test_full_while_checkpointing(self):
        self.check(TINY_SAC.replace("500", "5000").replace("[16, 16]", "[80, 80]").replace("InvertedPendulum", "HalfCheetah")
                   .replace("100}", "1000}").replace("every_steps: 200", "every_steps: 5000")
                   .replace("every_steps: 150", "every_steps: 300"), "checkpoints/.*safetensors", megabytes=1)

    def test_full_while_logging(self):
        self.check(TINY_SAC.replace("500", "6000").replace("log: {every_steps: 100}", "log: {every_steps: 1}")
                   .replace("every_steps: 150", "every_steps: 2000"), "(train.csv|events.*|run.json)")

    def test_an_overwriting_that_was_stopped_leaves_the_folder_of_a_run(self):
        self.write(TINY_SAC)
        result = self.on_small_disk("""
            $p train c.yaml --run-dir disk/r; echo code $?
            touch empty; mount --bind empty disk/r/eval.csv
            $p train c.yaml --run-dir disk/r --overwrite; echo code $?
            umount disk/r/eval.csv
            $p train c.yaml --run-dir disk/r --auto-resume; echo code $?
            cp -a disk/r end""")
        self.assertEqual(result.stdout.split(), ["code", "0", "code", "1", "code", "0"], result.stderr)
        self.assertIn("error: cannot create the run directory disk/r: Device or resource busy", result.stderr)
        self.assertNotIn("is finished", result.stderr)
        self.assertEqual(self.record("end")["status"], "finished")

    def test_read_only_folder(self):
        self.write(TINY_SAC)
        self.train("c.yaml", "--run-dir", "r")
        result = self.on_small_disk("""
            cp -a r disk/r; mount -o remount,ro disk
            $p train c.yaml --run-dir disk/new; echo code $?
            $p train --resume disk/r --set total_steps=900; echo code $?
            $p eval disk/r --episodes 1 >/dev/null; echo code $?""")
        self.assertEqual(result.stdout.split(), ["code", "1", "code", "1", "code", "0"], result.stderr)
        said = [line for line in result.stderr.splitlines() if line.startswith("error:")]
        self.assertEqual(said, ["error: cannot make the folder disk/new: Read-only file system",
                                "error: cannot write disk/r/lock: Read-only file system"])


class Faults(Case):
    def fails(self, *arguments, says):
        """A run that fails with those words, in the log and in run.json."""
        result = self.train("c.yaml", "--run-dir", "r", *arguments, code=1)
        self.assertRegex(result.stderr.splitlines()[-1], rf"^error: after env step \d+: {says}$")
        record = json.loads((self.cwd / "r/run.json").read_text())
        self.assertEqual(record["status"], "failed")
        self.assertRegex(record["reason"], rf"^after env step \d+: {says}$")
        self.assertIn("error: after env step", (self.cwd / "r/log.txt").read_text())
        self.assertEqual(len(list((self.cwd / "r/checkpoints").glob("failed-step-*.safetensors"))), 1)
        return record

    def test_a_second_process_on_one_run_directory_is_refused(self):
        self.write(TINY_SAC.replace("500", "200000"))
        first = subprocess.Popen([PROGRAM, "train", "c.yaml", "--run-dir", "r"], cwd=self.cwd, stderr=subprocess.DEVNULL)
        while not list((self.cwd / "r/checkpoints").glob("step-*")):
            self.assertIsNone(first.poll())
            time.sleep(0.02)
        for arguments in (["--resume", "r"], ["c.yaml", "--run-dir", "r", "--overwrite"],
                          ["c.yaml", "--run-dir", "r", "--auto-resume"]):
            self.assertIn(f"r belongs to a run that is still going on (process {first.pid} on {socket.gethostname()})",
                          self.train(*arguments, code=2).stderr)
        self.assertEqual(run("eval", "r", "--episodes", 1, cwd=self.cwd).returncode, 0)  # looking is allowed
        self.assertIsNone(first.poll())
        first.terminate()
        self.assertEqual(first.wait(30), 143)

    def test_a_simulation_that_blows_up(self):
        (self.cwd / "strong.xml").write_text("""<mujoco><option timestep="0.02"/><worldbody><body name="cart">
            <joint name="slider" type="slide" axis="1 0 0"/><geom size="0.1"/><body name="pole">
            <joint name="hinge" type="hinge" axis="0 1 0"/><geom type="capsule" fromto="0 0 0 0 0 0.6" size="0.05"/>
            </body></body></worldbody>
            <actuator><motor joint="slider" gear="1e12" ctrllimited="true" ctrlrange="-3 3"/></actuator></mujoco>""")
        self.write(TINY_SAC)
        self.fails("--set", "env.options.xml_file=./strong.xml", says=".*the simulation became unstable: .*")

    def test_a_loss_that_is_no_number(self):
        self.write(TINY_SAC)
        record = self.fails("--set", "sac.learning_rate=1e30", says=r"SAC's \w+ is not finite at update \d+")
        self.assertGreaterEqual(record["env_steps"], 200)

    def test_a_model_that_is_no_number(self):
        self.write(TINY_MBPO)
        self.fails("--set", "model.learning_rate=1e30",
                   says=r"the model's hold-out error became non-finite in epoch \d of a fit on 320 rows")

    def test_too_little_memory_names_the_key_and_begins_nothing(self):
        self.write(TINY_MBPO)
        for assignment, says in (("replay_capacity=1e13", "a replay buffer of 10000000000000 rows needs 1.* MiB on cpu, which "
                                                          "are not to be had; lower replay_capacity"),
                                 ("rollout.start_states=1e12", "a replay buffer of .*; lower rollout.start_states, "),
                                 ("sac.batch_size=1e13", "there is not enough memory .*; lower the batch sizes, "),
                                 ("rollout.start_states=9e15", "rollout: imagines more rows than there are places for")):
            result = run("train", "c.yaml", "--set", assignment, "--run-dir", "r", cwd=self.cwd)
            self.assertIn(result.returncode, (1, 2))
            self.assertRegex(result.stderr.splitlines()[-1], "^error: .*" + says)
            self.assertFalse((self.cwd / "r").exists())


class Process(Case):
    """What the system and the shell do to a process."""

    def shell(self, script):
        """Runs a script of bash with $p the program, from a clean start: every signal at its default."""
        return subprocess.run(["bash", "-c", script], cwd=self.cwd, capture_output=True, text=True, timeout=300,
                              env={**os.environ, "p": str(PROGRAM)})

    def record(self, folder="r"):
        return json.loads((self.cwd / folder / "run.json").read_text())

    def test_a_pipe_that_nobody_reads(self):
        self.write(TINY_SAC)
        result = self.shell("$p train c.yaml --run-dir r 2>&1 | head -1; echo ${PIPESTATUS[0]}")
        self.assertEqual(result.stdout.splitlines()[1:], ["0"], result.stderr)
        self.assertEqual((self.record()["status"], self.record()["env_steps"]), ("finished", 500))
        self.assertIn("finished 500 env steps", (self.cwd / "r/log.txt").read_text())

    def test_a_limit_of_file_size(self):
        self.write(TINY_SAC.replace("log: {every_steps: 100}", "log: {every_steps: 1}").replace("500", "2000"))
        self.train("c.yaml", "--run-dir", "whole")
        limit = max(path.stat().st_size for path in (self.cwd / "whole/checkpoints").iterdir()) // 1024 + 1
        self.assertLess(limit * 1024, (self.cwd / "whole/train.csv").stat().st_size)
        result = self.shell(f"ulimit -f {limit}; $p train c.yaml --run-dir r")
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertRegex(result.stderr, r"error: after env step \d+: cannot write r/(train.csv|events.*): File too large")
        self.assertEqual(self.record()["status"], "failed")
        self.train("--resume", "r")
        self.assertEqual(comparable(self.cwd / "r/train.csv"), comparable(self.cwd / "whole/train.csv"))
        self.assertEqual(state(self.cwd / "r"), state(self.cwd / "whole"))

    def test_signals_that_say_stop(self):
        self.write(TINY_SAC.replace("500", "2000000"))
        for name in ("SIGHUP", "SIGXCPU", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGVTALRM", "SIGPWR"):
            for ignored in (False, True):
                with self.subTest(name, ignored=ignored):
                    number = getattr(signal, name)
                    run_dir = f"{name}-{ignored}"
                    process = subprocess.Popen(
                        [PROGRAM, "train", "c.yaml", "--run-dir", run_dir], cwd=self.cwd, stderr=subprocess.DEVNULL,
                        preexec_fn=lambda: signal.signal(number, signal.SIG_IGN if ignored else signal.SIG_DFL))
                    self.addCleanup(process.kill)
                    log = self.cwd / run_dir / "train.csv"
                    while not log.exists() or len(rows(log)) < 4:
                        self.assertIsNone(process.poll())
                        time.sleep(0.02)
                    process.send_signal(number)
                    if ignored:
                        process.terminate()
                    self.assertEqual(process.wait(60), 128 + (signal.SIGTERM if ignored else number))
                    record = self.record(run_dir)
                    self.assertEqual((record["status"], record["reason"]), ("interrupted", "SIGTERM" if ignored else name))
                    self.assertTrue((self.cwd / run_dir / f"checkpoints/step-{record['env_steps']:09}.safetensors").exists())

    def test_the_hints_are_commands_of_a_shell(self):
        self.write(TINY_SAC.replace("500", "6000"))
        run_dir = "my run's"
        process = subprocess.Popen([PROGRAM, "train", "c.yaml", "--run-dir", run_dir], cwd=self.cwd, text=True,
                                   stderr=subprocess.PIPE)
        log = self.cwd / run_dir / "train.csv"
        while not log.exists() or len(rows(log)) < 4:
            self.assertIsNone(process.poll())
            time.sleep(0.02)
        process.terminate()
        hint = process.communicate(timeout=60)[1].split("go on with: ")[1]
        self.assertTrue(hint.startswith(str(PROGRAM)), hint)
        result = self.shell(hint)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(self.record(run_dir)["status"], "finished")
        self.write("base: c.yaml\nout: my $runs\nseeds: [0]\noverrides: {total_steps: 300}\n", "s.yaml")
        name = self.cwd / "a script's"  # that starts the program
        name.symlink_to(PROGRAM)
        with unittest.mock.patch.dict(os.environ, REVERIE_CALLED_AS=f"./{name.name}"):
            result = run("sweep", "s.yaml", cwd=self.cwd)
        hint = result.stderr.split("look at them with: ")[1]
        self.assertIn("./a script", hint)
        self.assertEqual(self.shell(hint).returncode, 0)
        self.assertTrue((self.cwd / "my $runs/report/index.html").exists())

    def test_links_that_lead_nowhere_or_in_a_circle_are_told_in_words(self):
        self.write(TINY_SAC)
        for name, target in (("loop", "loop"), ("gone", "nowhere"), ("loop.yaml", "loop.yaml"), ("gone.yaml", "nowhere")):
            (self.cwd / name).symlink_to(target)
        before = sorted(self.cwd.iterdir())
        for at in ("loop", "gone"):
            for command in (f"train {at}.yaml", f"train c.yaml --run-dir {at}", f"train c.yaml --run-dir {at} --overwrite",
                            f"train c.yaml --run-dir {at} --auto-resume", f"train c.yaml --run-dir {at}/r",
                            f"train --resume {at}", f"eval {at}", f"export {at} --out p.pt", f"record {at} --out v.mp4",
                            f"compare {at}", f"sweep {at}.yaml", f"config {at}.yaml"):
                with self.subTest(command):
                    result = run(*command.split(), cwd=self.cwd)
                    self.assertIn(result.returncode, (1, 2))
                    self.assertRegex(result.stderr, rf"^error: .*{at}.*\n$")
                    self.assertNotRegex(result.stderr, "filesystem error|status:|\\[")
                    self.assertEqual(sorted(self.cwd.iterdir()), before)

    def test_closed_descriptors_do_not_become_files_of_the_run(self):
        self.write(TINY_SAC)
        self.train("c.yaml", "--run-dir", "whole")
        result = self.shell("$p train c.yaml --run-dir r <&- >&- 2>&-; echo $?")
        self.assertEqual(result.stdout, "0\n")
        for name in ("train.csv", "eval.csv"):
            self.assertEqual(comparable(self.cwd / "r" / name), comparable(self.cwd / "whole" / name))
        lines = [[re.sub(rf"ETA.*|[0-9.,]+|(?<= ){folder}(?=/|$)", "", line.split(" ", 2)[2])
                  for line in (self.cwd / folder / "log.txt").read_text().splitlines()] for folder in ("r", "whole")]
        self.assertGreater(len(lines[0]), 3)
        self.assertEqual(*lines)
        for command in ("eval r --json", "compare r", "--version"):
            with self.subTest(command):
                self.assertEqual(self.shell(f"$p {command} >&-").returncode, 1)

    def test_output_that_does_not_arrive_is_a_failure(self):
        self.write(TINY_SAC)
        self.train("c.yaml", "--run-dir", "r")
        for command in ("--version", "--help", "envs", "envs Hopper-v5", "config c.yaml", "config --reference",
                        "eval r --episodes 1", "eval r --episodes 1 --json", "compare r", "export r --out p.pt"):
            with self.subTest(command):
                result = self.shell(f"$p {command} >/dev/full")
                self.assertEqual(result.returncode, 1)
                self.assertRegex(result.stderr, "error: standard output cannot be written(: No space left on device)?\n$")
                reader, writer = os.pipe()
                os.close(reader)
                result = subprocess.run([PROGRAM, *command.split()], cwd=self.cwd, stdout=writer, stderr=subprocess.PIPE)
                os.close(writer)
                self.assertEqual(result.returncode, 1)
                self.assertRegex(result.stderr, b"error: standard output cannot be written(: Broken pipe)?\n$")


class Files(Case):
    """Files that a config names are found from anywhere, and are the same ones later."""

    MODEL = """<mujoco><option timestep="0.02"/><worldbody><body name="cart">
        <joint name="slider" type="slide" axis="1 0 0"/><geom size="0.1" mass="MASS"/><body name="pole">
        <joint name="hinge" type="hinge" axis="0 1 0"/><geom type="capsule" fromto="0 0 0 0 0 0.6" size="0.05"/>
        </body></body></worldbody><actuator><motor joint="slider" gear="100" ctrllimited="true" ctrlrange="-3 3"/></actuator>
        </mujoco>"""
    OPTION = "env: {id: InvertedPendulum-v5, options: {xml_file: models/pole.xml}}"

    def setUp(self):
        super().setUp()
        self.model = self.add_model("project/models/pole.xml", 1)
        self.add_model("models/pole.xml", 50)  # another file of that name, from where the program is started
        self.write(TINY_SAC.replace("env: {id: InvertedPendulum-v5}", self.OPTION), "project/c.yaml")

    def add_model(self, name, mass):
        path = self.cwd / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.MODEL.replace("MASS", str(mass)))
        return path

    def xml_file(self, run_dir):
        return re.search("xml_file: (.*)", (self.cwd / run_dir / "config.yaml").read_text())[1].strip('"')

    def call(self, *arguments, cwd=".", code=0):
        result = run(*arguments, cwd=self.cwd / cwd)
        self.assertEqual(result.returncode, code, result.stderr)
        return result

    def test_a_name_is_taken_from_the_folder_of_whoever_gives_it(self):
        self.train("project/c.yaml", "--run-dir", "r")
        self.assertEqual(self.xml_file("r"), str(self.model.resolve()))
        self.train("project/c.yaml", "--set", "env.options.xml_file=models/pole.xml", "--run-dir", "other")
        self.assertEqual(self.xml_file("other"), str((self.cwd / "models/pole.xml").resolve()))
        self.assertNotEqual(rows(self.cwd / "r/eval.csv")[0]["return_mean"], rows(self.cwd / "other/eval.csv")[0]["return_mean"])
        self.train("project/c.yaml", "--set", "env.options.xml_file=project/models/pole.xml", "--run-dir", "same")
        self.assertEqual(comparable(self.cwd / "r/train.csv"), comparable(self.cwd / "same/train.csv"))
        (self.cwd / "away").mkdir()
        first = self.call("eval", "r", "--episodes", 2, "--json").stdout
        self.assertEqual(self.call("eval", "../r", "--episodes", 2, "--json", cwd="away").stdout, first)
        self.call("export", "../r", "--out", "p.pt", cwd="away")
        self.call("record", "../r", "--out", "v", "--steps", 2, "--width", 64, "--height", 64, cwd="away")
        self.call("train", "--resume", "../r", "--set", "total_steps=600", cwd="away")
        said = self.call("train", "project/c.yaml", "--set", "env.options.xml_file=models/none.xml", code=2).stderr
        self.assertIn(f"env.options.xml_file: no such file: {self.cwd.resolve()}/models/none.xml", said)
        self.model.unlink()
        said = self.call("train", "project/c.yaml", "--run-dir", "new", code=2).stderr
        self.assertIn(f"project/c.yaml:6: env.options.xml_file: no such file: {self.model.resolve()}", said)
        self.assertFalse((self.cwd / "new").exists())

    def test_options_may_fit_the_named_file_alone(self):
        self.write("""<mujoco><worldbody><body name="trunk" pos="0 0 0.75"><freejoint/><geom size="0.2" mass="5"/>
            <body name="leg"><joint name="hip" type="hinge" axis="0 1 0"/><geom type="capsule" fromto="0 0 0 0 0 -0.4" size="0.05"/>
            </body></body></worldbody><actuator><motor joint="hip" ctrllimited="true" ctrlrange="-1 1"/></actuator></mujoco>""",
                   "project/dog.xml")
        self.write(TINY_SAC.replace("{id: InvertedPendulum-v5}",
                                    "{id: Ant-v5, options: {xml_file: dog.xml, main_body: trunk}}"), "project/dog.yaml")
        self.assertIn("warning: Ant-v5 has observations of ", self.train("project/dog.yaml", "--run-dir", "r").stderr)
        self.train("--resume", "r", "--set", "total_steps=600")

    def test_a_bare_name_is_first_that_of_a_file_beside_whoever_gives_it(self):
        self.write(TINY_SAC.replace("-v5}", "-v5, options: {xml_file: inverted_pendulum.xml}}"), "project/own.yaml")
        stock = self.train("project/own.yaml", "--run-dir", "stock").stderr
        self.assertNotIn("is taken, not", stock)
        ours = self.add_model("project/inverted_pendulum.xml", 1)
        here = self.add_model("inverted_pendulum.xml", 50)
        says = f"xml_file: {ours.resolve()} is taken, not Gymnasium's inverted_pendulum.xml\n"
        self.assertIn(f"info: {says}", self.train("project/own.yaml", "--run-dir", "r").stderr)
        self.assertIn(says, (self.cwd / "r/log.txt").read_text())
        self.assertEqual(self.xml_file("r"), str(ours.resolve()))
        self.train("project/own.yaml", "--run-dir", "set", "--set", "env.options.xml_file=inverted_pendulum.xml")
        self.assertEqual(self.xml_file("set"), str(here.resolve()))
        self.assertEqual(len({str(comparable(self.cwd / run / "train.csv")) for run in ("stock", "r", "set")}), 3)
        # Runs go on with what they began with, whatever lies beside them or where they are called from.
        shutil.copy(here, self.cwd / "stock/inverted_pendulum.xml")
        self.assertNotIn("is taken, not", self.call("train", "--resume", "stock", "--set", "total_steps=600").stderr)
        self.assertEqual(self.xml_file("stock"), "inverted_pendulum.xml")
        self.assertIn(says, self.call("train", "--resume", "r", "--set", "total_steps=600").stderr)
        self.write(TINY_SAC.replace("-v5}", "-v5, options: {xml_file: inverted_pendulum.xml}}").replace("500", "600"), "project/own.yaml")
        said = self.call("train", "project/own.yaml", "--run-dir", "stock", "--auto-resume", code=2).stderr
        self.assertIn(f"xml_file (inverted_pendulum.xml there, {ours.resolve()} here); only total_steps may grow, and variant, "
                      "device and threads change\n", said)  # finished: nothing goes on
        described = self.call("envs", "InvertedPendulum-v5").stdout
        self.assertIn("a bare name is that of a file in the folder of whoever gives it, or one of Gymnasium's", described)

    def test_a_copy_of_the_tasks_own_file_is_the_tasks_own(self):
        config = TINY_SAC.replace("-v5}", "-v5, options: {xml_file: inverted_pendulum.xml}}")
        self.write(config, "project/own.yaml")
        self.train("project/own.yaml", "--run-dir", "r")
        nowhere = self.call("train", "project/c.yaml", "--set", "env.options.xml_file=none.xml", code=2).stderr
        own = pathlib.Path(re.search("none of that name in (.*);", nowhere)[1]) / "inverted_pendulum.xml"
        shutil.copy(own, self.cwd / "project")
        said = self.train("project/own.yaml", "--run-dir", "r", "--auto-resume", "--set", "total_steps=600").stderr
        self.assertIn("going on from", said)
        self.assertNotIn("is taken, not", said)
        (self.cwd / "project/inverted_pendulum.xml").unlink()
        self.assertIn("going on from", self.train("project/own.yaml", "--run-dir", "r", "--auto-resume", "--set", "total_steps=700").stderr)
        self.assertEqual(self.xml_file("r"), "inverted_pendulum.xml")

    def test_a_name_that_leads_nowhere_is_named_where_it_was_given(self):
        self.train("project/c.yaml", "--run-dir", "r")
        self.model.rename(self.cwd / "moved.xml")
        resume = ("train", "--resume", "r", "--set", "total_steps=600")
        self.assertRegex(self.call(*resume, code=2).stderr, r"error: r/config.yaml:\d+: env.options.xml_file: no such file: /")
        for name, says in (("none.xml", "none.xml: Gymnasium has none of that name in /"),
                           ("./none.xml", f"no such file: {self.cwd.resolve()}/none.xml\n")):
            given = f"--set env.options.xml_file={name}"
            self.assertIn(f"error: {given}: env.options.xml_file: {says}", self.call(*resume, *given.split(), code=2).stderr)
        said = self.call(*resume, "--set", "env.options.xml_file=inverted_pendulum.xml", code=2).stderr
        self.assertIn(f"env.options.xml_file ({self.model.resolve()} there, inverted_pendulum.xml here)", said)
        self.call(*resume, "--set", "env.options.xml_file=moved.xml")
        self.assertEqual(self.xml_file("r"), str((self.cwd / "moved.xml").resolve()))

    def test_a_file_that_the_named_one_includes_is_looked_at_too(self):
        body, pole = re.search("<body name=\"pole\">.*</body>", self.model.read_text().replace("\n", " "))[0], self.cwd / "project/models/parts/pole.xml"
        pole.parent.mkdir()
        pole.write_text(f"<mujoco>{body.removesuffix('</body>')}</mujoco>")
        self.model.write_text(self.model.read_text().replace("\n", " ").replace(body, '<include file="parts/pole.xml"/></body>'))
        self.train("project/c.yaml", "--run-dir", "r")
        self.call("eval", "r", "--episodes", 1)
        pole.write_text(pole.read_text().replace("0.6", "0.7"))
        says = f"env.options.xml_file: {self.model.resolve()} is not what it was when r was begun"
        self.assertIn(says, self.call("train", "--resume", "r", "--set", "total_steps=600", code=2).stderr)
        self.assertIn(f"warning: {says}\n", self.call("eval", "r", "--episodes", 1).stderr)

    def test_a_file_that_changed_is_named(self):
        self.train("project/c.yaml", "--run-dir", "r")
        self.assertRegex(json.loads((self.cwd / "r/run.json").read_text())["files"]["env.options.xml_file"], "^[0-9a-f]{16}$")
        text = self.model.read_text()
        self.model.write_text(text.replace("0.6", "0.7"))
        says = f"env.options.xml_file: {self.model.resolve()} is not what it was when r was begun"
        self.assertEqual(self.call("train", "--resume", "r", "--set", "total_steps=600", code=2).stderr,
                         f"error: {says}; only total_steps may grow, and variant, device and threads change\n")
        self.assertIn(says, self.call("train", "project/c.yaml", "--run-dir", "r", "--auto-resume", code=2).stderr)
        self.assertIn(f"warning: {says}\n", self.call("eval", "r", "--episodes", 1).stderr)
        self.train("project/c.yaml", "--run-dir", "longer", "--seed", 1)
        self.model.rename(self.cwd / "moved.xml").write_text(text)  # what it was, elsewhere
        self.call("train", "--resume", "r", "--set", "total_steps=600", "--set", "env.options.xml_file=./moved.xml")
        self.train("project/c.yaml", "--run-dir", "moved", "--seed", 2, "--set", "env.options.xml_file=./moved.xml")
        warning = "InvertedPendulum-v5: runs are not of the same task: env.options.xml_file is "
        said = lambda *runs: [text for text in json.loads(self.call("compare", *runs, "--json").stdout)["warnings"]
                              if text.startswith(warning)]
        self.assertEqual(said("r", "moved"), [])
        shutil.copy(self.cwd / "moved.xml", self.cwd / "renamed.xml")
        self.train("project/c.yaml", "--run-dir", "renamed", "--seed", 3, "--set", "env.options.xml_file=./renamed.xml")
        self.assertEqual(said("r", "renamed"), [])
        # Acting takes up no episode, whose state another file may have no place for.
        bodies = (self.cwd / "moved.xml").read_text().replace("</worldbody>", '<body name="rock"><geom size="0.1"/></body></worldbody>')
        (self.cwd / "moved.xml").write_text(bodies)
        self.assertIn("is not what it was", self.call("eval", "r", "--episodes", 1).stderr)
        self.assertRegex(said("r", "longer")[0], r"moved.xml \([0-9a-f]{16}\).*pole.xml \([0-9a-f]{16}\)")

    def test_a_file_named_as_the_tasks_own_is_another(self):
        self.write(TINY_SAC)
        self.train("c.yaml", "--run-dir", "r")
        self.add_model("inverted_pendulum.xml", 1)
        ours = "env.options.xml_file=./inverted_pendulum.xml"
        said = self.call("train", "--resume", "r", "--set", "total_steps=600", "--set", ours, code=2).stderr
        self.assertIn("r was begun with another config: env.options.xml_file (inverted_pendulum.xml there, ", said)
        self.train("c.yaml", "--run-dir", "ours", "--seed", 1, "--set", ours)
        self.assertIn("runs are not of the same task: env.options.xml_file is ", self.call("compare", "r", "ours").stdout)
        self.write(TINY_SAC.replace("InvertedPendulum-v5", "Pendulum-v1"), "other.yaml")
        self.train("other.yaml", "--run-dir", "other")
        said = self.call("train", "c.yaml", "--set", ours, "--run-dir", "other", "--auto-resume", code=2).stderr
        self.assertIn("other was begun with another config: env.id (Pendulum-v1 there, InvertedPendulum-v5 here)", said)

    def test_a_misfit_says_which_file(self):
        self.model.write_text(re.sub("<body name=.pole.*?</body>", "", self.model.read_text(), flags=re.DOTALL))
        where = f"error: project/c.yaml:6: env.options.xml_file: {self.model.resolve()}"
        self.assertIn(f"{where} has 1 positions and 1 velocities", self.call("train", "project/c.yaml", code=2).stderr)
        self.add_model("project/models/pole.xml", 1)
        text = self.model.read_text()
        self.model.write_text(text.replace('ctrllimited="true" ctrlrange="-3 3"', ""))
        for command in ("train", "config"):
            self.assertIn(f"{where}: actuator 0 has no control range; give it one",
                          self.call(command, "project/c.yaml", code=2).stderr)
        self.model.write_text(text.replace("</mujoco>", ""))
        self.assertIn(f"{where}: XML parse error", self.call("train", "project/c.yaml", code=2).stderr)

    def test_a_body_of_another_shape_is_told(self):
        other = TINY_SAC.replace("-v5}", "-v5, options: {xml_file: hopper.xml}}").replace("500", "210")
        said = self.train(self.write(other), "--run-dir", "r").stderr
        self.assertIn("warning: InvertedPendulum-v5 has observations of 12 numbers and actions of 3 with the files that the "
                      "config names, and of 4 and 1 with its own: ", said)
        self.assertNotIn("with its own", self.train("project/c.yaml", "--run-dir", "same").stderr)
        # Options that change the observation are no other body.
        self.write(other.replace("InvertedPendulum-v5, options: {xml_file: hopper.xml}",
                                 "Hopper-v5, options: {xml_file: walker2d_v5.xml, exclude_current_positions_from_observation: false}"))
        self.assertIn("Hopper-v5 has observations of 18 numbers and actions of 6 with the files that the config names, and of "
                      "12 and 3 with its own", self.train("c.yaml", "--run-dir", "walker").stderr)

    def test_sweeps_too(self):
        self.write(TINY_SAC.replace("500", "210"), "base.yaml")
        self.write("env: {options: {xml_file: models/pole.xml}}\n", "project/task.yaml")
        xml = "{env.options.xml_file: models/pole.xml}"
        for name, text in (("overrides", f"overrides: {xml}\n"), ("variant", f"variants: {{a: {xml}}}\n"),
                           ("task", "tasks: [task.yaml]\n"), ("base", "variants: {a: {base: c.yaml, total_steps: 210}}\n")):
            with self.subTest(name):
                self.write(f"base: ../base.yaml\nseeds: [0]\nout: out-{name}\n{text}", "project/s.yaml")
                self.call("sweep", "project/s.yaml")
                run_dir = next((self.cwd / f"out-{name}").rglob("run.json")).parent
                self.assertEqual(self.xml_file(run_dir), str(self.model.resolve()))
                self.assertIn("1 runs, 1 of them finished before", self.call("sweep", "project/s.yaml").stderr)
        self.model.unlink()
        self.write(f"base: ../base.yaml\nseeds: [0]\nout: new\nvariants: {{first: {{}}, a: {xml}}}\n", "project/s.yaml")
        self.assertIn(f"project/s.yaml:4: env.options.xml_file: no such file: {self.model.resolve()}",
                      self.call("sweep", "project/s.yaml", code=2).stderr)
        self.model.write_text("<mujoco/>")
        self.assertIn(str(self.model.resolve()), self.call("sweep", "project/s.yaml", code=2).stderr)
        self.assertFalse((self.cwd / "new").exists())

    def test_a_run_of_an_older_version_finds_its_file_from_where_it_was_begun(self):
        self.train("project/c.yaml", "--set", "env.options.xml_file=models/pole.xml", "--run-dir", "r")
        shutil.copy(self.cwd / "models/pole.xml", self.cwd / "a, b.xml")
        path = self.cwd / "r/config.yaml"
        for steps, name, file in ((600, "models/pole.xml", "models/pole.xml"), (700, '"~/a, b.xml"', "a, b.xml")):
            path.write_text(re.sub("xml_file: .*", f"xml_file: {name}", path.read_text()))
            record = json.loads((self.cwd / "r/run.json").read_text())
            del record["files"]
            (self.cwd / "r/run.json").write_text(json.dumps(record))
            with unittest.mock.patch.dict(os.environ, HOME=str(self.cwd)):
                self.call("eval", "r", "--episodes", 1)
                self.call("train", "--resume", "r", "--set", f"total_steps={steps}")
            self.assertEqual(self.xml_file("r"), str((self.cwd / file).resolve()))


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    unittest.main(argv=sys.argv[2:])
