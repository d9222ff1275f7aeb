#include "reverie/core/state.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>

#include <random>
#include <sstream>
#include <stdexcept>

namespace reverie {
namespace {

void Begin(const Rng& rng, torch::Generator& generator) {
  generator.set_current_seed(rng.seed());
  auto* const on_cpu = dynamic_cast<at::CPUGeneratorImpl*>(generator.unsafeGetGeneratorImpl());
  if (on_cpu == nullptr) {
    return;
  }
  // Of the number it takes the lower 32 bits: two of some ten thousand streams would be one.
  at::mt19937_data_pod state = at::mt19937(rng.seed()).data();
  std::seed_seq words{static_cast<uint32_t>(rng.seed()), static_cast<uint32_t>(rng.seed() >> 32)};
  words.generate(state.state_.begin(), state.state_.end());
  at::mt19937 engine;
  engine.set_data(state);
  on_cpu->set_engine(engine);
}

}  // namespace

StateVisitor::StateVisitor(StateTree& tree, Mode mode, NewStreams* new_streams, std::string path)
    : tree_(tree), mode_(mode), new_streams_(new_streams), path_(std::move(path)) {}

StateVisitor StateVisitor::Saving(StateTree& tree) { return {tree, Mode::kSave, nullptr, ""}; }
StateVisitor StateVisitor::Viewing(StateTree& tree) { return {tree, Mode::kView, nullptr, ""}; }
StateVisitor StateVisitor::Loading(StateTree& tree, NewStreams* new_streams) {
  return {tree, Mode::kLoad, new_streams, ""};
}
StateVisitor StateVisitor::LoadingToAct(StateTree& tree) { return {tree, Mode::kLoadToAct, nullptr, ""}; }
StateVisitor StateVisitor::Child(std::string_view name) { return {tree_, mode_, new_streams_, Path(name)}; }

bool StateVisitor::Has(std::string_view name) const { return tree_.values_.tensors.contains(Path(name)); }

void StateVisitor::Moved(std::string_view former, std::string_view now) {
  if (!loading()) {
    return;
  }
  const std::string from = Path(former) + "/";
  const std::string to = Path(now) + "/";
  const auto move = [&](auto& values) {
    for (auto value = values.lower_bound(from); value != values.end() && value->first.starts_with(from);) {
      auto node = values.extract(value++);
      node.key() = to + node.key().substr(from.size());
      values.insert(std::move(node));
    }
  };
  move(tree_.values_.tensors);
  move(tree_.values_.texts);
  move(tree_.rows_);
}

std::string StateVisitor::Path(std::string_view name) const {
  return path_.empty() ? std::string(name) : path_ + "/" + std::string(name);
}

const torch::Tensor& StateVisitor::Stored(const std::string& path) const {
  const auto found = tree_.values_.tensors.find(path);
  if (found == tree_.values_.tensors.end()) {
    throw std::runtime_error("the checkpoint has no " + path);
  }
  return found->second;
}

void StateVisitor::operator()(std::string_view name, torch::Tensor& value) {
  const std::string path = Path(name);
  const torch::NoGradGuard no_grad;
  if (mode_ == Mode::kView) {
    tree_.values_.tensors[path] = value.detach();
    return;
  }
  if (!loading()) {
    tree_.values_.tensors[path] = value.detach().to(torch::kCPU, /*non_blocking=*/false, /*copy=*/true).contiguous();
    return;
  }
  const torch::Tensor& stored = Stored(path);
  if (stored.sizes() != value.sizes() || stored.scalar_type() != value.scalar_type()) {
    std::ostringstream message;
    message << "the checkpoint's " << path << " does not fit: expected " << value.scalar_type() << " " << value.sizes()
            << ", got " << stored.scalar_type() << " " << stored.sizes();
    throw std::runtime_error(message.str());
  }
  value.detach().copy_(stored);
}

void StateVisitor::Resizable(std::string_view name, torch::Tensor& value) {
  if (loading()) {
    value = Stored(Path(name)).clone();
  } else {
    (*this)(name, value);
  }
}

template <class T>
void StateVisitor::Number(std::string_view name, T& value, torch::ScalarType type) {
  torch::Tensor tensor = torch::full({}, value, torch::dtype(type));
  (*this)(name, tensor);
  value = tensor.item<T>();
}

template <class T>
void StateVisitor::List(std::string_view name, std::vector<T>& value, torch::ScalarType type) {
  torch::Tensor tensor = loading() ? torch::Tensor() : torch::tensor(value, torch::dtype(type));
  Resizable(name, tensor);
  if (loading()) {
    if (tensor.scalar_type() != type || tensor.dim() != 1) {
      throw std::runtime_error("the checkpoint's " + Path(name) + " is no list of such numbers");
    }
    value.assign(tensor.data_ptr<T>(), tensor.data_ptr<T>() + tensor.numel());
  }
}

void StateVisitor::operator()(std::string_view name, int64_t& value) { Number(name, value, torch::kInt64); }
void StateVisitor::operator()(std::string_view name, double& value) { Number(name, value, torch::kFloat64); }

void StateVisitor::operator()(std::string_view name, bool& value) {
  int64_t number = value ? 1 : 0;
  (*this)(name, number);
  value = number != 0;
}

void StateVisitor::operator()(std::string_view name, std::string& value) {
  const std::string path = Path(name);
  if (!loading()) {
    tree_.values_.texts[path] = value;
    return;
  }
  const auto found = tree_.values_.texts.find(path);
  if (found == tree_.values_.texts.end()) {
    throw std::runtime_error("the checkpoint has no " + path);
  }
  value = found->second;
}

void StateVisitor::operator()(std::string_view name, std::vector<double>& value) { List(name, value, torch::kFloat64); }
void StateVisitor::operator()(std::string_view name, std::vector<int64_t>& value) { List(name, value, torch::kInt64); }

void StateVisitor::operator()(std::string_view name, torch::Generator& value) {
  if (mode_ == Mode::kLoadToAct) {
    return;
  }
  torch::Tensor own = value.get_state();
  if (!loading()) {
    (*this)(name, own);
    return;
  }
  const std::string path = Path(name);
  const torch::Tensor& stored = Stored(path);
  if (stored.scalar_type() == own.scalar_type() && stored.sizes() == own.sizes()) {
    value.set_state(stored.clone());
    return;
  }
  if (new_streams_ == nullptr) {
    throw std::runtime_error("the checkpoint's " + path + " is a random stream of another kind of device");
  }
  Begin(new_streams_->rng.Split(path), value);
  ++new_streams_->begun;
}

void StateVisitor::operator()(std::string_view name, RandomEngine& value) {
  if (mode_ == Mode::kLoadToAct) {
    return;
  }
  std::ostringstream out;
  out << value;
  std::string text = out.str();
  (*this)(name, text);
  if (loading()) {
    std::istringstream in(text);
    in >> value;
    if (!in) {
      throw std::runtime_error("the checkpoint's " + Path(name) + " is no state of a random engine");
    }
  }
}

void StateVisitor::operator()(std::string_view name, StoredRows& value) {
  const std::string path = Path(name);
  if (!loading()) {
    tree_.rows_[path] = value;
    return;
  }
  const auto found = tree_.rows_.find(path);
  if (found == tree_.rows_.end() && mode_ == Mode::kLoadToAct) {
    value = {};
    return;
  }
  if (found == tree_.rows_.end()) {
    throw std::runtime_error("the checkpoint has no " + path);
  }
  value = found->second;
}

torch::Generator MakeGenerator(const Rng& rng, const torch::Device& device) {
  torch::Generator generator =
      device.is_cpu() ? at::make_generator<at::CPUGeneratorImpl>()
                      : at::globalContext().getAcceleratorHooksInterface(device.type()).getNewGenerator(device.index());
  Begin(rng, generator);
  return generator;
}

}  // namespace reverie
