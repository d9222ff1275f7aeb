// The reader of YAML: whatever the text, a config or std::invalid_argument; what is read is written back as it was.
#include <array>
#include <cstdlib>
#include <limits>
#include <stdexcept>

#include "reverie/config/reader.h"
#include "reverie/config/writer.h"

namespace reverie {
namespace {

enum class Colour { kRed, kDeepBlue };
std::vector<std::pair<std::string, Colour>> EnumNames(Colour) {
  return {{"red", Colour::kRed}, {"deep_blue", Colour::kDeepBlue}};
}

// A field of every kind.
struct Inner {
  double rate = 0.1;
  std::vector<int64_t> hidden{200};
  std::vector<double> decay{0.5};
  void Visit(Fields& fields) {
    fields("rate", rate, "", Above(0));
    fields("hidden", hidden, "", AtLeast(1));
    fields("decay", decay, "");
  }
};
struct Config {
  std::string id = "x";
  int64_t steps = 10;
  bool flag = false;
  Colour colour = Colour::kRed;
  std::optional<int64_t> threads;
  std::optional<double> entropy;
  std::optional<int64_t> count;
  std::optional<std::array<double, 2>> bounds;
  std::array<double, 2> limits{-std::numeric_limits<double>::infinity(), 0.1};
  LengthSchedule length{20, 150, 1, 15};
  Inner inner, late;
  void Visit(Fields& fields) {
    fields("id", id, "");
    fields("steps", steps, "", AtLeast(0));
    fields("flag", flag, "");
    fields("colour", colour, "");
    fields("threads", threads, "");
    fields("entropy", entropy, "");
    fields("count", count, "");
    fields("bounds", bounds, "");
    fields("limits", limits, "");
    fields("length", length, "", Between(1, 100));
    fields("inner", inner, "");
    fields.When({.key = "flag", .wanted = "false", .holds = [this] { return !flag; }}, [&] {
      fields.Late(
          "late", [this] { return id == "plain" ? Fields() : Fields::Of(late); }, "");
    });
  }
};

}  // namespace
}  // namespace reverie

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace reverie;
  try {
    // What follows a zero byte is an assignment, as --set takes it.
    const std::string text(reinterpret_cast<const char*>(data), size);
    const size_t zero = text.find('\0');
    ConfigDocument document = ConfigDocument::FromText(text.substr(0, zero), "f.yaml");
    document.Keys();
    document.Leaves();
    if (zero != std::string::npos) {
      document.Set(text.substr(zero + 1));
      document.Where(text.substr(zero + 1));
    }
    Config config;
    document.ReadInto(Fields::Of(config));
    const std::string written = ToYaml(Fields::Of(config));
    Config again;
    ConfigDocument::FromText(written, "written").ReadInto(Fields::Of(again));
    if (ToYaml(Fields::Of(again)) != written) {
      std::abort();
    }
  } catch (const std::invalid_argument&) {
  }
  return 0;
}
