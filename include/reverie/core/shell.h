// Other programs, by the shell.
#ifndef REVERIE_CORE_SHELL_H_
#define REVERIE_CORE_SHELL_H_

#include <string>

namespace reverie {

// The text as one word of a POSIX shell, quoted where it has to be.
std::string ShellQuoted(const std::string& text);

// What the command prints, errors included, without the last line break. Throws std::runtime_error with that where its
// exit code is not 0.
std::string ShellOutput(const std::string& command);

}  // namespace reverie

#endif  // REVERIE_CORE_SHELL_H_
