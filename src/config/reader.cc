#include "reverie/config/reader.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <map>
#include <set>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "reverie/config/writer.h"
#include "reverie/core/file.h"
#include "reverie/core/text.h"

namespace reverie {

// Where the value at a path was given, and in which layer.
struct ConfigOverride {
  std::string where;
  int layer = 0;
  // Of a key that chooses a kind: the layer that gave it the value that it has, and whether the one before that was the
  // default.
  int chosen = 0;
  bool instead_of_default = false;
};
using ConfigOverrides = std::map<std::string, ConfigOverride>;  // by path

struct ConfigDocument::State {
  YAML::Node root;
  std::string name;
  ConfigOverrides overrides;
  int layers = 0;          // of overrides; the file is layer 0
  std::string written_by;  // the version whose resolved config the file is, if it is one
  std::vector<std::string> dropped;
};

namespace {

std::string Join(const std::string& prefix, const std::string& key) {
  return prefix.empty() ? key : prefix + "." + key;
}

std::string LineOf(const std::string& name, const YAML::Mark& mark) {
  return mark.is_null() ? name : name + ":" + std::to_string(mark.line + 1);
}

[[noreturn]] void Fail(const std::string& where, const std::string& what) {
  throw std::invalid_argument(where + ": " + what);
}

void RefuseDuplicates(const YAML::Node& node, const std::string& prefix, const std::string& name) {
  if (node.IsSequence()) {
    for (const auto& item : node) {
      RefuseDuplicates(item, prefix, name);
    }
  }
  if (!node.IsMap()) {
    return;
  }
  std::set<std::string> seen;
  for (const auto& item : node) {
    const std::string key = item.first.IsScalar() ? item.first.Scalar() : "";
    if (key.empty()) {
      Fail(LineOf(name, item.first.Mark()), "expected a name as key");
    }
    const std::string path = Join(prefix, key);
    if (!seen.insert(key).second) {
      Fail(LineOf(name, item.first.Mark()), path + ": given twice");
    }
    RefuseDuplicates(item.second, path, name);
  }
}

constexpr const char* kCommandLine = "--set ";

// No config is larger than this, and a file that is may take more memory and time than there is.
constexpr size_t kMostBytes = size_t{256} << 10U;
constexpr int kDeepest = 32;

// Looks at a text before a tree is built of it.
class Guard final : public YAML::EventHandler {
 public:
  explicit Guard(const std::string& name) : name_(name) {}

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) {
      Fail(LineOf(name_, mark), "a second document; expected one");
    }
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  // A few aliases of aliases stand for more nodes than fit into any memory.
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    Fail(LineOf(name_, mark), "an alias (*name) is not read; write out what it stands for");
  }
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t, const std::string&) override {}
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {
    Deeper(mark);
  }
  void OnSequenceEnd() override { --depth_; }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {
    Deeper(mark);
  }
  void OnMapEnd() override { --depth_; }

 private:
  void Deeper(const YAML::Mark& mark) {
    if (++depth_ > kDeepest) {
      Fail(LineOf(name_, mark), "nested deeper than any config is");
    }
  }

  const std::string& name_;
  int documents_ = 0;
  int depth_ = 0;
};

YAML::Node ParseYaml(const std::string& text, const std::string& name) {
  if (text.size() > kMostBytes) {
    Fail(name, "expected a config of at most " + std::to_string(kMostBytes) + " bytes");
  }
  try {
    Guard guard(name);
    std::istringstream stream(text);
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(guard)) {
    }
    return YAML::Load(text);
  } catch (const YAML::Exception& error) {
    Fail(LineOf(name, error.mark), "not YAML: " + error.msg);
  }
}

std::vector<std::string> SplitPath(std::string_view path) {
  std::vector<std::string> parts;
  std::istringstream stream{std::string(path)};
  for (std::string part; std::getline(stream, part, '.');) {
    parts.push_back(part);
  }
  return parts;
}

// Whether the key says what its section's `options` are those of.
bool ChoosesOptions(std::string_view path) { return path.ends_with(".id") || path.ends_with(".kind"); }

// The keys of a section that mean something only with what its `id` or `kind` chose: options, and of an environment the
// states that episodes begin in and which numbers of the observation are seen.
std::vector<std::string> KeysOfTheChosen(const YAML::Node& section) {
  std::vector<std::string> keys{"options", "start_states"};
  if (const YAML::Node observe = section["observe"]; observe && observe["columns"] && observe["columns"].size() > 0) {
    keys.emplace_back("observe");
  }
  return keys;
}

// The child of that key with the key's own mark, or an undefined node.
std::pair<YAML::Node, YAML::Mark> Child(const YAML::Node& map, const std::string& key) {
  if (map.IsMap()) {
    for (const auto& item : map) {
      if (item.first.Scalar() == key) {
        return {item.second, item.first.Mark()};
      }
    }
  }
  return {YAML::Node(YAML::NodeType::Undefined), YAML::Mark::null_mark()};
}

std::string Show(const YAML::Node& node) {
  if (node.IsNull()) {
    return "nothing";
  }
  if (node.IsScalar()) {
    return node.Tag() == "!" ? "\"" + node.Scalar() + "\"" : node.Scalar();
  }
  if (!node.IsSequence()) {
    return "a section";
  }
  constexpr size_t kMostShown = 4;
  if (node.size() > kMostShown) {
    return "a list of " + std::to_string(node.size());
  }
  std::vector<std::string> items;
  for (const auto& item : node) {
    items.push_back(Show(item));
  }
  return "[" + Joined(items) + "]";
}

std::string ShowRange(const Range& range) {
  std::string text;
  if (std::isfinite(range.low)) {
    text += (range.low_open ? " above " : " at least ") + ShortestDouble(range.low);
  }
  if (std::isfinite(range.high)) {
    text += (text.empty() ? "" : " and") + std::string(range.high_open ? " below " : " at most ") +
            ShortestDouble(range.high);
  }
  return text;
}

// Whether a run wrote what was given there: "FILE:LINE", "FILE" or "--set ...".
bool IsOfARun(const std::string& place) {
  return !place.starts_with(kCommandLine) &&
         std::filesystem::exists(std::filesystem::path(place).parent_path() / "run.json");
}

// The folder that the name of a file is taken from where it was given there.
std::filesystem::path FolderOf(const std::string& place) {
  // Older versions wrote names into a run as they were given, from where it was begun.
  const bool here = place.starts_with(kCommandLine) || IsOfARun(place);
  return here ? std::filesystem::path() : std::filesystem::path(place).parent_path();
}

bool InRange(double value, const Range& range) {
  return !std::isnan(value) && (range.low_open ? value > range.low : value >= range.low) &&
         (range.high_open ? value < range.high : value <= range.high);
}

bool IsPlainScalar(const YAML::Node& node) { return node.IsScalar() && node.Tag() != "!"; }

// Whether the text is that word as YAML 1.2's core schema spells it: all small, all capitals, or the first letter
// capital (.inf, .Inf, .INF).
bool IsSpelt(std::string_view text, std::string word) {
  if (text == word) {
    return true;
  }
  const auto capital = [](char c) { return static_cast<char>(std::toupper(static_cast<unsigned char>(c))); };
  const size_t first = word.find_first_not_of('.');
  word[first] = capital(word[first]);
  if (text == word) {
    return true;
  }
  std::transform(word.begin(), word.end(), word.begin(), capital);
  return text == word;
}

// A number in YAML 1.2's core schema: also 0o17 and 0xF.
std::optional<double> AsDouble(const YAML::Node& node) {
  if (!IsPlainScalar(node)) {
    return std::nullopt;
  }
  const std::string_view text = node.Scalar();
  if (text.starts_with("0o") || text.starts_with("0x")) {
    uint32_t value = 0;
    const auto [end, error] =
        std::from_chars(text.data() + 2, text.data() + text.size(), value, text[1] == 'x' ? 16 : 8);
    return error == std::errc() && end == text.data() + text.size() ? std::optional<double>(value) : std::nullopt;
  }
  const bool has_sign = text.starts_with('+') || text.starts_with('-');
  const std::string_view magnitude = text.substr(has_sign ? 1 : 0);
  if (IsSpelt(magnitude, ".inf")) {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    return text.starts_with('-') ? -kInfinity : kInfinity;
  }
  // What std::from_chars reads otherwise than YAML: inf and nan without the dot, a second sign.
  if (magnitude.empty() || std::string_view(".0123456789").find(magnitude.front()) == std::string_view::npos) {
    return std::nullopt;
  }
  const std::optional<double> value = ParseNumber<double>(magnitude);
  if (!value || !std::isfinite(*value)) {
    return std::nullopt;
  }
  return text.starts_with('-') ? -*value : *value;
}

// Integers may be written 1e6.
std::optional<int64_t> AsInteger(const YAML::Node& node) {
  if (!IsPlainScalar(node)) {
    return std::nullopt;
  }
  if (const std::optional<int64_t> value = ParseNumber<int64_t>(node.Scalar())) {
    return value;
  }
  const std::optional<double> number = AsDouble(node);
  if (number && std::abs(*number) <= 9e15 && std::floor(*number) == *number) {
    return static_cast<int64_t>(*number);
  }
  return std::nullopt;
}

std::string FlowText(const YAML::Node& node) {
  YAML::Emitter text;
  text << YAML::Flow << node;
  return text.c_str();
}

void CollectLeaves(const YAML::Node& node, const YAML::Mark& mark, const std::string& path, const std::string& name,
                   std::vector<ConfigLeaf>& leaves) {
  if (node.IsMap()) {
    for (const auto& item : node) {
      CollectLeaves(item.second, item.first.Mark(), Join(path, item.first.Scalar()), name, leaves);
    }
    return;
  }
  ConfigLeaf leaf{.key = path, .value = FlowText(node), .elements = {}, .where = LineOf(name, mark)};
  if (node.IsSequence()) {
    for (const auto& element : node) {
      leaf.elements.push_back(FlowText(element));
    }
  }
  leaves.push_back(std::move(leaf));
}

class Reader {
 public:
  Reader(const std::string& name, const ConfigOverrides& overrides, const std::string& written_by)
      : name_(name), overrides_(overrides), written_by_(written_by) {}

  void Section(const YAML::Node& map, const std::string& prefix, const std::string& where, const Fields& fields) {
    if (map.IsDefined() && !map.IsNull()) {
      if (!map.IsMap()) {
        Fail(where,
             (prefix.empty() ? "" : prefix + ": ") + std::string("expected a section of keys, got ") + Show(map));
      }
      RefuseUnknown(map, prefix, fields);
    }
    for (const Field& field : fields.list()) {
      const std::string path = Join(prefix, field.name);
      auto [node, mark] = Child(map, field.name);
      if (!field.Unmet().empty()) {
        if (!IsRead(field.name, fields)) {
          RefuseUnread(node, mark, path, field.name, fields);
        }
        continue;
      }
      if (node.IsDefined() && IsOfAnotherKind(field, path, fields)) {
        node.reset(YAML::Node(YAML::NodeType::Undefined));
      }
      const std::string before = field.required ? "" : ValueText(field);
      ReadField(field, node, mark, path, where);
      NoteChoice(path, before, ValueText(field));
      for (const Field::Check& check : field.checks) {
        if (const std::string complaint = check(); !complaint.empty()) {
          if (node.IsDefined()) {
            Complain(complaint, path, node, mark);
          }
          const bool of_the_value = complaint.starts_with("expected ");
          Fail(where, path + ": " + complaint + (of_the_value ? ", got the default, " + ValueText(field) : ""));
        }
      }
    }
  }

 private:
  // Of what stands at the path. A complaint about a section is that of the key with whose name it begins.
  [[noreturn]] void Complain(const std::string& complaint, const std::string& path, const YAML::Node& node,
                             const YAML::Mark& mark) const {
    const size_t colon = complaint.find(": ");
    const std::string key = complaint.substr(0, colon);
    if (const auto [child, child_mark] = Child(node, key); child.IsDefined()) {
      Complain(complaint.substr(colon + 2), Join(path, key), child, child_mark);
    }
    const bool of_the_value = complaint.starts_with("expected ") && node.IsScalar();
    Fail(Place(path, mark), path + ": " + complaint + (of_the_value ? ", got " + Show(node) : ""));
  }

  // What gave the value at that path, or null where the file did.
  const ConfigOverride* OverrideOf(std::string path) const {
    for (;;) {
      if (const auto found = overrides_.find(path); found != overrides_.end()) {
        return &found->second;
      }
      const size_t dot = path.rfind('.');
      if (dot == std::string::npos) {
        return nullptr;
      }
      path.resize(dot);
    }
  }

  std::string Place(const std::string& path, const YAML::Mark& mark) const {
    const ConfigOverride* override = OverrideOf(path);
    return override != nullptr ? override->where : LineOf(name_, mark);
  }

  int LayerOf(const std::string& path) const {
    const ConfigOverride* override = OverrideOf(path);
    if (override != nullptr) {
      return override->layer;
    }
    return written_by_.empty() ? 0 : -1;  // below every choice: any may make its keys unread
  }

  // Remembers from which layer on the kind at that path holds. One that is the default holds from the start.
  void NoteChoice(const std::string& path, const std::string& before, const std::string& now) {
    if (const auto override = overrides_.find(path); override != overrides_.end() && override->second.chosen > 0) {
      const bool is_default = override->second.instead_of_default && (before.empty() || before == now);
      chosen_[path] = is_default ? 0 : override->second.chosen;
    }
  }

  // Whether what stands at the path was said of another kind: that has a key of the name too, and the kind was chosen
  // in a later layer.
  bool IsOfAnotherKind(const Field& field, const std::string& path, const Fields& fields) const {
    const bool others_have_it = std::any_of(fields.list().begin(), fields.list().end(), [&](const Field& other) {
      return other.name == field.name && !other.Unmet().empty();
    });
    return others_have_it && std::any_of(field.conditions.begin(), field.conditions.end(), [&](const Condition& one) {
             const auto chosen = chosen_.find(one.key);
             return chosen != chosen_.end() && chosen->second > LayerOf(path);
           });
  }

  // Whether a field of that name is read, whatever others have the same name.
  static bool IsRead(const std::string& name, const Fields& fields) {
    return std::any_of(fields.list().begin(), fields.list().end(),
                       [&](const Field& field) { return field.name == name && field.Unmet().empty(); });
  }

  // What each field of that name lacks first.
  static std::vector<Condition> FirstUnmet(const std::string& name, const Fields& fields) {
    std::vector<Condition> unmet;
    for (const Field& field : fields.list()) {
      if (field.name == name) {
        unmet.push_back(field.Unmet().front());
      }
    }
    return unmet;
  }

  // "planner.kind is cem, icem or mppi".
  static std::string Alternatives(const std::vector<Condition>& conditions) {
    std::string text;
    for (size_t i = 0; i < conditions.size(); ++i) {
      const bool same_key = i > 0 && conditions[i].key == conditions[i - 1].key;
      text += (i == 0                       ? ""
               : i + 1 == conditions.size() ? " or "
                                            : ", ") +
              (same_key ? conditions[i].wanted : conditions[i].text());
    }
    return text;
  }

  // Refuses every key from `path` on, but for those that the choice of a later layer made unread. A default is a choice
  // of the file.
  void RefuseUnread(const YAML::Node& node, const YAML::Mark& mark, const std::string& path, const std::string& name,
                    const Fields& fields) const {
    if (!node.IsDefined()) {
      return;
    }
    if (node.IsMap()) {
      for (const auto& item : node) {
        RefuseUnread(item.second, item.first.Mark(), Join(path, item.first.Scalar()), name, fields);
      }
      return;
    }
    const bool chosen_later = std::any_of(fields.list().begin(), fields.list().end(), [&](const Field& field) {
      const std::vector<Condition> unmet = field.Unmet();
      return field.name == name && std::any_of(unmet.begin(), unmet.end(), [&](const Condition& condition) {
               return std::max(0, LayerOf(condition.key)) > LayerOf(path);
             });
    });
    if (!chosen_later) {
      Fail(Place(path, mark), path + ": is read only where " + Alternatives(FirstUnmet(name, fields)));
    }
  }

  // The names of the fields, and of those that can be read: what decides was read before this section, or is in it.
  static std::pair<std::vector<std::string>, std::vector<std::string>> Names(const std::string& prefix,
                                                                             const Fields& fields) {
    std::vector<std::string> all, readable;
    const auto add = [](std::vector<std::string>& names, const std::string& name) {
      if (std::find(names.begin(), names.end(), name) == names.end()) {
        names.push_back(name);
      }
    };
    for (const Field& field : fields.list()) {
      const std::vector<Condition> unmet = field.Unmet();
      add(all, field.name);
      if (std::all_of(unmet.begin(), unmet.end(),
                      [&](const Condition& condition) { return condition.key.starts_with(prefix + "."); })) {
        add(readable, field.name);
      }
    }
    return {all, readable};
  }

  void RefuseUnknown(const YAML::Node& map, const std::string& prefix, const Fields& fields) const {
    const auto [all, known] = Names(prefix, fields);
    for (const auto& item : map) {
      const std::string key = item.first.Scalar();
      if (std::find(all.begin(), all.end(), key) != all.end()) {
        continue;
      }
      const std::string path = Join(prefix, key);
      const std::string nearest = NearestName(key, known);
      std::string hint;
      if (!nearest.empty()) {
        hint = "; did you mean " + Join(prefix, nearest) + "?";
      } else if (known.empty()) {
        hint = "; there are none here";
      } else {
        hint = "; known here:";
        for (const std::string& name : known) {
          hint += " " + name;
        }
      }
      if (!written_by_.empty() && OverrideOf(path) == nullptr) {
        hint += "; this config was written by " + written_by_;
      }
      Fail(Place(path, item.first.Mark()), path + ": no such key" + hint);
    }
  }

  void ReadField(const Field& field, const YAML::Node& node, const YAML::Mark& mark, const std::string& path,
                 const std::string& where) {
    const bool present = node.IsDefined();
    const std::string place = present ? Place(path, mark) : where;
    if (const auto* section = std::get_if<std::shared_ptr<Fields>>(&field.target)) {
      Section(node, path, place, **section);
      return;
    }
    if (const auto* late = std::get_if<LateSection>(&field.target)) {
      Section(node, path, place, (*late)());
      return;
    }
    if (!present) {
      if (field.required) {
        Fail(where, path + ": missing; it has no default");
      }
      return;
    }
    const Value value{field, node, place, path};
    std::visit(value, field.target);
  }

  struct Value {
    const Field& field;
    const YAML::Node& node;
    const std::string& place;
    const std::string& path;

    [[noreturn]] void Expected(const std::string& what) const {
      Fail(place, path + ": expected " + what + ", got " + Show(node));
    }
    bool IsAuto() const { return IsPlainScalar(node) && node.Scalar() == "auto"; }
    template <class T, class Parse>
    T Number(const YAML::Node& from, const Parse& parse, const std::string& what, const Range& range) const {
      const auto value = parse(from);
      if (!value || !InRange(static_cast<double>(*value), range)) {
        Fail(place, path + ": expected " + what + ShowRange(range) + ", got " + Show(from));
      }
      return static_cast<T>(*value);
    }
    template <class T, class Parse>
    T Number(const YAML::Node& from, const Parse& parse, const std::string& what) const {
      return Number<T>(from, parse, what, field.range);
    }
    template <class T, class Parse>
    std::vector<T> List(const Parse& parse, const std::string& what) const {
      if (!node.IsSequence()) {
        Expected("a list of " + what + "s");
      }
      std::vector<T> list;
      for (const auto& item : node) {
        list.push_back(Number<T>(item, parse, what.starts_with('i') ? "an integer" : "a " + what));
      }
      return list;
    }

    bool Boolean(const std::string& expected) const {
      const bool is_true = IsPlainScalar(node) && IsSpelt(node.Scalar(), "true");
      if (!is_true && !(IsPlainScalar(node) && IsSpelt(node.Scalar(), "false"))) {
        Expected(expected);
      }
      return is_true;
    }
    void operator()(bool* target) const { *target = Boolean("true or false"); }
    void operator()(int64_t* target) const { *target = Number<int64_t>(node, AsInteger, "an integer"); }
    void operator()(double* target) const { *target = Number<double>(node, AsDouble, "a number"); }
    void operator()(std::string* target) const {
      if (!node.IsScalar()) {
        Expected("a text");
      }
      *target = NamesAFile(field) ? File(node.Scalar()) : node.Scalar();
    }
    std::string File(const std::string& name) const {
      std::filesystem::path file = WithHome(name);
      const bool bare = !file.has_parent_path();
      if (bare && IsOfARun(place)) {
        return name;
      }
      file = std::filesystem::absolute(FolderOf(place) / file).lexically_normal();
      std::error_code error;
      if (std::filesystem::is_regular_file(file, error)) {
        return file.string();
      }
      if (!bare) {
        Fail(place, path + ": no such file: " + file.string());
      }
      return name;
    }
    void operator()(std::optional<bool>* target) const {
      *target = IsAuto() ? std::nullopt : std::optional(Boolean("auto, true or false"));
    }
    void operator()(std::optional<int64_t>* target) const {
      *target = IsAuto() ? std::nullopt : std::optional(Number<int64_t>(node, AsInteger, "auto or an integer"));
    }
    void operator()(std::optional<double>* target) const {
      *target = IsAuto() ? std::nullopt : std::optional(Number<double>(node, AsDouble, "auto or a number"));
    }
    void operator()(std::vector<int64_t>* target) const { *target = List<int64_t>(AsInteger, "integer"); }
    void operator()(std::vector<double>* target) const { *target = List<double>(AsDouble, "number"); }
    void operator()(std::vector<std::vector<double>>* target) const {
      if (!node.IsSequence()) {
        Expected("a list of lists of numbers");
      }
      target->clear();
      for (const auto& item : node) {
        std::vector<double> list;
        std::visit(Value{field, item, place, path}, Field::Target(&list));
        target->push_back(std::move(list));
      }
    }
    std::array<double, 2> Pair() const {
      const std::vector<double> list = List<double>(AsDouble, "number");
      if (list.size() != 2) {
        Expected("a list of 2 numbers");
      }
      if (list[0] > list[1]) {
        Expected("[LOW, HIGH] with LOW at most HIGH");
      }
      return {list[0], list[1]};
    }
    void operator()(std::array<double, 2>* target) const { *target = Pair(); }
    void operator()(std::optional<std::array<double, 2>>* target) const {
      *target = IsAuto() ? std::nullopt : std::optional(Pair());
    }
    void operator()(LengthSchedule* target) const {
      if (node.IsScalar()) {
        const double length = Number<double>(node, AsInteger, "a length");
        *target = LengthSchedule(0, 1, length, length);
        return;
      }
      if (!node.IsSequence() || node.size() != 4) {
        Expected("a length or [a, b, x, y]");
      }
      constexpr double kMostEpochs = 1e15;
      const auto epoch = [&](int i) {
        return Number<double>(node[i], AsDouble, "epochs a and b", Between(-kMostEpochs, kMostEpochs));
      };
      const auto length = [&](int i) { return Number<double>(node[i], AsDouble, "lengths x and y"); };
      const LengthSchedule schedule(epoch(0), epoch(1), length(2), length(3));
      if (schedule.a_b_x_y[1] < schedule.a_b_x_y[0]) {
        Expected("[a, b, x, y] with a at most b");
      }
      *target = schedule;
    }
    void operator()(const EnumTarget& target) const {
      const std::string text = node.IsScalar() ? node.Scalar() : "";
      const auto is_among = [&](const std::vector<std::string>& names) {
        return std::find(names.begin(), names.end(), text) != names.end();
      };
      if (!is_among(target.names) && !is_among(target.former_names)) {
        Expected("one of " + Joined(target.names));
      }
      target.set(text);
    }
    void operator()(const AnyYaml&) const {}
    void operator()(const std::shared_ptr<Fields>&) const {}
    void operator()(const LateSection&) const {}
  };

  const std::string& name_;
  const ConfigOverrides& overrides_;
  const std::string& written_by_;
  std::map<std::string, int> chosen_;  // by path: the layer from which on a kind holds
};

}  // namespace

ConfigDocument::ConfigDocument() : state_(std::make_unique<State>()) {}
ConfigDocument::~ConfigDocument() = default;
ConfigDocument::ConfigDocument(ConfigDocument&&) noexcept = default;
ConfigDocument& ConfigDocument::operator=(ConfigDocument&&) noexcept = default;

ConfigDocument ConfigDocument::FromFile(const std::filesystem::path& path) {
  if (std::filesystem::is_directory(path)) {
    Fail(path.string(), "expected a YAML file, got a folder");
  }
  std::ifstream file(path, std::ios::binary);
  std::string text(kMostBytes + 1, '\0');  // one more than ParseYaml takes
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(std::max<std::streamsize>(0, file.gcount())));
  if (text.empty()) {
    Fail(path.string(), !std::filesystem::exists(path) ? "no such file"
                        : file.is_open()               ? "is empty"
                                                       : "cannot be read");
  }
  return FromText(text, path.string());
}

ConfigDocument ConfigDocument::FromText(const std::string& text, const std::string& name) {
  ConfigDocument document;
  document.state_->name = name;
  document.state_->root = ParseYaml(text, name);
  if (!document.state_->root.IsMap()) {
    Fail(name, "expected a file of keys and values, got " + Show(document.state_->root));
  }
  RefuseDuplicates(document.state_->root, "", name);
  return document;
}

void ConfigDocument::Set(std::string_view assignment, std::string_view origin) {
  Set(std::vector{ConfigAssignment(std::string(assignment), std::string(origin))});
}

void ConfigDocument::Apply(const ConfigAssignment& assignment) {
  const std::string& argument = assignment.text;
  const std::string where = assignment.origin.empty() ? kCommandLine + argument : assignment.origin;
  // What is replaced takes with it where its keys were given.
  const auto forget_below = [this](const std::string& path) {
    std::erase_if(state_->overrides, [&](const auto& item) { return item.first.starts_with(path + "."); });
  };
  const size_t equals = argument.find('=');
  const std::string path = argument.substr(0, equals);
  const std::vector<std::string> parts = SplitPath(path);
  const bool has_empty = std::any_of(parts.begin(), parts.end(), [](const std::string& part) { return part.empty(); });
  if (equals == std::string::npos || parts.empty() || has_empty) {
    Fail(where, "expected KEY=VALUE, as in --set rollout.start_states=1000");
  }
  const YAML::Node value = ParseYaml(argument.substr(equals + 1), where);
  RefuseDuplicates(value, path, where);
  YAML::Node node = state_->root;
  std::string prefix;
  for (size_t i = 0; i + 1 < parts.size(); ++i) {
    prefix = Join(prefix, parts[i]);
    YAML::Node child = node[parts[i]];
    if (child.IsDefined() && !child.IsNull() && !child.IsMap()) {
      Fail(where, prefix + ": is not a section");
    }
    if (!child.IsDefined() || child.IsNull()) {
      node[parts[i]] = YAML::Node(YAML::NodeType::Map);
      state_->overrides[prefix] = {where, state_->layers};
    }
    node.reset(node[parts[i]]);
  }
  const YAML::Node before = node[parts.back()];
  ConfigOverride& override = state_->overrides[path];
  if (ChoosesOptions(path)) {
    if (!before.IsDefined()) {
      override.chosen = state_->layers;
      override.instead_of_default = true;
    } else if (YAML::Dump(before) != YAML::Dump(value)) {
      override.chosen = state_->layers;
      override.instead_of_default = false;
      for (const std::string& key : KeysOfTheChosen(node)) {
        const std::string of = Join(prefix, key);
        if (YAML::Node dropped = YAML::Clone(node[key]); dropped && dropped.size() > 0) {
          dropped.SetStyle(YAML::EmitterStyle::Flow);
          state_->dropped.push_back(of + " " + FlowText(dropped) + " of " + FlowText(before) + " is dropped, as " +
                                    path + " is now " + FlowText(value) + "; " + of +
                                    (dropped.IsMap() ? ".NAME=VALUE" : "=VALUE") + " gives it its own");
        }
        node.remove(key);
        forget_below(of);
      }
    }
  }
  override.where = where;
  override.layer = state_->layers;
  node[parts.back()] = value;
  forget_below(path);
}

void ConfigDocument::Set(std::vector<ConfigAssignment> assignments) {
  // What chooses comes first, and an outer choice, which drops what was chosen inside, before an inner one.
  const auto rank = [](const ConfigAssignment& assignment) {
    const std::string path = assignment.text.substr(0, assignment.text.find('='));
    return ChoosesOptions(path) ? std::count(path.begin(), path.end(), '.')
                                : std::numeric_limits<std::ptrdiff_t>::max();
  };
  std::stable_sort(assignments.begin(), assignments.end(),
                   [&](const ConfigAssignment& a, const ConfigAssignment& b) { return rank(a) < rank(b); });
  ++state_->layers;
  for (const ConfigAssignment& assignment : assignments) {
    Apply(assignment);
  }
}

const std::vector<std::string>& ConfigDocument::Dropped() const { return state_->dropped; }

void ConfigDocument::WrittenBy(std::string version) { state_->written_by = std::move(version); }

std::string ConfigDocument::RequiredString(std::string_view key) const {
  std::string value;
  Fields fields;
  fields.Required(key, value, "");
  YAML::Node only(YAML::NodeType::Map);
  const auto [node, mark] = Child(state_->root, std::string(key));
  if (!node.IsDefined()) {
    Fail(state_->name, std::string(key) + ": missing; it has no default");
  }
  if (!node.IsScalar()) {
    Fail(Where(key), std::string(key) + ": expected a text, got " + Show(node));
  }
  return node.Scalar();
}

void ConfigDocument::ReadInto(const Fields& fields) const {
  Reader(state_->name, state_->overrides, state_->written_by).Section(state_->root, "", state_->name, fields);
}

std::vector<ConfigLeaf> ConfigDocument::Leaves() const {
  std::vector<ConfigLeaf> leaves;
  CollectLeaves(state_->root, YAML::Mark::null_mark(), "", state_->name, leaves);
  return leaves;
}

std::vector<std::string> ConfigDocument::Keys() const {
  std::vector<std::string> keys;
  for (const auto& item : state_->root) {
    keys.push_back(item.first.Scalar());
  }
  return keys;
}

ConfigDocument ConfigDocument::Section(std::string_view key) const {
  ConfigDocument section;
  section.state_->name = state_->name;
  const auto [node, mark] = Child(state_->root, std::string(key));
  if (!node.IsDefined() || node.IsNull()) {
    section.state_->root = YAML::Node(YAML::NodeType::Map);
  } else if (node.IsMap()) {
    section.state_->root = node;
  } else {
    Fail(Where(key), std::string(key) + ": expected a section of keys, got " + Show(node));
  }
  return section;
}

std::string ConfigDocument::TextAt(std::string_view key) const {
  YAML::Node node = state_->root;
  for (const std::string& part : SplitPath(key)) {
    node.reset(Child(node, part).first);
    if (!node.IsDefined()) {
      return "";
    }
  }
  return node.IsScalar() ? node.Scalar() : "";
}

std::string ConfigDocument::Where(std::string_view key) const {
  YAML::Node node = state_->root;
  YAML::Mark place = YAML::Mark::null_mark();
  std::string prefix;
  for (const std::string& part : SplitPath(key)) {
    prefix = Join(prefix, part);
    if (const auto found = state_->overrides.find(prefix); found != state_->overrides.end()) {
      return found->second.where;
    }
    const auto [child, mark] = Child(node, part);
    if (!child.IsDefined()) {
      break;
    }
    place = mark;
    node.reset(child);
  }
  return LineOf(state_->name, place);
}

std::vector<ConfigDifference> ConfigDifferences(const ConfigDocument& there, const ConfigDocument& here) {
  std::map<std::string, ConfigDifference> keys;
  for (const ConfigLeaf& leaf : there.Leaves()) {
    keys[leaf.key] = {.key = leaf.key, .there = leaf.value, .here = "nothing"};
  }
  for (const ConfigLeaf& leaf : here.Leaves()) {
    const auto [found, is_new] =
        keys.emplace(leaf.key, ConfigDifference{.key = leaf.key, .there = "nothing", .here = ""});
    found->second.here = leaf.value;
  }
  std::vector<ConfigDifference> differences;
  for (const auto& [key, values] : keys) {
    if (values.there != values.here) {
      differences.push_back(values);
    }
  }
  return differences;
}

std::string DifferencesText(const std::vector<ConfigDifference>& differences) {
  std::vector<std::string> words;
  words.reserve(differences.size());
  for (const ConfigDifference& one : differences) {
    words.push_back(one.key + " (" + one.there + " there, " + one.here + " here)");
  }
  return Joined(words);
}

std::string NearestName(std::string_view word, const std::vector<std::string>& known) {
  std::string nearest;
  size_t least = word.size() / 3 + 2;
  for (const std::string& name : known) {
    // Levenshtein distance, one row at a time; a swap of neighbours costs two.
    std::vector<size_t> row(name.size() + 1);
    for (size_t j = 0; j <= name.size(); ++j) {
      row[j] = j;
    }
    for (size_t i = 1; i <= word.size(); ++i) {
      size_t diagonal = row[0];
      row[0] = i;
      for (size_t j = 1; j <= name.size(); ++j) {
        const size_t substitute = diagonal + (word[i - 1] == name[j - 1] ? 0 : 1);
        diagonal = row[j];
        row[j] = std::min({row[j] + 1, row[j - 1] + 1, substitute});
      }
    }
    if (row.back() < least) {
      least = row.back();
      nearest = name;
    }
  }
  return nearest;
}

}  // namespace reverie
