// Options of the command line whose values are read as a config's are, by the same rules and with the same messages.
#ifndef REVERIE_SRC_APPS_OPTIONS_H_
#define REVERIE_SRC_APPS_OPTIONS_H_

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "reverie/config/fields.h"
#include "reverie/config/reader.h"

namespace reverie {

// The value that `text`, given with the flag `name` ("--seed"), stands for. Throws std::invalid_argument.
template <class T>
T ReadOption(const std::string& name, const std::string& text, const Range& range) {
  struct Options {
    const std::string& name;
    const Range& range;
    T value{};
    void Visit(Fields& fields) { fields(name, value, "", range); }
  };
  const std::string key = name.substr(name.find_first_not_of('-'));
  Options options{key, range};
  ConfigDocument document = ConfigDocument::FromText("{}", name);
  document.Set(key + "=" + text, name + " " + text);
  document.ReadInto(Fields::Of(options));
  return options.value;
}

// `--set KEY=VALUE`, as often as wanted.
inline void AddSets(CLI::App& command, std::vector<ConfigAssignment>& sets, const std::string& doc) {
  command
      .add_option_function<std::vector<std::string>>(
          "--set",
          [&sets](const std::vector<std::string>& texts) {
            for (const std::string& text : texts) {
              sets.emplace_back(text);
            }
          },
          doc)
      ->allow_extra_args(false);
}

// A flag with one value.
template <class T>
CLI::Option* AddOption(CLI::App& command, const std::string& name, T& value, const std::string& doc,
                       const Range& range) {
  return command
      .add_option_function<std::string>(
          name, [&value, name, range](const std::string& text) { value = ReadOption<T>(name, text, range); }, doc)
      ->default_str(CLI::detail::to_string(value));
}

}  // namespace reverie

#endif  // REVERIE_SRC_APPS_OPTIONS_H_
