#include "reverie/policies/export.h"

#include <torch/script.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "agreement.h"
#include "reverie/core/file.h"
#include "reverie/core/text.h"

namespace reverie {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

constexpr std::array<const char*, 4> kActivations{"relu", "tanh", "silu", "identity"};

// ---- The policy itself ----

std::string Name(const char* list, size_t index, const char* member) {
  return std::string(list) + "[" + std::to_string(index) + "]." + member;
}

// "KEY: what is wrong" for the first tensor that is not of that shape, float32 on the CPU; else empty.
std::string TensorProblem(const std::string& key, const torch::Tensor& tensor, const std::vector<int64_t>& shape) {
  if (!tensor.defined()) {
    return key + ": missing";
  }
  if (tensor.scalar_type() != torch::kFloat32 || !tensor.device().is_cpu()) {
    return Text(key, ": ", tensor.scalar_type(), " on ", tensor.device(), ", expected float32 on the CPU");
  }
  if (tensor.sizes() != c10::IntArrayRef(shape)) {
    return Text(key, ": shape ", tensor.sizes(), ", expected ", c10::IntArrayRef(shape));
  }
  return "";
}

std::string BoundsProblem(const FrozenPolicy& policy) {
  if (policy.action_low.empty() || policy.action_low.size() != policy.action_high.size()) {
    return Text("action_high: ", policy.action_high.size(), " numbers beside action_low's ", policy.action_low.size(),
                ", expected as many, at least 1");
  }
  for (size_t i = 0; i < policy.action_low.size(); ++i) {
    const double low = policy.action_low[i];
    const double high = policy.action_high[i];
    if (!std::isfinite(low) || !std::isfinite(high) || low >= high) {
      return Text("action_low[", i, "]: ", low, " beside action_high's ", high, ", expected finite, low below high");
    }
  }
  return "";
}

// "KEY: what is wrong" for the first part that does not fit the rest; empty where all do.
std::string FirstMisfit(const FrozenPolicy& policy) {
  if (policy.env_id.empty()) {
    return "env_id: empty";
  }
  if (!policy.obs_mean.defined() || policy.obs_mean.dim() != 1 || policy.obs_mean.size(0) == 0) {
    return "obs_mean: expected [obs_dim] with at least 1 number";
  }
  for (const auto& [key, tensor] : {std::pair("obs_mean", policy.obs_mean), std::pair("obs_std", policy.obs_std)}) {
    if (std::string problem = TensorProblem(key, tensor, {policy.obs_dim()}); !problem.empty()) {
      return problem;
    }
  }
  if (!(policy.obs_std > 0).all().item<bool>()) {
    return "obs_std: expected every number above 0";
  }
  if (std::string problem = BoundsProblem(policy); !problem.empty()) {
    return problem;
  }
  if (policy.layers.empty()) {
    return "layers: empty, expected at least 1";
  }
  int64_t in = policy.obs_dim();
  for (size_t i = 0; i < policy.layers.size(); ++i) {
    const FrozenLayer& layer = policy.layers[i];
    const bool last = i + 1 == policy.layers.size();
    if (!layer.weight.defined() || layer.weight.dim() != 2 || layer.weight.size(0) == 0) {
      return Name("layers", i, "weight") + ": expected [out, in] with at least 1 row";
    }
    const int64_t out = last ? policy.act_dim() : layer.weight.size(0);
    if (std::string problem = TensorProblem(Name("layers", i, "weight"), layer.weight, {out, in}); !problem.empty()) {
      return problem;
    }
    if (std::string problem = TensorProblem(Name("layers", i, "bias"), layer.bias, {out}); !problem.empty()) {
      return problem;
    }
    if (std::find(kActivations.begin(), kActivations.end(), layer.activation) == kActivations.end()) {
      return Name("layers", i, "activation") + ": \"" + layer.activation + "\", expected relu, tanh, silu or identity";
    }
    if (last && layer.activation != "tanh") {
      return Name("layers", i, "activation") + ": \"" + layer.activation + "\", expected tanh in the last layer";
    }
    if (last && policy.log_std) {
      if (std::string problem = TensorProblem("log_std.weight", policy.log_std->weight, {out, in}); !problem.empty()) {
        return problem;
      }
      if (std::string problem = TensorProblem("log_std.bias", policy.log_std->bias, {out}); !problem.empty()) {
        return problem;
      }
      if (!(policy.log_std->low <= policy.log_std->high)) {
        return Text("log_std.low: ", policy.log_std->low, ", expected at most high, ", policy.log_std->high);
      }
    }
    if (last && policy.std_head) {
      if (policy.log_std) {
        return "std: beside a log_std, expected one of the two";
      }
      if (std::string problem = TensorProblem("std.weight", policy.std_head->weight, {out, in}); !problem.empty()) {
        return problem;
      }
      if (std::string problem = TensorProblem("std.bias", policy.std_head->bias, {out}); !problem.empty()) {
        return problem;
      }
      if (!(policy.std_head->least >= 0)) {
        return Text("std.least: ", policy.std_head->least, ", expected at least 0");
      }
    }
    in = out;
  }
  std::set<std::string> names;
  for (const auto& [name, value] : policy.env_options) {
    if (!names.insert(name).second) {
      return "env_options." + name + ": given twice";
    }
  }
  return "";
}

// The key of the first number that is not finite, of those that must be; empty where all are.
std::string FirstNonFinite(const FrozenPolicy& policy) {
  const auto finite = [](const torch::Tensor& tensor) { return torch::isfinite(tensor).all().item<bool>(); };
  if (!finite(policy.obs_mean)) {
    return "obs_mean";
  }
  if (!finite(policy.obs_std)) {
    return "obs_std";
  }
  for (size_t i = 0; i < policy.layers.size(); ++i) {
    if (!finite(policy.layers[i].weight)) {
      return Name("layers", i, "weight");
    }
    if (!finite(policy.layers[i].bias)) {
      return Name("layers", i, "bias");
    }
  }
  if (policy.log_std) {
    const FrozenLogStdHead& head = *policy.log_std;
    if (!finite(head.weight) || !finite(head.bias) || !std::isfinite(head.low) || !std::isfinite(head.high)) {
      return "log_std";
    }
  }
  if (policy.std_head &&
      (!finite(policy.std_head->weight) || !finite(policy.std_head->bias) || !std::isfinite(policy.std_head->least))) {
    return "std";
  }
  for (const auto& [name, value] : policy.env_options) {
    const auto* number = std::get_if<double>(&value);
    const auto* list = std::get_if<std::vector<double>>(&value);
    if ((number != nullptr && std::isnan(*number)) ||
        (list != nullptr && std::any_of(list->begin(), list->end(), [](double item) { return std::isnan(item); }))) {
      return "env_options." + name;
    }
  }
  return "";
}

void CheckWritable(const FrozenPolicy& policy) {
  if (const std::string problem = FirstMisfit(policy); !problem.empty()) {
    throw std::logic_error("the policy cannot be written: " + problem);
  }
  if (const std::string key = FirstNonFinite(policy); !key.empty()) {
    throw std::runtime_error("the policy cannot be written: " + key + " has numbers that are not finite");
  }
}

struct ActionScale {
  torch::Tensor low, high, half_range;  // [act_dim]
};

ActionScale ScaleOf(const FrozenPolicy& policy, torch::ScalarType type) {
  const torch::Tensor low = torch::tensor(policy.action_low, torch::kFloat64);
  const torch::Tensor high = torch::tensor(policy.action_high, torch::kFloat64);
  return {low.to(type), high.to(type), ((high - low) / 2).to(type)};
}

torch::Tensor Activate(const torch::Tensor& x, const std::string& activation) {
  if (activation == "relu") {
    return torch::relu(x);
  }
  if (activation == "tanh") {
    return torch::tanh(x);
  }
  return activation == "silu" ? torch::silu(x) : x;
}

// FrozenPolicy::Mean, computed in that type.
torch::Tensor MeanIn(torch::ScalarType type, const FrozenPolicy& policy, const torch::Tensor& obs) {
  torch::Tensor x = (obs.to(type) - policy.obs_mean) / policy.obs_std;
  for (const FrozenLayer& layer : policy.layers) {
    x = Activate(torch::linear(x, layer.weight.to(type), layer.bias.to(type)), layer.activation);
  }
  const ActionScale scale = ScaleOf(policy, type);
  return torch::clamp(scale.low + (x + 1.0) * scale.half_range, scale.low, scale.high);
}

// ---- TorchScript ----

std::string Source(const FrozenPolicy& policy) {
  std::ostringstream source;
  const size_t last = policy.layers.size() - 1;
  source << "def _last_input(self, obs: Tensor) -> Tensor:\n"
         << "  assert obs.dim() == 2 and obs.size(1) == self.obs_dim, \"obs must be [B, " << policy.obs_dim() << "]\"\n"
         << "  x = (obs.to(self.obs_mean.dtype) - self.obs_mean) / self.obs_std\n";
  for (size_t i = 0; i < last; ++i) {
    const std::string& activation = policy.layers[i].activation;
    source << "  x = torch.linear(x, self.weight_" << i << ", self.bias_" << i << ")\n";
    if (activation != "identity") {
      source << "  x = torch." << activation << "(x)\n";
    }
  }
  source << "  return x\n"
         << "def _bounded(self, u: Tensor) -> Tensor:\n"
         << "  action = self.action_low + (torch.tanh(u) + 1.0) * self.action_half_range\n"
         << "  return torch.minimum(torch.maximum(action, self.action_low), self.action_high)\n"
         << "def forward(self, obs: Tensor) -> Tensor:\n"
         << "  x = self._last_input(obs)\n"
         << "  return self._bounded(torch.linear(x, self.weight_" << last << ", self.bias_" << last << "))\n"
         << "def sample(self, obs: Tensor) -> Tensor:\n";
  if (policy.log_std || policy.std_head) {
    source << "  x = self._last_input(obs)\n"
           << "  mean = torch.linear(x, self.weight_" << last << ", self.bias_" << last << ")\n";
    if (policy.log_std) {
      source << "  log_std = torch.linear(x, self.log_std_weight, self.log_std_bias)\n"
             << "  std = torch.exp(torch.clamp(log_std, self.log_std_low, self.log_std_high))\n";
    } else {
      source << "  std = torch.softplus(torch.linear(x, self.std_weight, self.std_bias)) + self.std_least\n";
    }
    source << "  return self._bounded(mean + std * torch.randn_like(mean))\n";
  } else {
    source << "  return self.forward(obs)\n";
  }
  return source.str();
}

std::string TorchScriptBytes(const FrozenPolicy& policy) {
  torch::jit::Module module("__torch__.ReveriePolicy");
  // Copies: a view would be saved with all of the storage it looks at.
  const auto copy = [](const torch::Tensor& tensor) { return tensor.detach().clone(at::MemoryFormat::Contiguous); };
  module.register_attribute("format_version", c10::IntType::get(), kPolicyFormatVersion);
  module.register_attribute("env_id", c10::StringType::get(), policy.env_id);
  module.register_attribute("obs_dim", c10::IntType::get(), policy.obs_dim());
  module.register_attribute("act_dim", c10::IntType::get(), policy.act_dim());
  module.register_buffer("obs_mean", copy(policy.obs_mean));
  module.register_buffer("obs_std", copy(policy.obs_std));
  const ActionScale scale = ScaleOf(policy, torch::kFloat32);
  module.register_buffer("action_low", scale.low);
  module.register_buffer("action_high", scale.high);
  module.register_buffer("action_half_range", scale.half_range);
  for (size_t i = 0; i < policy.layers.size(); ++i) {
    module.register_parameter("weight_" + std::to_string(i), copy(policy.layers[i].weight), /*is_buffer=*/false);
    module.register_parameter("bias_" + std::to_string(i), copy(policy.layers[i].bias), /*is_buffer=*/false);
  }
  if (policy.log_std) {
    module.register_parameter("log_std_weight", copy(policy.log_std->weight), /*is_buffer=*/false);
    module.register_parameter("log_std_bias", copy(policy.log_std->bias), /*is_buffer=*/false);
    module.register_attribute("log_std_low", c10::FloatType::get(), policy.log_std->low);
    module.register_attribute("log_std_high", c10::FloatType::get(), policy.log_std->high);
  }
  if (policy.std_head) {
    module.register_parameter("std_weight", copy(policy.std_head->weight), /*is_buffer=*/false);
    module.register_parameter("std_bias", copy(policy.std_head->bias), /*is_buffer=*/false);
    module.register_attribute("std_least", c10::FloatType::get(), policy.std_head->least);
  }
  module.define(Source(policy));
  module.eval();
  std::ostringstream bytes;
  module.save(bytes);
  return bytes.str();
}

// ---- JSON, written ----

// 9 significant digits name a float32, also for a reader that goes through float64.
std::string NumberText(float value) {
  std::array<char, 32> buffer{};
  const auto [end, error] =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::general, 9);
  return {buffer.data(), end};
}

// The shortest text that reads back to the same float64, and never to an integer.
std::string NumberText(double value) {
  if (std::isinf(value)) {
    value = std::copysign(std::numeric_limits<double>::max(), value);
  }
  std::array<char, 32> buffer{};
  const auto [end, error] = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  std::string text(buffer.data(), end);
  return text.find_first_of(".e") == std::string::npos ? text + ".0" : text;
}

std::string NumberText(int64_t value) { return std::to_string(value); }

template <class T>
std::string ListText(const T* begin, size_t size) {
  std::string text = "[";
  for (size_t i = 0; i < size; ++i) {
    text += (i == 0 ? "" : ", ") + NumberText(begin[i]);
  }
  return text + "]";
}

template <class T>
std::string ListText(const std::vector<T>& list) {
  return ListText(list.data(), list.size());
}

std::string VectorText(const torch::Tensor& tensor) {
  const torch::Tensor values = tensor.contiguous();
  return ListText(values.data_ptr<float>(), static_cast<size_t>(values.numel()));
}

// A row a line.
std::string MatrixText(const torch::Tensor& tensor, const std::string& indent) {
  std::string text = "[";
  for (int64_t row = 0; row < tensor.size(0); ++row) {
    text += (row == 0 ? "\n" : ",\n") + indent + "  " + VectorText(tensor[row]);
  }
  return text + "\n" + indent + "]";
}

std::string StringText(const std::string& text) {
  try {
    return Json(text).dump();
  } catch (const Json::exception&) {
    throw std::runtime_error("the policy cannot be written: \"" + text + "\" is not UTF-8");
  }
}

struct OptionText {
  std::string operator()(bool value) const { return value ? "true" : "false"; }
  std::string operator()(int64_t value) const { return NumberText(value); }
  std::string operator()(double value) const { return NumberText(value); }
  std::string operator()(const std::string& value) const { return StringText(value); }
  template <class T>
  std::string operator()(const std::vector<T>& value) const {
    return ListText(value);
  }
};

std::string JsonText(const FrozenPolicy& policy) {
  std::ostringstream out;
  out << "{\n  \"format_version\": " << kPolicyFormatVersion << ",\n  \"env_id\": " << StringText(policy.env_id)
      << ",\n  \"env_options\": {";
  for (size_t i = 0; i < policy.env_options.size(); ++i) {
    const auto& [name, value] = policy.env_options[i];
    out << (i == 0 ? "\n    " : ",\n    ") << StringText(name) << ": " << std::visit(OptionText{}, value);
  }
  out << (policy.env_options.empty() ? "}" : "\n  }") << ",\n  \"obs_dim\": " << policy.obs_dim()
      << ",\n  \"act_dim\": " << policy.act_dim() << ",\n  \"action_low\": " << ListText(policy.action_low)
      << ",\n  \"action_high\": " << ListText(policy.action_high)
      << ",\n  \"obs_mean\": " << VectorText(policy.obs_mean) << ",\n  \"obs_std\": " << VectorText(policy.obs_std)
      << ",\n  \"layers\": [";
  for (size_t i = 0; i < policy.layers.size(); ++i) {
    const FrozenLayer& layer = policy.layers[i];
    out << (i == 0 ? "\n" : ",\n") << "    {\n      \"weight\": " << MatrixText(layer.weight, "      ")
        << ",\n      \"bias\": " << VectorText(layer.bias) << ",\n      \"activation\": \"" << layer.activation
        << "\"\n    }";
  }
  out << "\n  ]";
  if (policy.log_std) {
    out << ",\n  \"log_std\": {\n    \"weight\": " << MatrixText(policy.log_std->weight, "    ")
        << ",\n    \"bias\": " << VectorText(policy.log_std->bias)
        << ",\n    \"low\": " << NumberText(policy.log_std->low)
        << ",\n    \"high\": " << NumberText(policy.log_std->high) << "\n  }";
  }
  if (policy.std_head) {
    out << ",\n  \"std\": {\n    \"weight\": " << MatrixText(policy.std_head->weight, "    ")
        << ",\n    \"bias\": " << VectorText(policy.std_head->bias)
        << ",\n    \"least\": " << NumberText(policy.std_head->least) << "\n  }";
  }
  out << "\n}\n";
  return out.str();
}

// ---- JSON, read ----

class JsonPolicyReader {
 public:
  explicit JsonPolicyReader(fs::path path) : path_(std::move(path)) {}

  FrozenPolicy Read() const {
    const Json root = Parse(Load());
    if (!root.is_object()) {
      throw std::runtime_error(path_.string() + ": expected an object");
    }
    if (const int64_t version = Integer(Member(root, "", "format_version"), "format_version");
        version != kPolicyFormatVersion) {
      Fail("format_version", Text(version, ", expected ", kPolicyFormatVersion));
    }
    CheckKeys(root, "",
              {"format_version", "env_id", "env_options", "obs_dim", "act_dim", "action_low", "action_high", "obs_mean",
               "obs_std", "layers", "log_std", "std"});
    FrozenPolicy policy;
    policy.env_id = String(Member(root, "", "env_id"), "env_id");
    policy.env_options = Options(Member(root, "", "env_options"));
    policy.action_low = Numbers(Member(root, "", "action_low"), "action_low");
    policy.action_high = Numbers(Member(root, "", "action_high"), "action_high");
    policy.obs_mean = Vector(Member(root, "", "obs_mean"), "obs_mean");
    policy.obs_std = Vector(Member(root, "", "obs_std"), "obs_std");
    const Json& layers = Member(root, "", "layers");
    if (!layers.is_array()) {
      Fail("layers", "expected a list");
    }
    for (size_t i = 0; i < layers.size(); ++i) {
      policy.layers.push_back(Layer(layers[i], "layers[" + std::to_string(i) + "]"));
    }
    if (root.contains("log_std")) {
      policy.log_std = LogStd(root["log_std"], "log_std");
    }
    if (root.contains("std")) {
      policy.std_head = Std(root["std"], "std");
    }
    if (const std::string problem = FirstMisfit(policy); !problem.empty()) {
      throw std::runtime_error(path_.string() + ": " + problem);
    }
    CheckDim(root, "obs_dim", policy.obs_dim());
    CheckDim(root, "act_dim", policy.act_dim());
    return policy;
  }

 private:
  static constexpr uintmax_t kMaxBytes = uintmax_t{128} << 20;
  static constexpr int kMaxDepth = 8;         // a row of a weight is at depth 4
  static constexpr size_t kMaxMembers = 256;  // of one object; the parser's work grows with their square

  [[noreturn]] void Fail(const std::string& key, const std::string& problem) const {
    throw std::runtime_error(path_.string() + ": " + key + ": " + problem);
  }

  std::string Load() const {
    std::error_code error;
    const uintmax_t size = fs::is_regular_file(path_, error) ? fs::file_size(path_, error) : 0;
    std::ifstream file(path_, std::ios::binary);
    if (error || !file || !fs::is_regular_file(path_, error)) {
      throw std::runtime_error("cannot read " + path_.string());
    }
    if (size > kMaxBytes) {
      throw std::runtime_error(Text(path_.string(), ": ", size, " bytes, expected a policy of at most ", kMaxBytes));
    }
    std::string text(size, '\0');
    file.read(text.data(), static_cast<std::streamsize>(size));
    text.resize(static_cast<size_t>(file.gcount()));
    return text;
  }

  Json Parse(const std::string& text) const {
    std::vector<std::set<std::string>> keys;
    const auto watch = [&](int depth, Json::parse_event_t event, Json& parsed) {
      if ((event == Json::parse_event_t::object_start || event == Json::parse_event_t::array_start) &&
          depth > kMaxDepth) {
        throw std::runtime_error(path_.string() + ": nested deeper than a policy is");
      }
      if (event == Json::parse_event_t::object_start) {
        keys.emplace_back();
      } else if (event == Json::parse_event_t::object_end) {
        keys.pop_back();
      } else if (event == Json::parse_event_t::key) {
        const auto name = parsed.get<std::string>();
        if (!keys.back().insert(name).second) {
          Fail(name, "given twice");
        }
        if (keys.back().size() > kMaxMembers) {
          Fail(name, Text("more than ", kMaxMembers, " keys in one object"));
        }
      }
      return true;
    };
    try {
      return Json::parse(text, watch);
    } catch (const Json::exception& error) {
      throw std::runtime_error(path_.string() + ": not valid JSON: " + error.what());
    }
  }

  static std::string Join(const std::string& prefix, const std::string& name) {
    return prefix.empty() ? name : prefix + "." + name;
  }

  const Json& Member(const Json& object, const std::string& prefix, const std::string& name) const {
    const auto found = object.find(name);
    if (found == object.end()) {
      Fail(Join(prefix, name), "missing");
    }
    return *found;
  }

  void CheckKeys(const Json& object, const std::string& prefix, const std::set<std::string>& known) const {
    if (!object.is_object()) {
      Fail(prefix, "expected an object");
    }
    for (const auto& [name, value] : object.items()) {
      if (!known.contains(name)) {
        Fail(Join(prefix, name), "no such key");
      }
    }
  }

  void CheckDim(const Json& root, const std::string& name, int64_t expected) const {
    const int64_t dim = Integer(Member(root, "", name), name);
    if (dim != expected) {
      Fail(name, Text(dim, ", expected ", expected, " as the other keys have it"));
    }
  }

  std::string String(const Json& value, const std::string& key) const {
    if (!value.is_string()) {
      Fail(key, "expected a text");
    }
    return value.get<std::string>();
  }

  int64_t Integer(const Json& value, const std::string& key) const {
    if (!value.is_number_integer() ||
        (value.is_number_unsigned() && value.get<uint64_t>() > uint64_t{std::numeric_limits<int64_t>::max()})) {
      Fail(key, "expected an integer");
    }
    return value.get<int64_t>();
  }

  double Number(const Json& value, const std::string& key) const {
    if (!value.is_number()) {
      Fail(key, "expected a number");
    }
    return value.get<double>();
  }

  std::vector<double> Numbers(const Json& value, const std::string& key) const {
    if (!value.is_array()) {
      Fail(key, "expected a list of numbers");
    }
    std::vector<double> numbers;
    numbers.reserve(value.size());
    for (const Json& item : value) {
      numbers.push_back(Number(item, key));
    }
    return numbers;
  }

  void AppendFloats(const Json& value, const std::string& key, std::vector<float>* floats) const {
    if (!value.is_array()) {
      Fail(key, "expected a list of numbers");
    }
    for (const Json& item : value) {
      const auto number = static_cast<float>(Number(item, key));
      if (!std::isfinite(number)) {
        Fail(key, item.dump() + ", expected a number within float32");
      }
      floats->push_back(number);
    }
  }

  torch::Tensor Vector(const Json& value, const std::string& key) const {
    std::vector<float> floats;
    AppendFloats(value, key, &floats);
    return torch::tensor(floats, torch::kFloat32);
  }

  torch::Tensor Matrix(const Json& value, const std::string& key) const {
    if (!value.is_array() || value.empty()) {
      Fail(key, "expected a list of rows");
    }
    std::vector<float> floats;
    for (const Json& row : value) {
      AppendFloats(row, key, &floats);
      if (row.size() != value.front().size()) {
        Fail(key, Text("a row of ", row.size(), " numbers, expected ", value.front().size(), " as the first has"));
      }
    }
    return torch::tensor(floats, torch::kFloat32)
        .reshape({static_cast<int64_t>(value.size()), static_cast<int64_t>(value.front().size())});
  }

  FrozenLayer Layer(const Json& value, const std::string& key) const {
    CheckKeys(value, key, {"weight", "bias", "activation"});
    return {.weight = Matrix(Member(value, key, "weight"), key + ".weight"),
            .bias = Vector(Member(value, key, "bias"), key + ".bias"),
            .activation = String(Member(value, key, "activation"), key + ".activation")};
  }

  FrozenLogStdHead LogStd(const Json& value, const std::string& key) const {
    CheckKeys(value, key, {"weight", "bias", "low", "high"});
    return {.weight = Matrix(Member(value, key, "weight"), key + ".weight"),
            .bias = Vector(Member(value, key, "bias"), key + ".bias"),
            .low = Number(Member(value, key, "low"), key + ".low"),
            .high = Number(Member(value, key, "high"), key + ".high")};
  }

  FrozenStdHead Std(const Json& value, const std::string& key) const {
    CheckKeys(value, key, {"weight", "bias", "least"});
    return {.weight = Matrix(Member(value, key, "weight"), key + ".weight"),
            .bias = Vector(Member(value, key, "bias"), key + ".bias"),
            .least = Number(Member(value, key, "least"), key + ".least")};
  }

  static double OptionNumber(double value) {
    return std::abs(value) == std::numeric_limits<double>::max()
               ? std::copysign(std::numeric_limits<double>::infinity(), value)
               : value;
  }

  EnvOptionValue Option(const Json& value, const std::string& key) const {
    if (value.is_boolean()) {
      return value.get<bool>();
    }
    if (value.is_string()) {
      return value.get<std::string>();
    }
    if (value.is_number_integer()) {
      return Integer(value, key);
    }
    if (value.is_number()) {
      return OptionNumber(value.get<double>());
    }
    if (!value.is_array()) {
      Fail(key, "expected true or false, a number, a text or a list of numbers");
    }
    if (!value.empty() &&
        std::all_of(value.begin(), value.end(), [](const Json& v) { return v.is_number_integer(); })) {
      std::vector<int64_t> integers;
      for (const Json& item : value) {
        integers.push_back(Integer(item, key));
      }
      return integers;
    }
    std::vector<double> numbers = Numbers(value, key);
    std::transform(numbers.begin(), numbers.end(), numbers.begin(), OptionNumber);
    return numbers;
  }

  EnvOptions Options(const Json& value) const {
    if (!value.is_object()) {
      Fail("env_options", "expected an object");
    }
    EnvOptions options;
    for (const auto& [name, option] : value.items()) {
      options.emplace_back(name, Option(option, "env_options." + name));
    }
    return options;
  }

  fs::path path_;
};

// ---- Options ----

void AppendOptions(const Fields& fields, const std::string& prefix, EnvOptions* options) {
  for (const Field& field : fields.list()) {
    if (!field.Unmet().empty()) {
      continue;
    }
    const std::string name = prefix + field.name;
    std::visit(
        [&](const auto& target) {
          using Target = std::decay_t<decltype(target)>;
          if constexpr (std::is_same_v<Target, EnumTarget>) {
            options->emplace_back(name, target.get());
          } else if constexpr (std::is_same_v<Target, std::shared_ptr<Fields>>) {
            AppendOptions(*target, name + ".", options);
          } else if constexpr (std::is_same_v<Target, LateSection>) {
            AppendOptions(target(), name + ".", options);
          } else if constexpr (std::is_same_v<Target, std::optional<bool>*> ||
                               std::is_same_v<Target, std::optional<int64_t>*> ||
                               std::is_same_v<Target, std::optional<double>*>) {
            if (*target) {
              options->emplace_back(name, **target);
            }
          } else if constexpr (std::is_same_v<Target, std::optional<std::array<double, 2>>*>) {
            if (*target) {
              options->emplace_back(name, std::vector<double>((*target)->begin(), (*target)->end()));
            }
          } else if constexpr (std::is_same_v<Target, std::array<double, 2>*>) {
            options->emplace_back(name, std::vector<double>(target->begin(), target->end()));
          } else if constexpr (std::is_same_v<Target, LengthSchedule*>) {
            options->emplace_back(name, std::vector<double>(target->a_b_x_y.begin(), target->a_b_x_y.end()));
          } else if constexpr (std::is_same_v<Target, AnyYaml> ||
                               std::is_same_v<Target, std::vector<std::vector<double>>*>) {
            throw std::logic_error("the environment's option " + name + " is of a type that no file of a policy holds");
          } else {
            options->emplace_back(name, *target);
          }
        },
        field.target);
  }
}

Computed ActionsOf(torch::jit::Module module, const FrozenPolicy& policy, const torch::Tensor& obs) {
  const torch::Tensor used = module.forward({obs}).toTensor();
  module.to(torch::kFloat64);
  const ActionScale exact_scale = ScaleOf(policy, torch::kFloat64);
  module.setattr("action_low", exact_scale.low);
  module.setattr("action_high", exact_scale.high);
  module.setattr("action_half_range", exact_scale.half_range);
  return {.used = used, .exact = module.forward({obs}).toTensor()};
}

Computed ActionsOf(const FrozenPolicy& policy, const torch::Tensor& obs) {
  return {.used = policy.Mean(obs), .exact = MeanIn(torch::kFloat64, policy, obs)};
}

}  // namespace

EnvOptions EnvOptionsOf(const Fields& options) {
  EnvOptions list;
  AppendOptions(options, "", &list);
  return list;
}

torch::Tensor FrozenPolicy::Mean(const torch::Tensor& obs) const {
  if (obs.dim() != 2 || obs.size(1) != obs_dim()) {
    throw std::logic_error(Text("obs has shape ", obs.sizes(), ", expected [B, ", obs_dim(), "]"));
  }
  return MeanIn(torch::kFloat32, *this, obs);
}

void WriteTorchScript(const FrozenPolicy& policy, const fs::path& path) {
  CheckWritable(policy);
  const PartialFile file(path);
  file.Write(TorchScriptBytes(policy));
  file.MoveIntoPlace();
}

void WritePolicyJson(const FrozenPolicy& policy, const fs::path& path) {
  CheckWritable(policy);
  const PartialFile file(path);
  file.Write(JsonText(policy));
  file.MoveIntoPlace();
}

FrozenPolicy ReadPolicyJson(const fs::path& path) { return JsonPolicyReader(path).Read(); }

void ExportPolicy(const FrozenPolicy& policy, const PolicyInUse& in_use, const fs::path& torchscript_path,
                  const fs::path& json_path) {
  CheckWritable(policy);
  const torch::Tensor& obs = in_use.obs;
  if (obs.dim() != 2 || obs.size(0) == 0 || obs.size(1) != policy.obs_dim()) {
    throw std::logic_error(Text("obs has shape ", obs.sizes(), ", expected [N, ", policy.obs_dim(), "], N at least 1"));
  }
  for (const torch::Tensor& actions : {in_use.actions, in_use.exact_actions}) {
    if (actions.dim() != 2 || actions.size(0) != obs.size(0) || actions.size(1) != policy.act_dim()) {
      throw std::logic_error(Text("the actions of the policy in use have shape ", actions.sizes(), ", expected [",
                                  obs.size(0), ", ", policy.act_dim(), "]"));
    }
  }
  if (torchscript_path.lexically_normal() == json_path.lexically_normal()) {
    throw std::invalid_argument("both files of the policy cannot be " + json_path.string());
  }
  const PartialFile torchscript(torchscript_path);
  const PartialFile json(json_path);
  torchscript.Write(TorchScriptBytes(policy));
  json.Write(JsonText(policy));

  const torch::NoGradGuard no_grad;
  const torch::Tensor half_range = ScaleOf(policy, torch::kFloat64).half_range;
  const auto check = [&](const fs::path& path, const Computed& read) {
    const std::string problem = Disagreement(read, {.used = in_use.actions, .exact = in_use.exact_actions}, half_range);
    if (!problem.empty()) {
      throw std::runtime_error("the policy in " + path.string() + " would not be the one in use: of its actions " +
                               problem);
    }
  };
  check(torchscript_path, ActionsOf(torch::jit::load(torchscript.partial().string(), torch::kCPU), policy, obs));
  check(json_path, ActionsOf(ReadPolicyJson(json.partial()), obs));

  torchscript.MoveIntoPlace();
  json.MoveIntoPlace();
}

}  // namespace reverie
