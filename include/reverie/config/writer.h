// Writing config structs: the resolved YAML of a run, and the reference of all keys.
#ifndef REVERIE_CONFIG_WRITER_H_
#define REVERIE_CONFIG_WRITER_H_

#include <string>

#include "reverie/config/fields.h"

namespace reverie {

// Every field with its present value, in order, as YAML that reads back to the same values (floats to all digits).
std::string ToYaml(const Fields& fields);

// One line per key: path, type, default (the present value), range, meaning.
std::string ToReference(const Fields& fields);

// A double in the shortest decimal form that reads back to the same value.
std::string ShortestDouble(double value);

}  // namespace reverie

#endif  // REVERIE_CONFIG_WRITER_H_
