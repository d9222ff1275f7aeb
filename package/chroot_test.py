"""The bundle in a root folder that holds it, a torch package, and nothing else: no shell, no C library, no Python.

usage: chroot_test.py BUILD_DIR SOURCE_DIR

Root, or a kernel that lets a user have namespaces, is needed to mount the torch package there.
"""
import contextlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

BUILD = pathlib.Path(sys.argv[1]).resolve()
SOURCE = pathlib.Path(sys.argv[2]).resolve()

sys.path.append(str(SOURCE / "scripts/lib"))
import tables  # noqa: E402

# Mounts vanish with the namespace, whatever happens. $1 is the root folder, $2 the torch package, the rest the command.
INSIDE = """set -e
root=$1 torch=$2
shift 2
mount --bind "$torch" "$root/site/torch"
[ ! -d "$torch/../nvidia" ] || mount --bind "$torch/../nvidia" "$root/site/nvidia"
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
exec chroot "$root" "$@"
"""
SKIPPED = 77
SHORT = ["--set", "total_steps=510", "--set", "model.max_epochs=2", "--device", "cpu", "--seed", "5", "--set", "threads=2"]
ONE_BENCHMARK = ["--quick", "--benchmarks", "Gemm/m:256.*threads:1/"]


def namespace():
    """The command that gives a process mounts of its own, or None where that is not allowed."""
    command = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    with tempfile.TemporaryDirectory() as folder:
        tried = subprocess.run([*command, "mount", "--bind", folder, folder], capture_output=True)
    return command if tried.returncode == 0 else None


def cached(name):
    return re.search(rf"^{name}:[A-Z]+=(.*)$", (BUILD / "CMakeCache.txt").read_text(), re.MULTILINE)[1]


def evaluations(path):
    return [{k: v for k, v in row.items() if not k.startswith(("time/", "rate/", "memory/")) and k != "wall_s"}
            for row in tables.rows(path)]


# What may be in lib/, by the beginning of its name: the folder of its notice in licenses/, as that begins, and words in it.
NOTICES_OF_LIBRARIES = {
    "ld-linux": ("libc6", "GNU C Library"), "libbenchmark.": ("libbenchmark", "Google"), "libc.": ("libc6", "GNU C Library"),
    "libdl.": ("libc6", "GNU C Library"), "libffi.": ("libffi", "Anthony Green"), "libfmt.": ("libfmt", "Victor Zverovich"),
    "libgcc_s.": ("libgcc-s1", "GNU Compiler Collection"), "libgmp.": ("libgmp", "GMP"), "libgnutls.": ("libgnutls", "GnuTLS"),
    "libgomp.": ("libgomp", "GNU Compiler Collection"), "libhogweed.": ("libhogweed", "Nettle"), "libidn2.": ("libidn2", "libidn2"),
    "libm.": ("libc6", "GNU C Library"), "libmicrohttpd.": ("libmicrohttpd", "microhttpd"), "libmujoco.": ("mujoco", "Apache License"),
    "libnettle.": ("libnettle", "Nettle"), "libp11-kit.": ("libp11-kit", "p11-kit"), "libpthread.": ("libc6", "GNU C Library"),
    "libresolv.": ("libc6", "GNU C Library"), "librt.": ("libc6", "GNU C Library"), "libspdlog.": ("libspdlog", "Gabi Melman"),
    "libstdc++.": ("libstdc++6", "GNU Compiler Collection"), "libtasn1.": ("libtasn1", "libtasn1"),
    "libunistring.": ("libunistring", "libunistring"), "libutil.": ("libc6", "GNU C Library"), "libyaml-cpp.": ("libyaml-cpp", "Jesse Beder"),
}
# The same for what is compiled into the programs, by bytes that show it there, and for files.
NOTICES_OF_CODE = {
    b"N8nlohmann": ("nlohmann-json", "Niels Lohmann"), b"N3CLI": ("libcli11", "University of Cincinnati"),
    b"N7testing8internal": ("libgtest", "Google"), b"N7testing": ("libgmock", "Google"), b"N4YAML": ("libyaml-cpp", "Jesse Beder"),
    b"N6spdlog": ("libspdlog", "Gabi Melman"), b"N5torch": ("torch", "Facebook"), b"xxh3_64": ("libxxhash", "Yann Collet"),
    b"": ("libstdc++", "GNU Compiler Collection"),
}
NOTICES_OF_FILES = {"models/half_cheetah.xml": ("gymnasium", "Farama"),
                    "dm_control/ball_in_cup.xml": ("dm_control", "Apache License"), "plotly.min.js": ("plotly", "MIT")}


class Chroot(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.torch = pathlib.Path(cached("LibTorch_CPU_LIBRARY")).parent.parent
        temporary = tempfile.TemporaryDirectory(prefix="reverie-chroot-")
        cls.addClassCleanup(temporary.cleanup)
        cls.folder = pathlib.Path(temporary.name)
        archive = cls.folder / "bundle.tar.gz"
        made = subprocess.run([sys.executable, SOURCE / "scripts/lib/package.py", "--build", BUILD, "--root", SOURCE,
                               "--output", archive], capture_output=True, text=True)
        if made.returncode != 0:
            raise RuntimeError(made.stdout + made.stderr)
        print(made.stdout, flush=True)
        cls.root = cls.folder / "root"
        for name in ("site/torch", "site/nvidia", "proc", "dev", "tmp", "somewhere/else"):
            (cls.root / name).mkdir(parents=True)
        subprocess.run(["tar", "-C", cls.root / "somewhere/else", "-xf", archive], check=True)
        (cls.bundle,) = (cls.root / "somewhere/else").iterdir()
        cls.inside = pathlib.Path("/") / cls.bundle.relative_to(cls.root)

    def built(self):
        """What the build has made, the library that the tests share among it."""
        return [*self.bundle.glob("bin/*"), *self.bundle.glob("tests/*_test"), self.bundle / "lib/libreverie_shared.so"]

    def start(self, program, *arguments, environment={"REVERIE_TORCH": "/site"}):
        return subprocess.run([*NAMESPACE, "/bin/sh", "-c", INSIDE, "sh", self.root, self.torch, self.inside / program,
                               *arguments],
                              capture_output=True, text=True, timeout=600,
                              env={"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin", **environment})

    def passes(self, program, *arguments):
        result = self.start(program, *arguments)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        return result.stdout

    def test_the_program_is_the_one_that_was_built(self):
        built = subprocess.run([BUILD / "reverie", "--version"], capture_output=True, text=True, check=True).stdout
        self.assertEqual(self.passes("reverie", "--version"), built)

    def test_training_gives_the_numbers_that_it_gives_outside(self):
        self.passes("reverie", "train", self.inside / "configs/quickstart.yaml", "--run-dir", "/tmp/run", *SHORT)
        outside = self.folder / "run"
        subprocess.run([BUILD / "reverie", "train", SOURCE / "configs/quickstart.yaml", "--run-dir", outside, *SHORT],
                       capture_output=True, check=True)
        inside = self.root / "tmp/run"
        self.assertEqual(json.loads((inside / "run.json").read_text())["status"], "finished")
        self.assertEqual(evaluations(inside / "eval.csv"), evaluations(outside / "eval.csv"))
        self.assertEqual(evaluations(inside / "train.csv"), evaluations(outside / "train.csv"))

    def test_a_sweep_starts_its_runs(self):
        sweep = self.root / "tmp/sweep.yaml"
        sweep.write_text(f"base: {self.inside}/configs/quickstart.yaml\nseeds: [5]\nout: /tmp/sweep\n"
                         "overrides: {total_steps: 510, model.max_epochs: 2, device: cpu}\n")
        self.passes("reverie", "sweep", "/tmp/sweep.yaml")
        (record,) = (self.root / "tmp/sweep").rglob("run.json")
        self.assertEqual(json.loads(record.read_text())["status"], "finished")

    def test_check_gpu_runs_tests_a_training_and_benchmarks(self):
        said = self.passes("check-gpu", *ONE_BENCHMARK, "--output", "/tmp/check")
        output = self.root / "tmp/check"
        self.assertEqual((output / "summary.txt").read_text(), said)
        tests = [line.split("\t") for line in (self.bundle / "tests/programs.txt").read_text().splitlines()]
        self.assertEqual(re.findall(r"(?m)^test (\S+)", said),
                         [name for name, labels, *_ in tests if "gpu" in labels.split(",")])
        self.assertRegex(said, r"(?m)^torch +2\..* in /site/torch$")
        self.assertRegex(said, r"(?m)^train --device (cpu|cuda) +passed")
        self.assertRegex(said, r"(?m)^benchmarks +passed, 1 in")
        self.assertRegex(said, r"(?m)^in all .* 0 failed")
        self.assertEqual(json.loads((output / "train/run.json").read_text())["status"], "finished")
        self.assertEqual(len(json.loads((output / "benchmarks.json").read_text())["benchmarks"]), 1)
        again = self.start("check-gpu", "--output", "/tmp/check")
        self.assertEqual((again.returncode, again.stderr),
                         (2, "reverie: /tmp/check is not empty; name another folder with --output\n"))

    def test_test_programs_pass_and_one_that_fails_fails_the_check(self):
        listed = self.bundle / "tests/programs.txt"
        original = listed.read_text()
        self.addCleanup(listed.write_text, original)
        # Those that use the model files, yaml-cpp and spdlog; with all of them this would take minutes.
        chosen = ["env/mujoco/simulation", "config/config", "core/log"]
        lines = [line for line in original.splitlines() if line.split("\t")[0] in chosen]
        made_up = ["made/up\tunit\t\tbin/reverie\tno-such-command",
                   "made/environment\tunit\tA=1;REVERIE_MODEL_DIR=/nowhere\ttests/env_mujoco_simulation_test"]
        listed.write_text("\n".join([*lines, *made_up]) + "\n")
        result = self.start("check-gpu", "--all", *ONE_BENCHMARK, "--output", "/tmp/all")
        said = result.stdout
        self.assertEqual(result.returncode, 1, said + result.stderr)
        for name in chosen:
            self.assertRegex(said, rf"(?m)^test {name} +passed, [1-9]")
        self.assertRegex(said, r"(?m)^test made/up +FAILED \(exit code [0-9]+\)")
        self.assertRegex(said, r"(?m)^test made/environment +FAILED \(exit code [0-9]+\)")
        self.assertIn("/nowhere", (self.root / "tmp/all/tests/made_environment.log").read_text())
        self.assertIn(" 2 failed", said)

    def test_a_machine_without_torch_is_told_so(self):
        result = self.start("reverie", "--version", environment={})
        self.assertEqual(result.returncode, 2)
        self.assertIn("no torch package: python3 is not on PATH", result.stderr)
        result = self.start("reverie", "--version", environment={"REVERIE_TORCH": "/tmp"})
        self.assertEqual(result.returncode, 2)
        self.assertIn("REVERIE_TORCH is /tmp; expected the folder of a torch package", result.stderr)

    def test_another_torch_is_refused(self):
        library = self.root / "tmp/torch/lib/libtorch_cpu.so"
        library.parent.mkdir(parents=True)
        library.touch()
        (self.root / "tmp/torch/version.py").write_text("__version__ = '1.13.1+cu117'\n")
        result = self.start("reverie", "--version", environment={"REVERIE_TORCH": "/tmp/torch"})
        self.assertEqual(result.returncode, 2)
        self.assertIn("torch in /tmp/torch is 1.13.1+cu117; this bundle needs 2.", result.stderr)

    def test_any_program_of_the_bundle_can_be_run_alone(self):
        self.assertIn("[  PASSED  ]", self.passes("run", "tests/core_rng_test"))
        self.assertIn("Gemm", self.passes("run", "bin/reverie_bench", "--benchmark_filter=Gemm/m:256.*threads:1",
                                          "--benchmark_min_time=0"))
        result = self.start("run", "tests/no_such_test")
        self.assertEqual(result.returncode, 2)
        self.assertIn("not tests/no_such_test", result.stderr)

    def test_the_driver_of_the_machine_is_found(self):
        """Where distributions put it, by the loader's cache, and by the user's search path."""
        if "CUDA yes" not in self.passes("reverie", "--version"):
            self.skipTest("a build without CUDA looks for no driver")
        for folder in ("usr/lib64", "opt/cached", "opt/users"):
            with self.subTest(folder), contextlib.ExitStack() as stack:
                library = self.root / folder / "libcuda.so.1"
                library.parent.mkdir(parents=True, exist_ok=True)
                stack.callback(library.unlink)
                subprocess.run([cached("CMAKE_CXX_COMPILER"), "-shared", "-nostdlib", "-Wl,-soname,libcuda.so.1", "-o",
                                library, "-xc", "/dev/null"], check=True)
                environment = {"REVERIE_TORCH": "/site", "LD_DEBUG": "libs"}
                if folder == "opt/cached":
                    cache = self.root / "etc/ld.so.cache"
                    cache.parent.mkdir()
                    stack.callback(cache.unlink)
                    (cache.parent / "ld.so.conf").write_text("/opt/cached\n")
                    subprocess.run(["/sbin/ldconfig", "-X", "-r", self.root], check=True)
                elif folder == "opt/users":
                    environment["LD_LIBRARY_PATH"] = "/opt/users"
                result = self.start("reverie", "train", self.inside / "configs/quickstart.yaml", "--device", "cuda",
                                    "--run-dir", "/tmp/none", environment=environment)
                self.assertRegex(result.stderr, rf"(?m)calling init: /{folder}/libcuda\.so\.1$")

    def test_all_that_it_carries_has_its_notice(self):
        notices = {path.relative_to(self.bundle / "licenses"): path.read_text(errors="replace")
                   for path in (self.bundle / "licenses").rglob("*") if path.is_file()}
        self.assertNotIn("", notices.values())

        def check(what, folder, words):
            texts = [text for path, text in notices.items() if path.parts[0].startswith(folder)]
            self.assertTrue(any(words in text for text in texts), f"{what}: no notice in licenses/{folder}* has the words {words}")

        for library in set((self.bundle / "lib").iterdir()) - set(self.built()):
            known = [notice for name, notice in NOTICES_OF_LIBRARIES.items() if library.name.startswith(name)]
            self.assertEqual(len(known), 1, f"{library.name}: which notice has it?")
            check(library.name, *known[0])
        programs = b"".join(path.read_bytes() for path in self.built())
        for mark, notice in NOTICES_OF_CODE.items():
            self.assertIn(mark, programs)
            check(mark, *notice)
        for file, notice in NOTICES_OF_FILES.items():
            self.assertTrue((self.bundle / file).exists(), file)
            check(file, *notice)
        everything = "\n".join(notices.values())
        for text in ("GNU GENERAL PUBLIC LICENSE\n +Version 3", "GNU LESSER GENERAL PUBLIC LICENSE\n +Version 2.1",
                     "GNU LESSER GENERAL PUBLIC LICENSE\n +Version 3"):
            self.assertRegex(everything, text)
        for text in re.findall(r"/usr/share/common-licenses/([\w.+-]*\w)", everything):
            if pathlib.Path("/usr/share/common-licenses", text).is_file():
                self.assertIn(pathlib.Path("common-licenses", text), notices)
        # Of a wheel with several notices each is there, as it is in the wheel.
        libmujoco = pathlib.Path(cached("MuJoCo_LIBRARY")).resolve()
        for info in libmujoco.parents[1].glob("mujoco*.dist-info"):
            if f"mujoco/{libmujoco.name}" in (info / "RECORD").read_text():
                files = [path.read_text() for path in (info / "licenses").iterdir()]
                self.assertGreater(len(files), 1)
                for text in files:
                    self.assertIn(text, notices.values())

    def test_nothing_is_looked_for_where_it_was_built(self):
        for program in self.built():
            dynamic = subprocess.run(["readelf", "--dynamic", program], capture_output=True, text=True, check=True)
            self.assertNotRegex(dynamic.stdout, "RUNPATH|RPATH", program)


if __name__ == "__main__":
    NAMESPACE = namespace()
    if NAMESPACE is None:
        print("SKIPPED: neither root nor namespaces for users are at hand, one of which it takes to mount the torch "
              "package in an empty root folder")
        sys.exit(SKIPPED)
    unittest.main(argv=sys.argv[:1] + sys.argv[3:], verbosity=2)
