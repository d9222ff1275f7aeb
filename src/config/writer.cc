#include "reverie/config/writer.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>
#include <sstream>

#include "reverie/core/text.h"

namespace reverie {
namespace {

template <class List>
std::string ListText(const List& list) {
  std::string text = "[";
  for (const auto& item : list) {
    text += (text.size() > 1 ? ", " : "") + ShortestDouble(static_cast<double>(item));
  }
  return text + "]";
}

struct ValueOf {
  std::string operator()(const bool* v) const { return *v ? "true" : "false"; }
  std::string operator()(const int64_t* v) const { return std::to_string(*v); }
  std::string operator()(const double* v) const { return ShortestDouble(*v); }
  std::string operator()(const std::string* v) const { return YamlText(*v); }
  std::string operator()(const std::optional<bool>* v) const { return *v ? (**v ? "true" : "false") : "auto"; }
  std::string operator()(const std::optional<int64_t>* v) const { return *v ? std::to_string(**v) : "auto"; }
  std::string operator()(const std::optional<double>* v) const { return *v ? ShortestDouble(**v) : "auto"; }
  std::string operator()(const std::vector<int64_t>* v) const { return ListText(*v); }
  std::string operator()(const std::vector<double>* v) const { return ListText(*v); }
  std::string operator()(const std::vector<std::vector<double>>* v) const {
    std::vector<std::string> lists;
    std::transform(v->begin(), v->end(), std::back_inserter(lists), ListText<std::vector<double>>);
    return "[" + Joined(lists) + "]";
  }
  std::string operator()(const std::array<double, 2>* v) const { return ListText(*v); }
  std::string operator()(const std::optional<std::array<double, 2>>* v) const { return *v ? ListText(**v) : "auto"; }
  std::string operator()(const LengthSchedule* v) const { return ListText(v->a_b_x_y); }
  std::string operator()(const EnumTarget& v) const { return YamlText(v.get()); }
  std::string operator()(const AnyYaml&) const { return ""; }
  std::string operator()(const std::shared_ptr<Fields>&) const { return ""; }
  std::string operator()(const LateSection&) const { return ""; }
};

struct TypeText {
  std::string operator()(const bool*) const { return "true or false"; }
  std::string operator()(const int64_t*) const { return "integer"; }
  std::string operator()(const double*) const { return "number"; }
  std::string operator()(const std::string*) const { return "text"; }
  std::string operator()(const std::optional<bool>*) const { return "true, false or auto"; }
  std::string operator()(const std::optional<int64_t>*) const { return "integer or auto"; }
  std::string operator()(const std::optional<double>*) const { return "number or auto"; }
  std::string operator()(const std::vector<int64_t>*) const { return "list of integers"; }
  std::string operator()(const std::vector<double>*) const { return "list of numbers"; }
  std::string operator()(const std::vector<std::vector<double>>*) const { return "list of lists of numbers"; }
  std::string operator()(const std::array<double, 2>*) const { return "list of 2 numbers"; }
  std::string operator()(const std::optional<std::array<double, 2>>*) const { return "list of 2 numbers or auto"; }
  std::string operator()(const LengthSchedule*) const { return "length or [a, b, x, y]"; }
  std::string operator()(const EnumTarget& v) const {
    std::string text;
    for (const std::string& name : v.names) {
      text += (text.empty() ? "" : " | ") + name;
    }
    return text;
  }
  std::string operator()(const AnyYaml&) const { return "anything"; }
  std::string operator()(const std::shared_ptr<Fields>&) const { return "section"; }
  std::string operator()(const LateSection&) const { return "section"; }
};

const Fields* SectionOf(const Field& field, Fields& storage) {
  if (const auto* section = std::get_if<std::shared_ptr<Fields>>(&field.target)) {
    return section->get();
  }
  if (const auto* late = std::get_if<LateSection>(&field.target)) {
    storage = (*late)();
    return &storage;
  }
  return nullptr;
}

void WriteYaml(const Fields& fields, const std::string& indent, std::ostringstream& out) {
  for (const Field& field : fields.list()) {
    if (!field.Unmet().empty()) {
      continue;
    }
    Fields storage;
    const Fields* section = SectionOf(field, storage);
    if (section == nullptr) {
      out << indent << field.name << ": " << ValueText(field) << "\n";
    } else if (!section->list().empty()) {
      out << indent << field.name << ":\n";
      WriteYaml(*section, indent + "  ", out);
    }
  }
}

void CollectFiles(const Fields& fields, const std::string& prefix,
                  std::map<std::string, std::filesystem::path>& files) {
  for (const Field& field : fields.list()) {
    if (!field.Unmet().empty()) {
      continue;
    }
    Fields storage;
    if (const Fields* section = SectionOf(field, storage)) {
      CollectFiles(*section, prefix + field.name + ".", files);
    } else if (NamesAFile(field)) {
      const std::filesystem::path file = *std::get<std::string*>(field.target);
      if (file.is_absolute()) {
        files.emplace(prefix + field.name, file);
      }
    }
  }
}

std::string ConditionsText(const Field& field) {
  std::string text;
  for (const Condition& condition : field.conditions) {
    text += (text.empty() ? ", read only where " : " and ") + condition.text();
  }
  return text;
}

std::string RangeText(const Range& range) {
  if (std::isinf(range.low) && std::isinf(range.high)) {
    return "";
  }
  return std::string(" in ") + (range.low_open || std::isinf(range.low) ? "(" : "[") + ShortestDouble(range.low) +
         ", " + ShortestDouble(range.high) + (range.high_open || std::isinf(range.high) ? ")" : "]");
}

void WriteReference(const Fields& fields, const std::string& prefix, std::ostringstream& out) {
  for (const Field& field : fields.list()) {
    Fields storage;
    const Fields* section = SectionOf(field, storage);
    const std::string path = prefix + field.name;
    if (section == nullptr) {
      out << path << "\n    " << std::visit(TypeText{}, field.target) << RangeText(field.range) << ", "
          << (field.required ? "required" : "default " + ValueText(field)) << ConditionsText(field) << "\n    "
          << field.doc << "\n";
    } else {
      out << path << "\n    section" << ConditionsText(field) << ": " << field.doc << "\n";
      WriteReference(*section, path + ".", out);
    }
  }
}

}  // namespace

std::string ToYaml(const Fields& fields) {
  std::ostringstream out;
  WriteYaml(fields, "", out);
  return out.str();
}

bool NamesAFile(const Field& field) {
  return field.name.ends_with("_file") && std::holds_alternative<std::string*>(field.target);
}

std::map<std::string, std::filesystem::path> NamedFiles(const Fields& fields) {
  std::map<std::string, std::filesystem::path> files;
  CollectFiles(fields, "", files);
  return files;
}

std::string ValueText(const Field& field) { return std::visit(ValueOf{}, field.target); }

std::string ToReference(const Fields& fields) {
  std::ostringstream out;
  WriteReference(fields, "", out);
  return out.str();
}

std::string ShortestDouble(double value) {
  if (std::isinf(value)) {
    return value > 0 ? ".inf" : "-.inf";
  }
  std::array<char, 32> buffer{};
  const auto [end, error] = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  return std::string(buffer.data(), end);
}

std::string YamlText(const std::string& text) {
  const bool plain = !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '-' || c == '.' || c == '/' || c == ':';
  });
  const bool ambiguous = text == "true" || text == "false" || text == "null" || text == "Null" || text == "NULL" ||
                         text.ends_with(':') || text.starts_with('-') ||
                         (!text.empty() && std::isdigit(static_cast<unsigned char>(text[0])));
  if (plain && !ambiguous) {
    return text;
  }
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += '\\';
    }
    if (c == '\n') {
      quoted += "\\n";
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

}  // namespace reverie
