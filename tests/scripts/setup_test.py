"""What scripts/lib/setup.sh says: where it cannot do its work, and while it builds.

usage: setup_test.py SOURCE_DIR [unittest arguments]
"""
import hashlib
import os
import pathlib
import pty
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(sys.argv[1]).resolve()


class Setup(unittest.TestCase):
    def source_it(self, **environment):
        return subprocess.run(["bash", "-c", 'source "$0"; echo "$cache"', SOURCE / "scripts/lib/setup.sh"], text=True,
                              capture_output=True, env={"PATH": os.environ["PATH"], **environment})

    def test_without_a_home_one_sentence_says_what_to_set(self):
        result = self.source_it()
        self.assertEqual(result.returncode, 1)
        self.assertEqual(result.stderr, "reverie: Set HOME or XDG_CACHE_HOME to a folder: what is downloaded is kept below it.\n")

    def test_either_of_the_two_is_enough(self):
        with tempfile.TemporaryDirectory() as folder:
            for environment, cache in (({"HOME": folder}, f"{folder}/.cache/reverie"),
                                       ({"XDG_CACHE_HOME": folder}, f"{folder}/reverie")):
                result = self.source_it(**environment)
                self.assertEqual((result.returncode, result.stdout), (0, cache + "\n"), result.stderr)


class Tree(unittest.TestCase):
    """A copy of what the scripts read, in a folder with a space in its name."""

    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="reverie setup ")
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)
        self.tree = self.folder / "tree"
        for name in ("scripts", "third_party"):
            shutil.copytree(SOURCE / name, self.tree / name)
        for name in ("CMakeLists.txt", "CMakePresets.json"):
            shutil.copyfile(SOURCE / name, self.tree / name)
        self.fakes = self.folder / "fakes"
        self.fakes.mkdir()
        self.environment = {"PATH": f"{self.fakes}:{os.environ['PATH']}", "XDG_CACHE_HOME": str(self.folder / "cache"),
                            "TERM": "xterm"}

    def fake(self, name, body):
        (self.fakes / name).write_text("#!/bin/sh\n" + body)
        (self.fakes / name).chmod(0o755)

    def run_script(self, script, *arguments):
        return subprocess.run([self.tree / "scripts" / script, *arguments], text=True, capture_output=True,
                              env=self.environment, cwd=self.folder)


class TooOld(Tree):
    """Said before anything is installed, downloaded or built."""

    def setUp(self):
        super().setUp()
        for name in ("apt-get", "sudo"):
            self.fake(name, f"echo {name} was called >&2; exit 1\n")

    def give_old_python(self):
        for name in ("python3", *(f"python3.{i}" for i in range(11, 15))):
            self.fake(name, OLD_PYTHON)
        setup = self.tree / "scripts/lib/setup.sh"
        setup.write_text(setup.read_text().replace("/usr/bin/python3", str(self.fakes / "no-python3")))

    def refused(self):
        before = sorted(self.folder.rglob("*"))
        result = self.run_script("reverie", "train", "configs/quickstart.yaml")
        self.assertEqual((result.returncode, result.stdout), (1, ""), result.stderr)
        self.assertEqual(sorted(self.folder.rglob("*")), before)
        self.assertNotIn("was called", result.stderr)
        return result.stderr

    def test_cmake(self):
        self.fake("cmake", 'echo "cmake version 3.22.1"; echo; echo "CMake suite maintained by Kitware"\n')
        said = self.refused()
        self.assertIn("reverie: cmake is 3.22.1; 3.25 or newer is needed", said)
        self.assertIn("pip install --user cmake", said)

    def test_a_newer_cmake_is_taken(self):
        """A number of two digits is compared as a number."""
        self.fake("cmake", 'echo "cmake version 3.100.0"\n')
        self.give_old_python()  # which ends it
        self.assertNotIn("cmake is", self.refused())

    def test_python(self):
        self.give_old_python()
        said = self.refused()
        self.assertIn("reverie: python3 is Python 3.10.12; Python 3.11 or newer is needed", said)
        self.assertIn("apt-get install python3.11-venv", said)


OLD_PYTHON = """case "$*" in
  --version) echo Python 3.10.12 ;;
  *) exit 1 ;;
esac
"""


class NotWritable(Tree):
    def test_a_cache_that_cannot_be_written_is_named(self):
        (self.folder / "cache").write_text("in the way")
        result = self.run_lock("$cache/lock")
        self.assertEqual(result.returncode, 1)
        self.assertEqual(result.stderr, f"reverie: {self.folder}/cache/reverie cannot be written. XDG_CACHE_HOME names "
                                        "another place for what is downloaded.\n")

    def test_and_so_is_a_source_folder(self):
        (self.tree / "build").write_text("in the way")
        self.assertEqual(self.run_lock("$root/build/lock").stderr, f"reverie: {self.tree}/build cannot be written.\n")

    def run_lock(self, lock):
        return subprocess.run(["bash", "-c", f'source "$0"; take_lock "{lock}" building',
                               self.tree / "scripts/lib/setup.sh"], text=True, capture_output=True, env=self.environment)


class Dependencies(Tree):
    """What is fetched from PyPI where the user has not named it. A fake Python stands for both venv and pip."""

    FAKE_PYTHON = """case "$*" in
  "-c "*) echo "('3', '11') x86_64" ;;
  "-m venv "*) mkdir -p "$3/bin" "$3/lib/python3.11/site-packages"; cp "$0" "$3/bin/python" ;;
  *dm-control*) [ ! "$OFFLINE" ] || { echo no route to PyPI; exit 1; }; echo "$*" >>"$PIP_LOG" ;;
  *) echo "$*" >>"$PIP_LOG" ;;
esac
"""
    PIP = "-m pip install --quiet --disable-pip-version-check "

    def setUp(self):
        super().setUp()
        self.fake("fake-python", self.FAKE_PYTHON)
        self.log = self.folder / "pip.log"
        self.environment["PIP_LOG"] = str(self.log)
        lines = (self.tree / "third_party/requirements.txt").read_text().splitlines()
        self.requirements = [line for line in lines if line and not line.startswith("#")]
        text = "".join(line + "\n" for line in [*self.requirements, "('3', '11') x86_64"])
        self.deps = self.folder / "cache/reverie" / f"deps-{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def ensure(self, *arguments, **environment):
        return subprocess.run(["bash", "-c", 'source "$0"; python=fake-python; find_prefixes; ensure_dependencies "$@"; '
                               'printf "%s\\n" "${deps:-none}" "${model_files:-none}" "${prefixes[@]}"',
                               self.tree / "scripts/lib/setup.sh", *arguments], text=True, capture_output=True,
                              env={**self.environment, "OFFLINE": "", **environment})

    def installed(self):
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return [line.removeprefix(self.PIP) for line in lines]

    def name_all_else(self):
        for file in ("torch/include/torch/csrc/api/include/torch/torch.h", "mujoco/include/mujoco/mujoco.h",
                     "gymnasium/envs/mujoco/assets/half_cheetah.xml", "plotly/package_data/plotly.min.js"):
            (self.folder / "own" / file).parent.mkdir(parents=True)
            (self.folder / "own" / file).touch()
        return str(self.folder / "own")

    def test_the_suites_files_are_an_environment_of_their_own(self):
        result = self.ensure()
        self.assertEqual(result.returncode, 0, result.stderr)
        deps, files, *prefixes = result.stdout.splitlines()
        self.assertEqual(deps, str(self.deps))  # dm-control is not part of its name
        self.assertRegex(files, f"^{self.folder}/cache/reverie/files-[0-9a-f]{{16}}$")
        self.assertEqual(prefixes[-1], f"{files}/lib/python3.11/site-packages/dm_control")
        self.assertEqual(self.installed(), [" ".join(self.requirements), "--no-deps dm-control==1.0.50"])
        self.assertEqual(result.stderr.splitlines(), [
            f"reverie: Installing {' '.join(self.requirements)} (4 GB, some minutes, once) from PyPI into {deps}.",
            f"reverie: Installing dm-control==1.0.50 (56 MB, once) from PyPI into {files}."])
        again = self.ensure()
        self.assertEqual((again.stdout, again.stderr, self.installed()), (result.stdout, "", []))

    def test_where_they_fail_the_rest_is_not_fetched_again(self):
        result = self.ensure(OFFLINE="yes")
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertIn("no route to PyPI\nreverie: Failed: ", result.stderr)
        self.assertEqual(self.installed(), [" ".join(self.requirements)])
        self.assertEqual(self.ensure().returncode, 0)
        self.assertEqual(self.installed(), ["--no-deps dm-control==1.0.50"])

    def test_who_named_all_else_goes_on_without_them(self):
        own = self.name_all_else()
        result = self.ensure(OFFLINE="yes", REVERIE_DEPS=own)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stdout.splitlines(),
                         ["none", "none", own, *(f"{own}/{name}" for name in ("torch", "mujoco", "gymnasium", "plotly"))])
        self.assertIn("reverie: Going on without the model files of dm_control's suite: ", result.stderr)

    def test_but_the_tests_need_them(self):
        result = self.ensure("tests", OFFLINE="yes", REVERIE_DEPS=self.name_all_else())
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertNotIn("Going on", result.stderr)

    def test_who_named_everything_fetches_nothing(self):
        own = self.name_all_else()
        (self.folder / "own/dm_control/suite").mkdir(parents=True)
        (self.folder / "own/dm_control/suite/ball_in_cup.xml").touch()
        result = self.ensure(OFFLINE="yes", REVERIE_DEPS=own)
        self.assertEqual((result.returncode, result.stderr, self.installed()), (0, "", []))
        self.assertIn(f"{own}/dm_control", result.stdout.splitlines())


class Help(Tree):
    def test_every_script_explains_itself_and_builds_nothing(self):
        before = sorted(self.folder.rglob("*"))
        scripts = [path.name for path in (SOURCE / "scripts").iterdir()
                   if path.is_file() and path.suffix == "" and path.name != "reverie"]  # whose help is the program's
        self.assertGreater(len(scripts), 5)
        for script in scripts:
            with self.subTest(script):
                result = self.run_script(script, "--help")
                self.assertEqual((result.returncode, result.stderr), (0, ""))
                self.assertIn(f"scripts/{script}", result.stdout)
                self.assertGreater(len(result.stdout.splitlines()), 2)
        self.assertEqual(sorted(self.folder.rglob("*")), before)


class Progress(Tree):
    """How `build` shows what Ninja does."""

    FILES = 8

    def build(self, failing=False, terminal=False, every=0):
        folder = self.tree / "build/release"
        folder.mkdir(parents=True, exist_ok=True)
        rules = "rule compile\n  command = sleep 0.1 && touch $out\n  description = Building CXX object $out\n"
        rules += "rule fail\n  command = echo a.cc:1: error: first line; echo second line; exit 3\n"
        rules += "  description = Building CXX object $out\n"
        # As CMake's, which talks where it has to run again.
        rules += "rule cmake\n  command = echo talk; touch $out\n  generator = 1\nbuild build.ninja: cmake CMakeLists.txt\n"
        rules += "rule link\n  command = touch $out\n  description = Linking $out\n"
        names = [f"{i}.o" for i in range(self.FILES)]
        rules += "".join(f"build {name}: compile\n" for name in names[:-1])
        rules += f"build {names[-1]}: {'fail' if failing else 'compile'} {' '.join(names[:-1])}\n"
        rules += f"build program: link {' '.join(names)}\n"
        if not (folder / "build.ninja").exists():
            (folder / "build.ninja").write_text(rules)
            (folder / "CMakeLists.txt").touch()
            os.utime(folder / "build.ninja", (0, 0))
        command = ["bash", "-c", f'source "$0"; progress_every={every}; build', self.tree / "scripts/lib/setup.sh"]
        if not terminal:
            return subprocess.run(command, text=True, capture_output=True, env=self.environment)
        master, slave = pty.openpty()
        process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=self.environment)
        os.close(slave)
        seen = b""
        while part := self.read(master):
            seen += part
        os.close(master)
        return process.wait(), seen.decode()

    @staticmethod
    def read(descriptor):
        try:
            return os.read(descriptor, 4096)
        except OSError:  # the other end is closed
            return b""

    def test_a_log_gets_a_line_now_and_then(self):
        result = self.build()
        self.assertEqual((result.returncode, result.stdout), (0, ""))
        lines = result.stderr.splitlines()
        self.assertEqual(lines[0], "reverie: Building build/release.")
        for line in lines[1:]:
            self.assertRegex(line, rf"^reverie: \d of {self.FILES} files are compiled(, about \d+ (s|min) left)?$")
        counts = [int(line.split()[1]) for line in lines[1:]]
        self.assertEqual(counts, sorted(counts))
        self.assertIn(self.FILES - 1, counts)
        self.assertTrue((self.tree / "build/release/program").exists())
        self.assertEqual(self.build().stderr, "")  # nothing to do

    def test_the_rest_is_expected_to_go_on_as_so_far(self):
        """4 files in 2 s, or a little more: 396 are 198 s."""
        result = subprocess.run(["bash", "-c", 'source "$0"; progress_every=0; '
                                 '{ sleep 2; printf "\\001Building %s\\n" a b c d; } | show_progress 400',
                                 self.tree / "scripts/lib/setup.sh"],
                                text=True, capture_output=True, env=self.environment)
        self.assertRegex(result.stderr.splitlines()[-1], "^reverie: 4 of 400 files are compiled, about [345] min left$")

    def test_lines_are_no_more_often_than_asked(self):
        self.assertEqual(len(self.build(every=1000).stderr.splitlines()), 2)

    def test_an_error_is_shown_whole(self):
        result = self.build(failing=True)
        self.assertEqual(result.returncode, 1)
        self.assertIn("\na.cc:1: error: first line\nsecond line\n", result.stderr)
        self.assertEqual(result.stderr.splitlines()[-1], "reverie: The build failed.")
        self.assertNotIn("\x01", result.stderr)

    def test_a_terminal_gets_one_line_that_is_rewritten(self):
        code, seen = self.build(terminal=True)
        self.assertEqual(code, 0)
        self.assertEqual(seen.count("\n"), 1, seen)  # after "Building build/release."
        states = seen.split("\r\x1b[K")
        self.assertEqual(states[-1], "")  # it is wiped at the end
        shown = [int(re.match(r"reverie: (\d) of 8 files", state)[1]) for state in states[1:-1]]
        self.assertEqual(shown, sorted(shown))
        self.assertEqual(shown[-1], self.FILES)
        self.assertIn("about 10 s left", seen)

    def test_an_error_on_a_terminal_has_lines_of_its_own(self):
        code, seen = self.build(terminal=True, failing=True)
        self.assertEqual(code, 1)
        self.assertIn("\r\x1b[Ka.cc:1: error: first line\r\n", seen)
        self.assertIn("\r\x1b[Ksecond line\r\n", seen)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
