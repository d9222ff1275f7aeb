#include "reverie/core/state.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <torch/csrc/jit/serialization/pickle.h>

#include <fstream>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "reverie/core/file.h"

namespace reverie {

using Dict = c10::impl::GenericDict;

struct StateTree::Node {
  Dict dict;
};

namespace {

Dict NewDict() { return Dict(c10::StringType::get(), c10::AnyType::get()); }

}  // namespace

StateTree::StateTree() : root_(std::make_unique<Node>(Node{NewDict()})) {}
StateTree::~StateTree() = default;
StateTree::StateTree(StateTree&&) noexcept = default;
StateTree& StateTree::operator=(StateTree&&) noexcept = default;

void StateTree::SaveFile(const std::filesystem::path& path) const {
  const std::vector<char> bytes = torch::jit::pickle_save(root_->dict);
  WriteFileWhole(path, {bytes.data(), bytes.size()});
}

StateTree StateTree::LoadFile(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    throw std::runtime_error("cannot read " + path.string());
  }
  const std::vector<char> bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  StateTree tree;
  try {
    tree.root_->dict = torch::jit::pickle_load(bytes).toGenericDict();
  } catch (const std::exception& error) {
    throw std::runtime_error(path.string() + " is no checkpoint or is damaged: " + error.what());
  }
  return tree;
}

StateVisitor::StateVisitor(StateTree::Node& node, bool loading, std::string path)
    : node_(node), loading_(loading), path_(std::move(path)) {}

StateVisitor StateVisitor::Saving(StateTree& tree) { return {*tree.root_, false, ""}; }
StateVisitor StateVisitor::Loading(StateTree& tree) { return {*tree.root_, true, ""}; }

namespace {

std::string Join(const std::string& path, std::string_view name) {
  return path.empty() ? std::string(name) : path + "/" + std::string(name);
}

c10::IValue Find(const Dict& dict, const std::string& path, std::string_view name) {
  const auto found = dict.find(std::string(name));
  if (found == dict.end()) {
    throw std::runtime_error("the checkpoint has no " + Join(path, name));
  }
  return found->value();
}

}  // namespace

// Subtrees are stored flat, their names joined by '/'.
StateVisitor StateVisitor::Child(std::string_view name) { return {node_, loading_, Join(path_, name)}; }

void StateVisitor::operator()(std::string_view name, torch::Tensor& value) {
  const std::string key = Join(path_, name);
  const torch::NoGradGuard no_grad;
  if (!loading_) {
    node_.dict.insert(key, value.detach().to(torch::kCPU, /*non_blocking=*/false, /*copy=*/true).contiguous());
    return;
  }
  const c10::IValue stored = Find(node_.dict, "", key);
  if (!stored.isTensor() || stored.toTensor().sizes() != value.sizes() ||
      stored.toTensor().scalar_type() != value.scalar_type()) {
    std::ostringstream message;
    message << "the checkpoint's " << key << " does not fit: expected " << value.scalar_type() << " " << value.sizes();
    if (stored.isTensor()) {
      message << ", got " << stored.toTensor().scalar_type() << " " << stored.toTensor().sizes();
    }
    throw std::runtime_error(message.str());
  }
  value.detach().copy_(stored.toTensor());
}

void StateVisitor::Resizable(std::string_view name, torch::Tensor& value) {
  const std::string key = Join(path_, name);
  if (!loading_) {
    // A file gets a tensor's whole storage: of a part of a larger one, this is a tensor on the same memory that ends
    // where it ends.
    const torch::Tensor host = value.detach().to(torch::kCPU).contiguous();
    node_.dict.insert(key, torch::from_blob(
                               host.data_ptr(), host.sizes(), [host](void*) {}, host.options()));
    return;
  }
  const c10::IValue stored = Find(node_.dict, "", key);
  if (!stored.isTensor()) {
    throw std::runtime_error("the checkpoint's " + key + " is not a tensor");
  }
  value = stored.toTensor();
}

void StateVisitor::operator()(std::string_view name, int64_t& value) {
  const std::string key = Join(path_, name);
  if (!loading_) {
    node_.dict.insert(key, value);
    return;
  }
  const c10::IValue stored = Find(node_.dict, "", key);
  if (!stored.isInt()) {
    throw std::runtime_error("the checkpoint's " + key + " is not an integer");
  }
  value = stored.toInt();
}

void StateVisitor::operator()(std::string_view name, double& value) {
  const std::string key = Join(path_, name);
  if (!loading_) {
    node_.dict.insert(key, value);
    return;
  }
  const c10::IValue stored = Find(node_.dict, "", key);
  if (!stored.isDouble()) {
    throw std::runtime_error("the checkpoint's " + key + " is not a number");
  }
  value = stored.toDouble();
}

void StateVisitor::operator()(std::string_view name, bool& value) {
  int64_t number = value ? 1 : 0;
  (*this)(name, number);
  value = number != 0;
}

void StateVisitor::operator()(std::string_view name, std::string& value) {
  const std::string key = Join(path_, name);
  if (!loading_) {
    node_.dict.insert(key, value);
    return;
  }
  const c10::IValue stored = Find(node_.dict, "", key);
  if (!stored.isString()) {
    throw std::runtime_error("the checkpoint's " + key + " is not a text");
  }
  value = stored.toStringRef();
}

void StateVisitor::operator()(std::string_view name, std::vector<double>& value) {
  torch::Tensor tensor;
  if (!loading_) {
    tensor = torch::tensor(value, torch::kFloat64);
  }
  Resizable(name, tensor);
  if (loading_) {
    tensor = tensor.to(torch::kFloat64).contiguous();
    value.assign(tensor.data_ptr<double>(), tensor.data_ptr<double>() + tensor.numel());
  }
}

void StateVisitor::operator()(std::string_view name, std::vector<int64_t>& value) {
  torch::Tensor tensor;
  if (!loading_) {
    tensor = torch::tensor(value, torch::kInt64);
  }
  Resizable(name, tensor);
  if (loading_) {
    tensor = tensor.to(torch::kInt64).contiguous();
    value.assign(tensor.data_ptr<int64_t>(), tensor.data_ptr<int64_t>() + tensor.numel());
  }
}

void StateVisitor::operator()(std::string_view name, torch::Generator& value) {
  torch::Tensor bytes;
  if (!loading_) {
    bytes = value.get_state();
  }
  Resizable(name, bytes);
  if (loading_) {
    value.set_state(bytes);
  }
}

void StateVisitor::operator()(std::string_view name, RandomEngine& value) {
  std::ostringstream out;
  out << value;
  std::string text = out.str();
  (*this)(name, text);
  if (loading_) {
    std::istringstream in(text);
    in >> value;
  }
}

torch::Generator MakeGenerator(const Rng& rng, const torch::Device& device) {
  if (device.is_cpu()) {
    return at::make_generator<at::CPUGeneratorImpl>(rng.seed());
  }
  torch::Generator generator =
      at::globalContext().getAcceleratorHooksInterface(device.type()).getNewGenerator(device.index());
  generator.set_current_seed(rng.seed());
  return generator;
}

}  // namespace reverie
