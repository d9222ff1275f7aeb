#include "reverie/run/tensorboard.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "reverie/core/host.h"

namespace reverie {
namespace {

constexpr std::array<uint32_t, 256> MakeCrcTable() {
  constexpr uint32_t kReversedPolynomial = 0x82f63b78;
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) {
      crc = (crc >> 1U) ^ ((crc & 1U) != 0 ? kReversedPolynomial : 0);
    }
    table[i] = crc;
  }
  return table;
}

constexpr std::array<uint32_t, 256> kCrcTable = MakeCrcTable();

template <class T>
void AppendLittleEndian(std::string& out, T value) {
  for (size_t i = 0; i < sizeof(T); ++i) {
    out += static_cast<char>(value >> (8 * i) & 0xff);
  }
}

void AppendVarint(std::string& out, uint64_t value) {
  while (value >= 0x80) {
    out += static_cast<char>((value & 0x7f) | 0x80);
    value >>= 7U;
  }
  out += static_cast<char>(value);
}

enum WireType : uint32_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

void AppendKey(std::string& out, uint32_t field, WireType type) { AppendVarint(out, field << 3U | type); }

void AppendInt(std::string& out, uint32_t field, int64_t value) {
  AppendKey(out, field, kVarint);
  AppendVarint(out, static_cast<uint64_t>(value));
}

void AppendBytes(std::string& out, uint32_t field, std::string_view bytes) {
  AppendKey(out, field, kBytes);
  AppendVarint(out, bytes.size());
  out += bytes;
}

constexpr std::string_view kFileName = "events.out.tfevents.";

double UnixTime() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

// Digits of one length, so that names are in the order of their times.
std::string TimeInName(double time) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%017.6f", time);
  return text.data();
}

// The event file that is read last, by its name; empty if there is none.
std::filesystem::path LastFile(const std::filesystem::path& folder) {
  std::filesystem::path last;
  std::error_code missing;  // then writing there will say so
  for (const auto& entry : std::filesystem::directory_iterator(folder, missing)) {
    if (entry.path().filename().string().starts_with(kFileName)) {
      last = std::max(last, entry.path());
    }
  }
  return last;
}

uint32_t MaskedCrc(std::string_view bytes) { return std::rotr(Crc32c(bytes), 15) + 0xa282ead8U; }

// The latest wall time in an event file, up to where it is damaged; 0 if there is none.
double LatestWallTime(const std::filesystem::path& path) {
  constexpr uint64_t kLongest = 1U << 30U;  // of what a damaged length may say
  constexpr char kWallTimeKey = 1U << 3U | kFixed64;
  std::ifstream file(path, std::ios::binary);
  const auto read = [&file](auto& number) { return bool(file.read(reinterpret_cast<char*>(&number), sizeof number)); };
  double latest = 0;
  uint64_t length = 0;
  uint32_t length_crc = 0;
  uint32_t crc = 0;
  const auto length_is_whole = [&] {
    return length_crc == MaskedCrc({reinterpret_cast<const char*>(&length), sizeof length}) && length < kLongest;
  };
  for (std::string event; read(length) && read(length_crc) && length_is_whole();) {
    event.resize(length);
    if (!file.read(event.data(), static_cast<std::streamsize>(length)) || !read(crc) || crc != MaskedCrc(event)) {
      break;
    }
    double time = 0;
    if (event.size() > sizeof time && event[0] == kWallTimeKey) {  // it comes first in an event
      std::memcpy(&time, event.data() + 1, sizeof time);
      latest = std::max(latest, time);
    }
  }
  return latest;
}

}  // namespace

uint32_t Crc32c(std::string_view bytes) {
  uint32_t crc = 0xffffffff;
  for (const char c : bytes) {
    crc = kCrcTable[(crc ^ static_cast<unsigned char>(c)) & 0xffU] ^ (crc >> 8U);
  }
  return ~crc;
}

TensorBoardWriter::TensorBoardWriter(const std::filesystem::path& folder, std::optional<int64_t> restart_step,
                                     std::function<double()> clock)
    : clock_(clock ? std::move(clock) : UnixTime) {
  const std::filesystem::path last = LastFile(folder);
  time_ = LatestWallTime(last);
  ahead_ = std::max(0.0, time_ - clock_());
  double begin = Now();
  // Readers order files by name, which has to be beyond the last one's.
  const std::string name_of_last = last.filename().string();
  if (std::string(kFileName) + TimeInName(begin) <= name_of_last) {
    std::from_chars(name_of_last.data() + kFileName.size(), name_of_last.data() + name_of_last.size(), begin);
    begin += 1;
  }
  path_ = folder / (std::string(kFileName) + TimeInName(begin) + "." + HostName());
  file_.rdbuf()->pubsetbuf(nullptr, 0);  // what could not be written is not tried again when the file is closed
  errno = 0;
  file_.open(path_, std::ios::binary | std::ios::trunc);
  if (!file_) {
    throw std::runtime_error("cannot write " + path_.string() + ": " + std::strerror(errno));
  }
  std::string version = NewEvent(0);
  AppendBytes(version, 3, "brain.Event:2");
  WriteRecord(version);
  if (restart_step) {
    constexpr int64_t kStart = 1;
    std::string session_log;
    AppendInt(session_log, 1, kStart);
    std::string event = NewEvent(*restart_step);
    AppendBytes(event, 7, session_log);
    WriteRecord(event);
  }
}

double TensorBoardWriter::Now() {
  time_ = std::max(time_, clock_() + ahead_);
  return time_;
}

// Event: wall_time = 1, step = 2.
std::string TensorBoardWriter::NewEvent(int64_t step) {
  std::string event;
  AppendKey(event, 1, kFixed64);
  AppendLittleEndian(event, std::bit_cast<uint64_t>(Now()));
  AppendInt(event, 2, step);
  return event;
}

void TensorBoardWriter::Append(int64_t step, const Metrics& scalars) {
  std::string summary;
  for (const auto& [tag, number] : scalars) {
    std::string value;
    AppendBytes(value, 1, tag);
    AppendKey(value, 2, kFixed32);
    AppendLittleEndian(value, std::bit_cast<uint32_t>(static_cast<float>(number)));
    AppendBytes(summary, 1, value);
  }
  std::string event = NewEvent(step);
  AppendBytes(event, 5, summary);
  WriteRecord(event);
}

void TensorBoardWriter::WriteRecord(std::string_view payload) {
  std::string length;
  AppendLittleEndian(length, static_cast<uint64_t>(payload.size()));
  std::string record = length;
  AppendLittleEndian(record, MaskedCrc(length));
  record += payload;
  AppendLittleEndian(record, MaskedCrc(payload));
  if (!file_) {
    throw std::runtime_error("cannot write " + path_.string() + " after the write that failed");
  }
  errno = 0;
  file_ << record << std::flush;
  if (!file_) {
    throw std::runtime_error("cannot write " + path_.string() + ": " + std::strerror(errno));
  }
}

}  // namespace reverie
