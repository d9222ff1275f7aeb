// One of several kinds of a thing, by its name in a config, each with keys of its own.
//
//   planner: {kind: cem, options: {population: 400}}
#ifndef REVERIE_CONFIG_CHOICE_H_
#define REVERIE_CONFIG_CHOICE_H_

#include <functional>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "reverie/config/fields.h"

namespace reverie {

// Maker: makes things of that kind, with the values that its keys have, of which `std::function<Fields()> options` is a
// member. Those Fields borrow from the maker. Copies of a maker share the values.
template <class Maker>
struct Kind {
  // A name that older configs have for it, with the key, true or false, that says the same today.
  struct Former {
    std::string name;
    std::string key;
    bool value = false;
  };

  std::string name;
  std::string summary;           // completes "NAME is ..."
  std::function<Maker()> maker;  // with every key at its default
  std::vector<Former> former;
};

template <class Maker>
class Choice {
 public:
  // key: the path of the field that chooses, "planner.kind". `kind` is the default. Throws std::logic_error where it is
  // none of `kinds`.
  Choice(std::string key, const std::vector<Kind<Maker>>& kinds, std::string kind)
      : key_(std::move(key)), kind_(std::move(kind)) {
    for (const Kind<Maker>& one : kinds) {
      made_.push_back({.kind = one, .maker = one.maker()});
    }
    maker();
  }

  const std::string& kind() const { return kind_; }
  // Of that kind.
  const Maker& maker() const {
    for (const Made& made : made_) {
      if (made.kind.name == kind_) {
        return made.maker;
      }
    }
    throw std::logic_error(key_ + ": there is no kind " + kind_);
  }

  // The field that chooses, "kind". `what` is chosen, "the planner".
  void VisitKind(Fields& fields, const std::string& what) {
    EnumTarget target;
    std::string doc = what;
    for (const Made& made : made_) {
      doc += (target.names.empty() ? ": " : ", ") + made.kind.name + " is " + made.kind.summary;
      target.names.push_back(made.kind.name);
      for (const auto& former : made.kind.former) {
        target.former_names.push_back(former.name);
      }
    }
    target.get = [this] { return kind_; };
    target.set = [this](const std::string& name) { Choose(name); };
    fields.Enum("kind", std::move(target), doc);
  }

  // The keys of every kind, each read only where that kind is chosen, out of several.
  void VisitOptions(Fields& fields) {
    if (made_.size() == 1) {
      fields.Add(made_.front().maker.options());
      return;
    }
    for (const Made& made : made_) {
      fields.When(
          {.key = key_, .wanted = made.kind.name, .holds = [this, name = made.kind.name] { return kind_ == name; }},
          [&] { fields.Add(made.maker.options()); });
    }
  }

 private:
  struct Made {
    Kind<Maker> kind;
    Maker maker;
  };

  void Choose(const std::string& name) {
    kind_ = name;
    for (const Made& made : made_) {
      for (const auto& former : made.kind.former) {
        if (former.name == name) {
          kind_ = made.kind.name;
          SetSwitch(former.key, former.value, made.maker.options());
        }
      }
    }
  }

  static void SetSwitch(const std::string& key, bool value, const Fields& options) {
    for (const Field& field : options.list()) {
      if (field.name == key) {
        *std::get<bool*>(field.target) = value;
        return;
      }
    }
    throw std::logic_error("a former name of a kind stands for a key that is none of its options: " + key);
  }

  std::string key_;
  std::string kind_;
  std::vector<Made> made_;
};

}  // namespace reverie

#endif  // REVERIE_CONFIG_CHOICE_H_
