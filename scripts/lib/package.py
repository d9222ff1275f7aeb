"""Packs what is built into a bundle. Called by scripts/package, and by the test package/chroot.

Needs a finished build with tests. Layout of the bundle, reverie-<version>/:
    reverie, run, check-gpu   one static program under three names (package/main.cc)
    bin/                      the program and the benchmarks
    tests/                    test programs, and programs.txt: how CTest runs each (package/check_gpu.cc has the format)
    lib/                      loader, C and C++ libraries, what the programs link beside torch
    models/, dm_control/      model files of Gymnasium's MuJoCo tasks and of dm_control's suite
    configs/                  configurations
    plotly.min.js             what draws the charts of a report
    LICENSE, licenses/        ours, and those of every package of which something is in the bundle, a folder each
"""

import argparse
import functools
import gzip
import json
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile

LIMIT_MIB = 64
LOADER = "ld-linux-x86-64.so.2"  # as package/bundle.cc has it
# What drivers ask for by name at run time; it has to be of the same C library.
FOR_DRIVERS = ["libdl.so.2", "libpthread.so.0", "libresolv.so.2", "librt.so.1", "libutil.so.1"]
# Tests with these labels need nothing but their program; the others need Python or the source tree.
SELF_CONTAINED = {"gpu", "unit", "contract"}
COMPRESSION = 6


def fail(message):
    sys.exit(f"reverie: {message}")


def output_of(*command):
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if result.returncode != 0:
        fail(f"failed: {' '.join(map(str, command))}\n{result.stdout}{result.stderr}")
    return result.stdout


class Cache:
    """The variables of a build folder."""

    def __init__(self, build):
        path = build / "CMakeCache.txt"
        if not path.exists():
            fail(f"{build} is not a build folder: it has no CMakeCache.txt")
        self.values = dict(re.findall(r"^([^#/:\n][^:\n]*):[A-Z]+=(.*)$", path.read_text(), re.MULTILINE))

    def __getitem__(self, name):
        if not self.values.get(name) or self.values[name].endswith("-NOTFOUND"):
            fail(f"CMakeCache.txt has no {name}")
        return self.values[name]


class Bundle:
    def __init__(self, root, build, folder):
        self.root, self.build, self.folder = root, build, folder
        self.cache = Cache(build)
        self.torch = pathlib.Path(self.cache["LibTorch_CPU_LIBRARY"]).parent.parent
        self.programs = []
        self.libraries = {}

    def add_program(self, source, target):
        if not source.exists():
            fail(f"{source} is missing: build first; a build with a sanitizer makes no bundle")
        target = self.folder / target
        target.parent.mkdir(parents=True, exist_ok=True)
        output_of(self.cache["CMAKE_STRIP"], "-o", target, source)
        self.programs.append(target)

    def add_launcher(self):
        self.add_program(self.build / "reverie_launcher", "reverie")
        self.programs.clear()  # static, and with no run path
        for name in ("run", "check-gpu"):
            (self.folder / name).symlink_to("reverie")

    def add_tests(self):
        """Test programs that need nothing but themselves, with the arguments and variables that CTest gives them."""
        listed = json.loads(output_of(self.cache["CMAKE_CTEST_COMMAND"], "--test-dir", self.build,
                                      "--show-only=json-v1"))
        lines, left_out, added = [], [], set()
        for test in listed["tests"]:
            properties = {p["name"]: p["value"] for p in test.get("properties", [])}
            labels = properties.get("LABELS", [])
            command = [pathlib.Path(part) if i == 0 else part for i, part in enumerate(test["command"])]
            if not SELF_CONTAINED & set(labels) or not command[0].is_relative_to(self.build):
                if "gpu" in labels:
                    fail(f"test {test['name']} has the label gpu, but {command[0]} is no program of the build")
                left_out.append(test["name"])
                continue
            target = f"tests/{command[0].name}"
            if command[0].parent == self.build:
                target = f"bin/{command[0].name}"
            elif target not in added:
                self.add_program(command[0], target)
                added.add(target)
            environment = ";".join(properties.get("ENVIRONMENT", []))
            lines.append("\t".join([test["name"], ",".join(labels), environment, target, *command[1:]]))
        (self.folder / "tests/programs.txt").write_text("".join(line + "\n" for line in lines))
        return len(lines), left_out

    def add_libraries(self):
        """Every library that the programs load and torch does not bring, the C library and its loader among them."""
        torchs = {path.name for folder in [self.torch / "lib", *self.torch.parent.glob("nvidia/*/lib")]
                  for path in folder.iterdir()}
        found = {}
        for line in output_of("ldd", *self.programs).splitlines():
            match = re.match(r"\s+(\S+) => (.*?)(?: \(0x[0-9a-f]+\))?$", line)
            if match and match[2] == "not found":
                fail(f"ldd does not find {match[1]}")
            if match:
                found[match[1]] = pathlib.Path(match[2])
            elif loader := re.match(rf"\s+(\S*/{re.escape(LOADER)}) ", line):
                found[LOADER] = pathlib.Path(loader[1])
        if LOADER not in found:
            fail(f"the programs do not start through {LOADER}")
        for name in FOR_DRIVERS:
            found.setdefault(name, found["libc.so.6"].parent / name)
        (self.folder / "lib").mkdir()
        for name, path in sorted(found.items()):
            if name in torchs:
                continue
            if path.is_relative_to(self.build):
                self.add_program(path, f"lib/{name}")
                continue
            target = self.folder / "lib" / name
            shutil.copyfile(path.resolve(), target)
            target.chmod(0o755)
            self.libraries[name] = path

    def drop_run_paths(self):
        """Programs find libraries by the launcher's search path alone, not where they were built."""
        lines = [f'file(RPATH_REMOVE FILE "{path}")\n' for path in self.programs]
        script = self.folder / "drop_run_paths.cmake"
        script.write_text("".join(lines))
        output_of(self.cache["CMAKE_COMMAND"], "-P", script)
        script.unlink()

    def add_files(self):
        shutil.copytree(self.cache["REVERIE_MODEL_DIR"], self.folder / "models",
                        ignore=shutil.ignore_patterns("__pycache__", "*.py"))
        suite = pathlib.Path(self.cache["REVERIE_DM_CONTROL_DIR"])
        for path in [*suite.glob("*.xml"), *suite.glob("common/*.xml")]:
            target = self.folder / "dm_control" / path.relative_to(suite)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        shutil.copytree(self.root / "configs", self.folder / "configs")
        shutil.copyfile(self.cache["REVERIE_PLOTLY_JS"], self.folder / "plotly.min.js")
        shutil.copyfile(self.root / "package/README.md", self.folder / "README.md")
        shutil.copyfile(self.root / "LICENSE", self.folder / "LICENSE")

    def add_licenses(self):
        """The notices of every package of which something is in the bundle: a library, a file, or what a compiler has read,
        which is in the programs, by Ninja's record of it."""
        read = output_of(self.cache["CMAKE_MAKE_PROGRAM"], "-C", self.build, "-t", "deps")
        compiled = {(self.build / line.strip()).resolve() for line in read.splitlines() if line.startswith(" ")}
        carried = {path.resolve() for path in self.libraries.values()}
        carried |= {path for path in compiled if path.exists() and not path.is_relative_to(self.root)
                    and not path.is_relative_to(self.build)}
        carried |= {pathlib.Path(self.cache[name]).resolve() for name in
                    ("REVERIE_MODEL_DIR", "REVERIE_DM_CONTROL_DIR", "REVERIE_PLOTLY_JS")}
        licenses = self.folder / "licenses"
        packages = packages_of(carried)
        texts = set()
        for package, notices in packages.items():
            for name, notice in notices.items():
                target = licenses / package / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(notice, target)
                texts |= set(re.findall(r"/usr/share/common-licenses/([\w.+-]*\w)", target.read_text(errors="replace")))
        (licenses / "common-licenses").mkdir()
        for text in texts:  # a copyright page names some that no package has
            if (source := pathlib.Path("/usr/share/common-licenses") / text).is_file():
                shutil.copyfile(source, licenses / "common-licenses" / text)


def packages_of(paths):
    """The packages that the files belong to, each with its notices: {package: {name there: file}}. A package is Debian's, or
    a wheel, or else the nearest folder above the file in which a notice lies."""
    packages, owned = {}, set()
    # dpkg may know the file by its name from before /lib became a link to /usr/lib.
    names = {name: path for path in paths for name in (str(path), str(path).removeprefix("/usr"))}
    known = subprocess.run(["dpkg-query", "--search", *names], capture_output=True, text=True)
    for line in known.stdout.splitlines():
        owners, _, name = line.rpartition(": ")
        if name in names and not owners.startswith("diversion"):
            owned.add(names[name])
            for package in (owner.split(":")[0] for owner in owners.split(", ")):
                packages[package] = {"copyright": pathlib.Path("/usr/share/doc") / package / "copyright"}
    for path in sorted(paths - owned):
        for folder in path.parents:
            if wheel := wheels_in(folder).get(str(path.relative_to(folder))):
                packages[wheel.name.split("-")[0]] = notices_below(wheel, "**/*")
                break
            if notices := notices_below(folder, "*"):
                packages[folder.name] = notices
                break
        else:
            fail(f"{path} is in the bundle without a license: it is of no package, and none lies in a folder above it")
    return packages


@functools.cache
def wheels_in(folder):
    """The wheel of each file and folder in a folder into which wheels were unpacked: {name: its .dist-info}."""
    wheels = {}
    for info in [*folder.glob("*.dist-info"), *folder.glob("dist-info/*.dist-info")]:
        for line in (info / "RECORD").read_text().splitlines():
            name = pathlib.PurePosixPath(line.split(",")[0])
            if info.parent != folder:  # CUDA's packages, unpacked as one toolkit: without "nvidia/cu13/"
                name = name.relative_to(*name.parts[:2]) if len(name.parts) > 2 else name
            wheels |= {str(part): info for part in (name, *name.parents)}
    return wheels


@functools.cache
def notices_below(folder, pattern):
    return {str(path.relative_to(folder)): path for path in sorted(folder.glob(pattern))
            if path.is_file() and re.match("licen[cs]e|copying|copyright|notice|eula|third.?party", path.name, re.IGNORECASE)}


def pack(folder, output):
    """The same folder gives the same bytes."""
    def anonymous(entry):
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "root"
        entry.mtime = 0
        entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
        return entry

    with output.open("wb") as raw, gzip.GzipFile("", "wb", COMPRESSION, raw, mtime=0) as packed:
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
            archive.add(folder, folder.name, filter=anonymous)


def main():
    parser = argparse.ArgumentParser(prog="scripts/package", description="Makes the bundle of a build.")
    parser.add_argument("--build", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--root", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=pathlib.Path,
                        help="default build/<preset>/reverie-<version>-linux-x86_64.tar.gz")
    args = parser.parse_args()
    if platform.machine() != "x86_64":
        fail(f"a bundle is for x86_64; this machine is {platform.machine()}")

    build = args.build.resolve()
    name = f"reverie-{Cache(build)['CMAKE_PROJECT_VERSION']}"
    output = args.output or build / f"{name}-linux-x86_64.tar.gz"
    if not output.parent.is_dir():
        fail(f"{output} cannot be written: {output.parent} is not a folder")
    with tempfile.TemporaryDirectory(dir=build, prefix="package-") as temporary:
        folder = pathlib.Path(temporary) / name
        folder.mkdir()
        bundle = Bundle(args.root.resolve(), build, folder)
        bundle.add_launcher()
        bundle.add_program(build / "reverie", "bin/reverie")
        bundle.add_program(build / "reverie_bench", "bin/reverie_bench")
        tests, left_out = bundle.add_tests()
        bundle.add_libraries()
        bundle.drop_run_paths()
        bundle.add_files()
        bundle.add_licenses()
        partial = output.with_name(output.name + ".partial")
        pack(folder, partial)
    size = partial.stat().st_size / 2**20
    if size > LIMIT_MIB:
        partial.unlink()
        fail(f"the bundle has {size:.1f} MiB; expected at most {LIMIT_MIB}")
    partial.replace(output)
    print(f"{output}: {size:.1f} MiB, {tests} tests; left out, as they need Python or the source tree: "
          f"{', '.join(left_out)}")


if __name__ == "__main__":
    main()
