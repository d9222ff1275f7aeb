// The fields of a config struct, listed once.
//
//   struct SacConfig {
//     double discount = 0.99;
//     void Visit(Fields& fields) { fields("discount", discount, "discount factor per step", Between(0, 1)); }
//   };
//
// That list reads YAML (reader.h), writes the resolved YAML and prints the reference (writer.h).
// A Fields object borrows the struct it was made from: the struct must outlive it and must not move.
#ifndef REVERIE_CONFIG_FIELDS_H_
#define REVERIE_CONFIG_FIELDS_H_

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <iterator>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "reverie/core/schedule.h"

namespace reverie {

// Allowed values of a number, or of every element of a list.
struct Range {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool low_open = false;   // low itself is not allowed
  bool high_open = false;  // high itself is not allowed
};
inline Range AtLeast(double low) { return {.low = low}; }
inline Range Above(double low) { return {.low = low, .low_open = true}; }
inline Range Between(double low, double high) { return {.low = low, .high = high}; }

// An enum field as YAML sees it: a name out of a fixed set. Names are given by an overload found beside the enum:
//   std::vector<std::pair<std::string, Target>> EnumNames(Target);
struct EnumTarget {
  std::vector<std::string> names;
  std::vector<std::string> former_names;        // read too, for older configs
  std::function<void(const std::string&)> set;  // called with one of either
  std::function<std::string()> get;
};

// A key that may hold anything; whoever declares it reads it from the document itself.
struct AnyYaml {};

class Fields;

// A section whose fields depend on values read before it (env.options on env.id).
using LateSection = std::function<Fields()>;

// What has to hold for a field to be read.
struct Condition {
  std::string key;     // the path of the field that decides, "uncertainty.use"
  std::string wanted;  // completes "KEY is ...", "penalty"
  std::function<bool()> holds;

  std::string text() const { return key + " is " + wanted; }
};

struct Field {
  using Target = std::variant<bool*, int64_t*, double*, std::string*, std::optional<bool>*, std::optional<int64_t>*,
                              std::optional<double>*, std::optional<std::array<double, 2>>*, std::vector<int64_t>*,
                              std::vector<double>*, std::vector<std::vector<double>>*, std::array<double, 2>*,
                              LengthSchedule*, EnumTarget, AnyYaml, std::shared_ptr<Fields>, LateSection>;
  // A condition beyond type and range, checked once this field has its value: returns what is wrong, or "".
  using Check = std::function<std::string()>;

  std::string name;
  Target target;
  std::string doc;
  Range range;
  bool required = false;
  std::vector<Check> checks;
  std::vector<Condition> conditions;  // all must hold; else the key is refused, the field keeps its value, unchecked

  std::vector<Condition> Unmet() const {
    std::vector<Condition> unmet;
    std::copy_if(conditions.begin(), conditions.end(), std::back_inserter(unmet),
                 [](const Condition& condition) { return !condition.holds(); });
    return unmet;
  }
};

class Fields {
 public:
  // The fields of `config`, by its Visit. Borrowed.
  template <class Config>
  static Fields Of(Config& config) {
    Fields fields;
    config.Visit(fields);
    return fields;
  }

  // Adds one field. T: bool, int64_t, double, std::string, vectors of int64_t or double, a vector of vectors of
  // double, std::array<double, 2> (from low to high), std::optional of bool, int64_t, double or such an array ("auto"
  // in YAML where empty), LengthSchedule ([a, b, x, y] or one number), an enum with EnumNames, or a struct with Visit
  // (a section).
  template <class T>
  void operator()(std::string_view name, T& value, std::string_view doc, Range range = {}) {
    list_.push_back({.name = std::string(name), .target = MakeTarget(value), .doc = std::string(doc), .range = range});
  }

  // As above, for a key that has no default.
  template <class T>
  void Required(std::string_view name, T& value, std::string_view doc) {
    (*this)(name, value, doc);
    list_.back().required = true;
  }

  // A field whose value is one of names that are known when the program runs.
  void Enum(std::string_view name, EnumTarget target, std::string_view doc) {
    list_.push_back({.name = std::string(name), .target = std::move(target), .doc = std::string(doc)});
  }

  // Another list's fields.
  void Add(const Fields& others) { list_.insert(list_.end(), others.list_.begin(), others.list_.end()); }

  // A key that the reader leaves alone.
  void Any(std::string_view name, std::string_view doc) {
    list_.push_back({.name = std::string(name), .target = AnyYaml{}, .doc = std::string(doc)});
  }

  // A section of the fields that `add` adds.
  void Section(std::string_view name, std::string_view doc, const std::function<void(Fields&)>& add) {
    auto section = std::make_shared<Fields>();
    add(*section);
    list_.push_back({.name = std::string(name), .target = std::move(section), .doc = std::string(doc)});
  }

  // A section made when the reader reaches it, after every field before it has its value.
  void Late(std::string_view name, LateSection section, std::string_view doc) {
    list_.push_back({.name = std::string(name), .target = std::move(section), .doc = std::string(doc)});
  }

  // Fields, added by `add`, that are read only where the condition holds, which looks at fields before them. May be
  // nested. Several may have one name where the conditions of one at most hold.
  void When(const Condition& condition, const std::function<void()>& add) {
    const size_t first = list_.size();
    add();
    for (size_t i = first; i < list_.size(); ++i) {
      list_[i].conditions.insert(list_[i].conditions.begin(), condition);
    }
  }

  // A condition on the field added last and those before it, checked once it has its value, default or not. `expected`
  // completes "KEY: expected ...".
  void Check(const std::function<bool()>& holds, std::string_view expected) {
    Check([holds, text = "expected " + std::string(expected)] { return holds() ? "" : text; });
  }
  // The same, saying itself what is wrong; "" where nothing is.
  void Check(Field::Check complaint) { list_.back().checks.push_back(std::move(complaint)); }

  const std::vector<Field>& list() const { return list_; }

 private:
  template <class T>
  static Field::Target MakeTarget(T& value) {
    if constexpr (std::is_enum_v<T>) {
      EnumTarget target;
      for (const auto& [name, unused] : EnumNames(T{})) {
        target.names.push_back(name);
      }
      target.set = [&value](const std::string& name) {
        for (const auto& [known, meaning] : EnumNames(T{})) {
          if (known == name) {
            value = meaning;
          }
        }
      };
      target.get = [&value] {
        for (const auto& [known, meaning] : EnumNames(T{})) {
          if (meaning == value) {
            return known;
          }
        }
        return std::string("?");
      };
      return target;
    } else if constexpr (requires(Fields & fields) { value.Visit(fields); }) {
      return std::make_shared<Fields>(Of(value));
    } else {
      return &value;
    }
  }

  std::vector<Field> list_;
};

}  // namespace reverie

#endif  // REVERIE_CONFIG_FIELDS_H_
