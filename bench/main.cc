// The project's benchmarks; scripts/bench runs them beside the peers'.
#include <benchmark/benchmark.h>

#include "core/bounded_spinning.h"
#include "core/kept_memory.h"
#include "reverie/core/log.h"

int main(int argc, char** argv) {
  reverie::SetConsoleLevel(reverie::LogLevel::kWarning);
  reverie::KeepFreedMemory();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
    return 2;
  }
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
