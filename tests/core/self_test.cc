#include "reverie/core/self.h"

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/auxv.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>

#include "reverie/core/shell.h"

namespace reverie {
namespace {

namespace fs = std::filesystem;

constexpr char kEcho[] = "REVERIE_TEST_ECHO";
constexpr char kEchoFilter[] = "--gtest_filter=Self.Echo";

std::string CommandLine(const std::vector<std::string>& words) {
  std::string line;
  for (const std::string& word : words) {
    line += ShellQuoted(word) + ' ';
  }
  return line;
}

// What SelfCommand(), LauncherCommand() or CalledAs() says in a process that was started by `words`.
std::string CommandOf(std::vector<std::string> words, const std::string& which = "self",
                      const std::string& environment = "") {
  words.emplace_back(kEchoFilter);
  const std::string output = ShellOutput(environment + " " + kEcho + "=" + which + " " + CommandLine(words));
  const size_t begin = output.find("<") + 1;
  return output.substr(begin, output.find(">") - begin);
}

fs::path Loader() {
  Dl_info info{};
  dladdr(reinterpret_cast<void*>(getauxval(AT_BASE)), &info);
  return fs::canonical(info.dli_fname);
}

const fs::path& Program() {
  static const fs::path program = fs::read_symlink("/proc/self/exe");
  return program;
}

// What the tests below start, not a test of its own.
TEST(Self, Echo) {
  if (const char* what = std::getenv(kEcho)) {
    std::cout << "<" << (*what == 'c' ? CalledAs() : CommandLine(*what == 'l' ? LauncherCommand() : SelfCommand()))
              << ">";
  }
}

TEST(Self, AProgramThatWasStartedByItsPathIsThatPath) {
  EXPECT_THAT(SelfCommand(), testing::ElementsAre(Program().string()));
  // Whatever its arguments and its name are.
  EXPECT_EQ(CommandOf({Program(), Program()}), CommandLine({Program()}));
  EXPECT_EQ(CommandOf({"env", "-C", Program().parent_path(), "-S", "./" + Program().filename().string()}),
            CommandLine({Program()}));
}

TEST(Self, AProgramThatWasStartedThroughALoaderIsStartedThroughItAgain) {
  if (getauxval(AT_BASE) == 0) {
    GTEST_SKIP() << "these tests were started through a loader themselves";
  }
  const std::vector<std::string> words = {Loader(), "--argv0", "a name", "--library-path", "/no where:/nowhere",
                                          Program()};
  EXPECT_EQ(CommandOf(words), CommandLine(words));
  // What it says starts it again, from another folder too.
  EXPECT_EQ(CommandOf({"sh", "-c", "exec " + CommandOf(words) + kEchoFilter, "sh"}), CommandLine(words));
  EXPECT_EQ(CommandOf({"env", "-C", Program().parent_path(), Loader(), "./" + Program().filename().string()}),
            CommandLine({Loader(), Program().parent_path() / "." / Program().filename()}));
}

TEST(Self, IsCalledByTheNameThatItsUserGave) {
  const std::string name = Program().filename();
  EXPECT_EQ(CommandOf({"env", "-C", Program().parent_path(), "./" + name}, "called"), "./" + name);
  EXPECT_EQ(CommandOf({Program()}, "called", "REVERIE_CALLED_AS=scripts/reverie"), "scripts/reverie");
  if (getauxval(AT_BASE) != 0) {
    const std::vector<std::string> through_loader = {Loader(), Program()};
    EXPECT_EQ(CommandOf(through_loader, "called", "REVERIE_LAUNCHER=/bundle/reverie"), "/bundle/reverie");
    EXPECT_EQ(CommandOf(through_loader, "called") + " ", CommandLine(through_loader));
  }
  EXPECT_EQ(CommandOf({Program()}, "called", "REVERIE_CALLED_AS='my scripts/reverie'"), "'my scripts/reverie'");
}

TEST(Self, AnotherMachineStartsTheLauncherOfABundle) {
  if (getauxval(AT_BASE) == 0) {
    GTEST_SKIP() << "these tests were started through a loader themselves";
  }
  const std::string launcher = "REVERIE_LAUNCHER=/bundle/reverie";
  const std::vector<std::string> through_loader = {Loader(), Program()};
  EXPECT_EQ(CommandOf(through_loader, "launcher", launcher), CommandLine({"/bundle/reverie"}));
  EXPECT_EQ(CommandOf(through_loader, "launcher"), CommandLine(through_loader));
  // Another program that a bundle's started is not the bundle's.
  EXPECT_EQ(CommandOf({Program()}, "launcher", launcher), CommandLine({Program()}));
}

}  // namespace
}  // namespace reverie
