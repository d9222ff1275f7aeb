"""That loops marked REVERIE_CLONES are compiled for AVX-512, AVX2 and any processor, by each compiler at hand, and that
the one that the loader picks gives the right numbers.

usage: clones_test.py SOURCE_DIR COMPILER...
"""
import pathlib
import shutil
import subprocess
import sys
import tempfile

PROGRAM = """
#include <cstdint>
#include <cstdio>
#include "core/vectorize.h"
namespace {
REVERIE_CLONES void Inside(float* __restrict y, const float* __restrict x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] += 3.0F * x[i];
}
}  // namespace
REVERIE_CLONES void Outside(float* __restrict y, const float* __restrict x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] -= x[i];
}
int main() {
  float x[100], y[100], sum = 0;
  for (int i = 0; i < 100; ++i) { x[i] = static_cast<float>(i); y[i] = 1; }
  Inside(y, x, 100);
  Outside(y, x, 100);
  for (float one : y) sum += one;
  std::printf("%g\\n", sum);
}
"""
KINDS = [("avx512f", "arch_x86_64_v4"), ("avx2", "arch_x86_64_v3"), ("default",)]

source = pathlib.Path(sys.argv[1])
compilers = [compiler for compiler in dict.fromkeys(sys.argv[2:]) if shutil.which(compiler)]
assert compilers
for compiler in compilers:
    with tempfile.TemporaryDirectory() as folder:
        file, program = pathlib.Path(folder) / "clones.cc", pathlib.Path(folder) / "clones"
        file.write_text(PROGRAM)
        subprocess.run([compiler, "-std=c++20", "-O3", "-Wall", "-Wextra", "-Werror", f"-I{source}/src", file, "-o", program], check=True)
        symbols = subprocess.run(["nm", program], check=True, capture_output=True, text=True).stdout
        for function in ("Inside", "Outside"):
            for names in KINDS:
                assert any(function in line and f".{name}" in line for line in symbols.splitlines() for name in names), (
                    f"{compiler}: {function} has no clone for {' or '.join(names)}:\n{symbols}")
        code = subprocess.run(["objdump", "-d", "--no-show-raw-insn", program], check=True, capture_output=True, text=True).stdout
        assert "%zmm" in code and "%ymm" in code, f"{compiler}: no wide vectors"
        said = subprocess.run([program], check=True, capture_output=True, text=True).stdout
        assert float(said) == 100 + 2 * sum(range(100)), said
