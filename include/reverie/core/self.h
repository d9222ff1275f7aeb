// How this program was started, for those who start it again.
#ifndef REVERIE_CORE_SELF_H_
#define REVERIE_CORE_SELF_H_

#include <string>
#include <vector>

namespace reverie {

// The words of a command line that starts this program again, to be followed by its arguments: its absolute path or,
// where it was started through a dynamic loader as in a bundle, that loader, the loader's options and the program.
//
// On this machine `execv("/proc/self/exe", words)` starts what runs now even where another file has taken its path.
// Throws std::runtime_error where /proc cannot be read.
std::vector<std::string> SelfCommand();

// The same for another machine: where a bundle's launcher started this program, as REVERIE_LAUNCHER says, that
// launcher, which looks there for LibTorch and a GPU's driver.
std::vector<std::string> LauncherCommand();

// What the user called this program by, as words of a shell, for the commands that it proposes: REVERIE_CALLED_AS,
// which a script that starts it sets, else the first word of its command line, or LauncherCommand() where that is a
// loader.
std::string CalledAs();

}  // namespace reverie

#endif  // REVERIE_CORE_SELF_H_
