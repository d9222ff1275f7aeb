// Strict reading of YAML into config structs.
#ifndef REVERIE_CONFIG_READER_H_
#define REVERIE_CONFIG_READER_H_

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "reverie/config/fields.h"

namespace reverie {

// A key that is no section.
struct ConfigLeaf {
  std::string key;                    // its path, "rollout.length"
  std::string value;                  // as it would be written after "KEY="
  std::vector<std::string> elements;  // of a list, each likewise
  std::string where;                  // "FILE:LINE"
};

// A key with its value, KEY=VALUE, and where it was given; see ConfigDocument::Set.
struct ConfigAssignment {
  explicit ConfigAssignment(std::string key_and_value) : text(std::move(key_and_value)) {}
  ConfigAssignment(std::string key_and_value, std::string place)
      : text(std::move(key_and_value)), origin(std::move(place)) {}

  std::string text;
  std::string origin;
};

// A YAML file with overrides applied in layers; knows for every key where its value came from.
class ConfigDocument {
 public:
  // Throws std::invalid_argument ("FILE: ..." or "FILE:LINE: ...") where the file cannot be read, is not YAML, is not a
  // map, or has a duplicate key.
  static ConfigDocument FromFile(const std::filesystem::path& path);

  // The same from text; `name` stands for the file in messages.
  static ConfigDocument FromText(const std::string& text, const std::string& name);

  // Applies a layer of one "a.b=VALUE", VALUE in YAML. Messages about it name `origin` as its place, or "--set
  // a.b=VALUE" where that is empty. Another `id` or `kind` than the section had drops its `options`, which were the
  // other's, and of `env` start_states and an observe with columns; when the document is read, another than the default
  // drops those that earlier layers gave, and so does each change of a kind with keys beside it that both kinds have
  // (Choice). Throws std::invalid_argument where the text has no such form or a.b passes through something that is not
  // a map.
  void Set(std::string_view assignment, std::string_view origin = "");

  // Applies a layer of several that are meant together, in whatever order: options go to the id or kind that is given
  // with them.
  void Set(std::vector<ConfigAssignment> assignments);

  // A sentence for each key that a layer has dropped with what it belonged to.
  const std::vector<std::string>& Dropped() const;

  // Says that the file is a resolved config of `version`, "Reverie 0.1.0". ReadInto then leaves out what of the file
  // itself is not read, as the configs of older versions list it, and names the version at a key that there is no more.
  void WrittenBy(std::string version);

  // The scalar at a top-level key, without reading the rest; throws as Read does where it is missing or no scalar.
  std::string RequiredString(std::string_view key) const;

  // Fills every field that is read from the document; what the document leaves out keeps its default. A key whose
  // condition (Fields::When) a later layer made fail is left out too: `--set model.kind=simulator` serves a file that
  // describes another kind of model.
  //
  // Throws std::invalid_argument "FILE:LINE: KEY: what is wrong" for an unknown key (with the nearest known one), one
  // that is not read with what its own or an earlier layer says, a missing required one, a wrong type, a value out of
  // range, or a check that does not hold. What a section's check says of one of its keys, "KEY: what is wrong", stands
  // at that key's line.
  void ReadInto(const Fields& fields) const;

  // Every key that is no section, in order.
  std::vector<ConfigLeaf> Leaves() const;

  // The keys at the top, in order.
  std::vector<std::string> Keys() const;

  // The scalar at a path ("env.options.xml_file"), as the text it stands for; "" where there is none.
  std::string TextAt(std::string_view key) const;

  // What stands below a key at the top, as a document of the same file; empty where the key is missing. Throws
  // std::invalid_argument where it holds no section.
  ConfigDocument Section(std::string_view key) const;

  // "FILE:LINE" of a key given as a path ("env.id"), or the place that holds it where the key is not there.
  std::string Where(std::string_view key) const;

  ~ConfigDocument();
  ConfigDocument(ConfigDocument&&) noexcept;
  ConfigDocument& operator=(ConfigDocument&&) noexcept;

 private:
  ConfigDocument();
  void Apply(const ConfigAssignment& assignment);
  struct State;  // keeps yaml-cpp out of this header
  std::unique_ptr<State> state_;
};

// A key that two configs give differently; "nothing" where one does not have it.
struct ConfigDifference {
  std::string key, there, here;
};

// In the order of their names.
std::vector<ConfigDifference> ConfigDifferences(const ConfigDocument& there, const ConfigDocument& here);

// "KEY (X there, Y here)", with commas between.
std::string DifferencesText(const std::vector<ConfigDifference>& differences);

// The member of `known` that `word` most likely meant (edit distance, at most a third of its length), or "".
std::string NearestName(std::string_view word, const std::vector<std::string>& known);

}  // namespace reverie

#endif  // REVERIE_CONFIG_READER_H_
