// Writing config structs: the resolved YAML of a run, and the reference of all keys.
#ifndef REVERIE_CONFIG_WRITER_H_
#define REVERIE_CONFIG_WRITER_H_

#include <filesystem>
#include <map>
#include <string>

#include "reverie/config/fields.h"

namespace reverie {

// Every field that is read, with its present value, in order, as YAML that reads back to the same values (floats to all
// digits).
std::string ToYaml(const Fields& fields);

// A field's present value, as YAML; "" of a section.
std::string ValueText(const Field& field);

// Every key: path, type, range, default (the present value), when it is read, meaning.
std::string ToReference(const Fields& fields);

// Whether a field's text is the name of a file: its key ends in _file. A name is taken from the folder of the config
// that gives it (on the command line, from the present one) and read in full. Where no such file is there, one with a
// folder in it is refused, and a bare one left to whoever opens it, as is a bare one in the config of a run.
bool NamesAFile(const Field& field);

// The files that the fields name in full (NamesAFile), by key.
std::map<std::string, std::filesystem::path> NamedFiles(const Fields& fields);

// A text as a scalar that YAML reads back to it: quoted where it would be read as something else, or not at all.
std::string YamlText(const std::string& text);

// A double in the shortest decimal form that reads back to the same value.
std::string ShortestDouble(double value);

}  // namespace reverie

#endif  // REVERIE_CONFIG_WRITER_H_
