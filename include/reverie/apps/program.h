// The program `reverie`, as a function: a project that registers environments of its own gets the same commands.
//
//   int main(int argc, char** argv) {
//     reverie::EnvRegistry envs = reverie::BuiltinEnvs();
//     envs.Add<MyEnv>("MyEnv-v0", "what it is");
//     return reverie::RunProgram(argc, argv, envs);
//   }
//
// Unless GOMP_SPINCOUNT or OMP_WAIT_POLICY is in its environment, such a program starts itself anew before main(),
// once, with a bound on how long OpenMP's threads look for work before they sleep.
#ifndef REVERIE_APPS_PROGRAM_H_
#define REVERIE_APPS_PROGRAM_H_

#include "reverie/env/registry.h"

namespace reverie {

// Returns the exit code: 0 done, 1 failed while running, 2 bad input, 3 done without runs that cannot be read, 130 or
// 143 stopped by a signal with a checkpoint written. Throws nothing; what went wrong is one line on stderr.
int RunProgram(int argc, char** argv, const EnvRegistry& envs);

}  // namespace reverie

#endif  // REVERIE_APPS_PROGRAM_H_
