// Compiled without LibTorch's include folders: its fmt is not the one that spdlog was built with.
#include "reverie/core/log.h"

#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/ringbuffer_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>

namespace reverie {
namespace {

// Wraps the console's sink to wipe the live line first.
class ConsoleSink : public spdlog::sinks::base_sink<std::mutex> {
 public:
  ConsoleSink() : stderr_(std::make_shared<spdlog::sinks::stderr_color_sink_st>()) {}
  void SetWipe(std::function<void()> wipe) {
    const std::lock_guard<std::mutex> lock(mutex_);
    wipe_ = std::move(wipe);
  }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    if (wipe_) {
      wipe_();
    }
    stderr_->log(message);
  }
  void flush_() override { stderr_->flush(); }
  void set_pattern_(const std::string& pattern) override { stderr_->set_pattern(pattern); }
  void set_formatter_(std::unique_ptr<spdlog::formatter> formatter) override {
    stderr_->set_formatter(std::move(formatter));
  }

 private:
  std::shared_ptr<spdlog::sinks::stderr_color_sink_st> stderr_;
  std::function<void()> wipe_;
};

constexpr size_t kKeptMessages = 100;

struct Sinks {
  std::shared_ptr<ConsoleSink> console = std::make_shared<ConsoleSink>();
  std::mutex file_mutex;
  std::shared_ptr<spdlog::sinks::basic_file_sink_mt> file;
  bool file_failed = false;
  std::unique_ptr<spdlog::sinks::ringbuffer_sink_st> before_file = NewRing();

  static std::unique_ptr<spdlog::sinks::ringbuffer_sink_st> NewRing() {
    return std::make_unique<spdlog::sinks::ringbuffer_sink_st>(kKeptMessages);
  }
  Sinks() { console->set_pattern("%^%l%$: %v"); }
};

Sinks& TheSinks() {
  static Sinks sinks;
  return sinks;
}

// A full disk must not keep anything from being said on the console, or saved: it is said there, once.
void WriteToFile(Sinks& sinks, const spdlog::details::log_msg& record) {
  try {
    sinks.file->log(record);
    sinks.file->flush();
    sinks.file_failed = false;
  } catch (const spdlog::spdlog_ex& error) {
    if (!std::exchange(sinks.file_failed, true)) {
      const std::string text = std::string("log.txt cannot be written: ") + error.what();
      sinks.console->log({"reverie", spdlog::level::err, text});
    }
  }
}

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
    case LogLevel::kInfo:
      break;
  }
  return spdlog::level::info;
}

}  // namespace

void Log(LogLevel level, std::string_view message) {
  const spdlog::details::log_msg record("reverie", ToSpdlog(level),
                                        spdlog::string_view_t(message.data(), message.size()));
  Sinks& sinks = TheSinks();
  if (sinks.console->should_log(record.level)) {
    sinks.console->log(record);
    sinks.console->flush();
  }
  const std::lock_guard<std::mutex> lock(sinks.file_mutex);
  if (sinks.file) {
    WriteToFile(sinks, record);
  } else {
    sinks.before_file->log(record);
  }
}

void LogToFile(const std::filesystem::path& path) {
  std::shared_ptr<spdlog::sinks::basic_file_sink_mt> file;
  try {
    file = std::make_shared<spdlog::sinks::basic_file_sink_mt>(path.string(), /*truncate=*/false);
  } catch (const spdlog::spdlog_ex& error) {
    throw std::runtime_error("cannot open the log file " + path.string() + ": " + error.what());
  }
  file->set_pattern("%Y-%m-%d %H:%M:%S.%e %l: %v");
  Sinks& sinks = TheSinks();
  const std::lock_guard<std::mutex> lock(sinks.file_mutex);
  sinks.file = std::move(file);
  for (const spdlog::details::log_msg_buffer& message : sinks.before_file->last_raw()) {
    WriteToFile(sinks, message);
  }
  sinks.before_file = Sinks::NewRing();
}

void StopLogToFile() {
  Sinks& sinks = TheSinks();
  const std::lock_guard<std::mutex> lock(sinks.file_mutex);
  sinks.file.reset();
}

void SetConsoleLevel(LogLevel level) { TheSinks().console->set_level(ToSpdlog(level)); }

void SetBeforeConsoleMessage(std::function<void()> wipe) { TheSinks().console->SetWipe(std::move(wipe)); }

}  // namespace reverie
