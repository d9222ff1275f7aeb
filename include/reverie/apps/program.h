// The program `reverie`, as a function: a project that registers environments of its own gets the same commands.
//
//   #include <reverie/apps/program.h>
//   #include <reverie/env/registry.h>
//
//   int main(int argc, char** argv) {
//     reverie::EnvRegistry envs = reverie::BuiltinEnvs();
//     envs.Add<MyEnv>("MyEnv-v0", "what it is");
//     return reverie::RunProgram(argc, argv, envs);
//   }
//
// Unless GOMP_SPINCOUNT or OMP_WAIT_POLICY is in its environment, such a program starts itself anew before main(),
// once, with a bound on how long OpenMP's threads look for work before they sleep. RunProgram is for executables: what
// does that (.preinit_array) cannot stand in a shared object.
#ifndef REVERIE_APPS_PROGRAM_H_
#define REVERIE_APPS_PROGRAM_H_

namespace reverie {

class EnvRegistry;  // reverie/env/registry.h

// Returns the exit code: 0 done, 1 failed while running, 2 bad input, 3 done without runs that cannot be read, or 128 +
// the number of the signal that stopped it (130 for Ctrl-C, 143 for SIGTERM) with a checkpoint written. Throws nothing;
// what went wrong is one line on stderr.
int RunProgram(int argc, char** argv, const EnvRegistry& envs);

// The same with BuiltinEnvs() alone.
int RunProgram(int argc, char** argv);

}  // namespace reverie

#endif  // REVERIE_APPS_PROGRAM_H_
