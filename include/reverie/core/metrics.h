// Named numbers in the order in which they were set: what a component has to say at logging time.
#ifndef REVERIE_CORE_METRICS_H_
#define REVERIE_CORE_METRICS_H_

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace reverie {

class Metrics {
 public:
  // Adds the number, or replaces the one of that name in its place.
  void Set(std::string_view name, double value) {
    for (auto& [known, number] : items_) {
      if (known == name) {
        number = value;
        return;
      }
    }
    items_.emplace_back(std::string(name), value);
  }

  // Sets every number of `other` as "prefix/name", or "name" where the prefix is empty.
  void Merge(std::string_view prefix, const Metrics& other) {
    for (const auto& [name, value] : other.items_) {
      Set(prefix.empty() ? name : std::string(prefix) + "/" + name, value);
    }
  }

  std::optional<double> Find(std::string_view name) const {
    for (const auto& [known, number] : items_) {
      if (known == name) {
        return number;
      }
    }
    return std::nullopt;
  }

  bool empty() const { return items_.empty(); }
  void Clear() { items_.clear(); }
  auto begin() const { return items_.begin(); }
  auto end() const { return items_.end(); }

 private:
  std::vector<std::pair<std::string, double>> items_;
};

}  // namespace reverie

#endif  // REVERIE_CORE_METRICS_H_
