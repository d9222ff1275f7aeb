// Small turns of text: lists, numbers.
#ifndef REVERIE_CORE_TEXT_H_
#define REVERIE_CORE_TEXT_H_

#include <charconv>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace reverie {

// "a, b, c".
std::string Joined(const std::vector<std::string>& words);

// That many digits after the point: "12.3".
std::string FixedText(double value, int digits);

// A table, a line each row, indented by two: columns as wide as their widest cell, two apart.
std::string Aligned(const std::vector<std::vector<std::string>>& rows);

// All that an ostream writes of the parts, one after another.
template <class... Parts>
std::string Text(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

// The number that the whole text is, as std::from_chars reads it (inf and nan are numbers); nothing where it is none.
template <class Number>
std::optional<Number> ParseNumber(std::string_view text) {
  Number value{};
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && stop == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

}  // namespace reverie

#endif  // REVERIE_CORE_TEXT_H_
