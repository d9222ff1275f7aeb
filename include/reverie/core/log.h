// The program's log: one line a message, to the console and, once a run has begun, to its log.txt.
//
// Messages are whole sentences, formatted by the caller. Safe to call from any thread.
#ifndef REVERIE_CORE_LOG_H_
#define REVERIE_CORE_LOG_H_

#include <filesystem>
#include <functional>
#include <string_view>

namespace reverie {

enum class LogLevel { kInfo, kWarning, kError };

void Log(LogLevel level, std::string_view message);
inline void LogInfo(std::string_view message) { Log(LogLevel::kInfo, message); }
inline void LogWarning(std::string_view message) { Log(LogLevel::kWarning, message); }
inline void LogError(std::string_view message) { Log(LogLevel::kError, message); }

// From here on every message is also appended to `path`, after the last hundred that no file has got. Throws
// std::runtime_error where it cannot be opened.
void LogToFile(const std::filesystem::path& path);

// Ends what LogToFile began; the file is complete when this returns.
void StopLogToFile();

// Least level shown on the console; a log file gets every level.
void SetConsoleLevel(LogLevel level);

// Called just before a message is written to the console, so that a live line can be wiped. Empty: nothing is called.
void SetBeforeConsoleMessage(std::function<void()> wipe);

}  // namespace reverie

#endif  // REVERIE_CORE_LOG_H_
