#include "reverie/planning/export.h"

#include <torch/csrc/jit/frontend/tracer.h>
#include <torch/csrc/jit/passes/shape_analysis.h>
#include <torch/script.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <random>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "policies/agreement.h"
#include "reverie/core/file.h"
#include "reverie/core/text.h"
#include "reverie/env/action_bounds.h"
#include "reverie/policies/export.h"

namespace reverie {
namespace {

constexpr int64_t kCheckedRows = 1000;
// More than one, which would hide a size that is written into the trace by broadcasting.
constexpr int64_t kTracedRows = 3;
constexpr double kTaskTolerance = 1e-5;

void RefuseWhatHasNoModule(const PlannerParts& parts) {
  if (!parts.planner.choice.maker().torchscript) {
    std::vector<std::string> names;
    for (const Kind<PlannerMaker>& entry : Planners()) {
      if (entry.maker().torchscript) {
        names.push_back(entry.name);
      }
    }
    throw std::invalid_argument("planner.kind: " + parts.planner.choice.kind() +
                                " cannot be exported, as its search is not written in TorchScript; that of " +
                                Joined(names) + " is");
  }
  if (parts.uncertainty.use != UncertaintyUse::kNone) {
    throw std::invalid_argument(
        "uncertainty.use: a planner that looks at the ensemble's disagreement cannot be exported; expected none");
  }
}

// ---- The module's text ----

// The elites' networks and what their outputs mean.
std::string ModelSource(const GaussianNetworks& model, bool has_features) {
  const GaussianNetworks& elites = model;
  const MlpShape& shape = elites.mlp().shape();
  std::ostringstream source;
  source << "def _inputs(self, obs: Tensor, action: Tensor) -> Tensor:\n"
         << "  x = torch.cat([" << (has_features ? "self._features(obs)" : "obs") << ", action], -1)\n"
         << "  return (x - self.input_mean) / self.input_std\n"
         << "def _network(self, x: Tensor) -> Tensor:\n";
  for (int64_t l = 0; l < shape.layers(); ++l) {
    source << "  x = torch.baddbmm(self.bias_" << l << ", x, self.weight_" << l << ")\n";
    if (l + 1 < shape.layers()) {
      source << "  x = torch." << (shape.activation == Activation::kSilu ? "silu" : "relu") << "(x)\n";
    }
  }
  source << "  return x\n"
         << "def _gaussian(self, output: Tensor) -> Tuple[Tensor, Tensor]:\n"
         << "  mean = output.narrow(-1, 0, self.target_dim)\n";
  if (elites.bounds().max_log_var.defined()) {
    source << "  raw = output.narrow(-1, self.target_dim, self.target_dim)\n"
           << "  below_max = self.max_log_var - torch.softplus(self.max_log_var - raw)\n"
           << "  var = torch.exp(self.min_log_var + torch.softplus(below_max - self.min_log_var))\n";
  } else {
    source << "  var = torch.zeros_like(mean)\n";
  }
  source << "  mean = mean * self.target_scale + self.target_offset\n"
         << "  return (mean, var * torch.square(self.target_scale))\n"
         << "def _predicted(self, x: Tensor) -> Tuple[Tensor, Tensor]:\n"
         << "  return self._gaussian(self._network(x.unsqueeze(0).expand([self.elites, -1, -1])))\n"
         << "def predict(self, obs: Tensor, action: Tensor) -> Tuple[Tensor, Tensor]:\n"
         << "  dtype = self.input_mean.dtype\n"
         << "  return self._predicted(self._inputs(obs.detach().to(dtype), action.detach().to(dtype)))\n"
         // What targets stand for: the next observation, and the reward where it is learned.
         << "def _decoded(self, target: Tensor, obs: Tensor) -> Tensor:\n";
  if (!elites.codec().adds_obs()) {
    source << "  return target\n";
  } else if (model.learns_reward()) {
    source << "  next_obs = obs + target.narrow(-1, 0, self.obs_dim)\n"
           << "  return torch.cat([next_obs, target.narrow(-1, self.obs_dim, 1)], -1)\n";
  } else {
    source << "  return obs + target\n";
  }
  source << "def _drawn(self, output: Tensor, generator: Generator) -> Tensor:\n"
         << "  mean, var = self._gaussian(output)\n";
  if (elites.bounds().max_log_var.defined()) {
    source << "  noise = mean.new_empty(mean.size(), device=\"cpu\").normal_(0.0, 1.0, generator=generator)\n"
           << "  return mean + torch.sqrt(var) * noise.to(var.device)\n";
  } else {
    source << "  return mean\n";
  }
  return source.str();
}

// def _move: where the particles go, [N P, D]. Row n P + p is particle n of candidate p.
std::string MoveSource(Propagation kind) {
  const std::string head = "def _move(self, state: Tensor, action: Tensor, generator: Generator) -> Tensor:\n";
  switch (kind) {
    case Propagation::kTsInf:  // as many consecutive rows for every elite
      return head + R"(
  x = self._inputs(state, action).view([self.elites, -1, self.input_mean.size(0)])
  target = self._drawn(self._network(x), generator).reshape([state.size(0), -1])
  return self._decoded(target, state)
)";
    case Propagation::kTs1:  // dealt in a random order, as DrawStep deals them
      return head + R"(
  rows = state.size(0)
  order = torch.arange(rows)
  torch.randperm(rows, generator=generator, out=order)
  deal = order.to(state.device)
  slots = torch.arange(self.elites * ((rows + self.elites - 1) // self.elites), device=state.device)
  dealt = deal.index_select(0, torch.remainder(slots, rows))
  x = self._inputs(state, action).index_select(0, dealt).view([self.elites, -1, self.input_mean.size(0)])
  drawn = self._drawn(self._network(x), generator).reshape([slots.size(0), -1]).narrow(0, 0, rows)
  return self._decoded(torch.empty_like(drawn).index_copy(0, deal, drawn), state)
)";
    case Propagation::kDs:
      return head + R"(
  mean, var = self.predict(state, action)
  by_candidate = [self.elites * self.particles, -1, self.target_dim]
  means = self._decoded(mean, state).reshape(by_candidate)
  spread = means - means.select(0, 0)
  matched_var = var.reshape(by_candidate).mean(0) + torch.var(spread, [0], False, False)
  std = torch.sqrt(matched_var).repeat([self.particles, 1])
  noise = std.new_empty(std.size(), device="cpu").normal_(0.0, 1.0, generator=generator).to(std.device)
  return (means.select(0, 0) + spread.mean(0)).repeat([self.particles, 1]) + std * noise
)";
    case Propagation::kE:
      return head + R"(
  mean, var = self.predict(state, action)
  means = self._decoded(mean, state)
  return means.select(0, 0) + (means - means.select(0, 0)).mean(0)
)";
  }
  throw std::logic_error("unknown propagation");
}

// def _score: ImaginedReturn::Score.
std::string ScoreSource(bool learns_reward, bool ends) {
  std::ostringstream source;
  source << R"(
def _roll(self, obs: Tensor, actions: Tensor, generator: Generator) -> Tensor:
  state = obs.expand([self.particles * actions.size(0), -1])
  earned = torch.zeros_like(state.select(1, 0))
  alive = torch.isfinite(earned)
  finite = alive
  for t in range(actions.size(1)):
    action = actions.select(1, t).repeat([self.particles, 1])
    moved = self._move(state, action, generator)
    next_obs = moved.narrow(1, 0, self.obs_dim)
    env_action = self._env_action(action)
)";
  source << "    reward = "
         << (learns_reward ? "moved.select(1, self.obs_dim)" : "self._reward(state, env_action, next_obs)") << "\n"
         << R"(
    step_finite = torch.logical_and(torch.isfinite(moved).all(1), torch.isfinite(reward))
    earned = earned + torch.where(torch.logical_and(alive, step_finite), reward, torch.zeros_like(reward))
    finite = torch.logical_and(finite, torch.logical_or(step_finite, torch.logical_not(alive)))
)";
  if (ends) {
    source
        << "    alive = torch.logical_and(alive, torch.logical_not(self._terminated(state, env_action, next_obs)))\n";
  }
  source << R"(
    state = next_obs
  scores = earned.view([self.particles, -1]).mean(0)
  return scores.masked_fill(torch.logical_not(finite.view([self.particles, -1]).all(0)), float("-inf"))
def _score(self, obs: Tensor, actions: Tensor, generator: Generator) -> Tensor:
  at_once = actions.size(0)
  if actions.device.type == "cpu":
    at_once = max(1, self.cpu_rows // self.particles)
  scores: List[Tensor] = []
  for begin in range(0, actions.size(0), at_once):
    scores.append(self._roll(obs, actions.narrow(0, begin, min(at_once, actions.size(0) - begin)), generator))
  return torch.cat(scores)
)";
  return source.str();
}

// What callers call.
const char* const kCallsSource = R"(
def _env_action(self, action: Tensor) -> Tensor:
  return torch.addcmul(self.action_center, self.action_half_range, action)
def _generator(self, seed: int) -> Generator:
  generator = torch.Generator()
  generator.manual_seed(seed)
  return generator
def returns(self, obs: Tensor, actions: Tensor, seed: int = 0) -> Tensor:
  assert obs.dim() == 1 and obs.size(0) == self.obs_dim, "obs must be [obs_dim]"
  assert actions.dim() == 3 and actions.size(2) == self.act_dim, "actions must be [P, any, act_dim]"
  dtype = self.input_mean.dtype
  return self._score(obs.detach().to(dtype), actions.detach().to(dtype), self._generator(seed))
def plan(self, obs: Tensor, start: Tensor, seed: int = 0) -> Tensor:
  assert obs.dim() == 1 and obs.size(0) == self.obs_dim, "obs must be [obs_dim]"
  assert start.dim() == 2 and start.size(0) == self.horizon and start.size(1) == self.act_dim, "start must be [horizon, act_dim]"
  dtype = self.input_mean.dtype
  plan = self._search(obs.detach().to(dtype), start.detach().to(dtype), self._generator(seed))
  return torch.where(torch.isfinite(obs).all(), plan, torch.full_like(plan, float("nan")))
def forward(self, obs: Tensor, seed: int = 0) -> Tensor:
  assert obs.dim() == 2 and obs.size(1) == self.obs_dim, "obs must be [B, obs_dim]"
  start = self.input_mean.new_zeros([self.horizon, self.act_dim])
  action = self.input_mean.new_zeros([obs.size(0), self.act_dim])
  for row in range(obs.size(0)):
    action.select(0, row).copy_(self.plan(obs.select(0, row), start, seed).select(0, 0))
  return torch.minimum(torch.maximum(self._env_action(action), self.action_low), self.action_high)
)";

// ---- The task's functions ----

using Tensors = std::vector<torch::Tensor>;

// One of the task's functions, as a method of the module.
struct TaskMethod {
  std::string name;  // of the method
  std::string what;  // in words
  std::vector<std::string> arguments;
  std::function<torch::Tensor(const Tensors&)> function;
};

std::vector<TaskMethod> TaskMethods(const TaskFunctions& task, bool learns_reward) {
  std::vector<TaskMethod> methods;
  const auto add = [&](const std::string& name, const std::string& what, const TaskFunctions::Batched& function) {
    if (function) {
      methods.push_back({name, what, {"obs", "action", "next_obs"}, [function](const Tensors& rows) {
                           return function(rows[0], rows[1], rows[2]);
                         }});
    }
  };
  if (task.features) {
    methods.push_back({"_features", "features", {"obs"}, [features = task.features](const Tensors& rows) {
                         return features(rows[0]);
                       }});
  }
  if (!learns_reward) {
    add("_reward", "reward", task.reward);
  }
  add("_terminated", "end", task.terminated);
  return methods;
}

// As many real transitions under random actions: obs, action in the environment's bounds, next_obs, action in [-1, 1].
Tensors RandomSteps(Env& env, int64_t count) {
  const EnvSpec& spec = env.spec();
  RandomEngine engine = Rng(0).Split("export").Engine();
  std::uniform_real_distribution<float> uniform(-1, 1);
  const auto empty = [&](int64_t width) { return torch::empty({count, width}); };
  Tensors rows{empty(spec.obs_dim()), empty(spec.act_dim()), empty(spec.obs_dim()), empty(spec.act_dim())};
  std::vector<double> obs(static_cast<size_t>(spec.obs_dim()));
  std::vector<double> env_action(static_cast<size_t>(spec.act_dim()));
  std::vector<float> action(static_cast<size_t>(spec.act_dim()));
  const auto write = [](const std::vector<double>& numbers, const torch::Tensor& rows_of, int64_t row) {
    std::copy(numbers.begin(), numbers.end(), rows_of.data_ptr<float>() + row * rows_of.size(1));
  };
  StepResult step{.terminated = true};
  for (int64_t row = 0; row < count; ++row) {
    if (step.terminated || step.truncated) {
      env.Reset(engine, obs);
    }
    std::generate(action.begin(), action.end(), [&] { return uniform(engine); });
    ToEnvAction(spec, action, env_action);
    write(obs, rows[0], row);
    write(env_action, rows[1], row);
    step = env.Step(env_action, obs);
    write(obs, rows[2], row);
    std::copy(action.begin(), action.end(), rows[3].data_ptr<float>() + row * rows[3].size(1));
  }
  return rows;
}

void AddTraced(const TaskMethod& method, const Tensors& rows, torch::jit::Module& module) {
  torch::jit::Stack inputs;
  for (size_t i = 0; i < method.arguments.size(); ++i) {
    inputs.emplace_back(rows[i].narrow(0, 0, kTracedRows));
  }
  const std::shared_ptr<torch::jit::Graph> graph =
      torch::jit::tracer::trace(
          inputs,
          [&](const torch::jit::Stack& traced) {
            Tensors tensors;
            for (const c10::IValue& value : traced) {
              tensors.push_back(value.toTensor());
            }
            return torch::jit::Stack{method.function(tensors)};
          },
          [](const torch::Tensor&) { return std::string(); }, /*strict=*/true, /*force_outplace=*/false,
          /*self=*/nullptr, method.arguments)
          .first->graph;
  torch::jit::EraseShapeInformation(graph);
  graph->insertInput(0, "self")->setType(module.type());
  const c10::QualifiedName name(*module.type()->name(), method.name);
  module.type()->addMethod(module._ivalue()->compilation_unit()->create_function(name, graph));
}

// ---- The module ----

torch::jit::Module ModuleOf(const PlannerParts& parts, const EnvSpec& spec, const TaskFunctions& task,
                            const Tensors& rows) {
  torch::jit::Module module("__torch__.ReveriePlanner");
  // Copies on the CPU: a view would be saved with all of the storage it looks at.
  const auto copy = [](const std::string& name, const torch::Tensor& tensor) {
    torch::Tensor copied = tensor.detach().to(torch::kCPU).clone(at::MemoryFormat::Contiguous);
    if (!torch::isfinite(copied).all().item<bool>()) {
      throw std::runtime_error("the policy cannot be written: " + name + " has numbers that are not finite");
    }
    return copied;
  };
  const auto text = [&](const std::string& name, const std::string& value) {
    module.register_attribute(name, c10::StringType::get(), value);
  };
  const auto integer = [&](const std::string& name, int64_t value) {
    module.register_attribute(name, c10::IntType::get(), value);
  };
  const auto buffer = [&](const std::string& name, const torch::Tensor& tensor) {
    module.register_buffer(name, copy(name, tensor));
  };
  const auto parameter = [&](const std::string& name, const torch::Tensor& tensor) {
    module.register_parameter(name, copy(name, tensor), /*is_buffer=*/false);
  };
  integer("format_version", kPolicyFormatVersion);
  text("needs", "LibTorch 2.2 or newer");
  text("env_id", spec.id);
  text("planner", parts.planner.choice.kind());
  integer("obs_dim", spec.obs_dim());
  integer("act_dim", spec.act_dim());
  integer("horizon", parts.planner.horizon);
  integer("particles", parts.propagation.particles);
  integer("cpu_rows", ImaginedReturn::kCpuRows);
  const GaussianNetworks& elites = parts.model;
  integer("elites", elites.mlp().shape().members);
  integer("target_dim", elites.codec().standardizer().target_scale().size(0));
  buffer("input_mean", elites.codec().standardizer().input_mean());
  buffer("input_std", elites.codec().standardizer().input_std());
  buffer("target_offset", elites.codec().standardizer().target_offset());
  buffer("target_scale", elites.codec().standardizer().target_scale());
  if (elites.bounds().max_log_var.defined()) {
    parameter("max_log_var", elites.bounds().max_log_var);
    parameter("min_log_var", elites.bounds().min_log_var);
  }
  for (size_t l = 0; l < elites.mlp().weights().size(); ++l) {
    parameter("weight_" + std::to_string(l), elites.mlp().weights()[l]);
    parameter("bias_" + std::to_string(l), elites.mlp().biases()[l]);
  }
  const BatchedActionBounds bounds(spec.action_low, spec.action_high, torch::kFloat32);
  buffer("action_low", torch::tensor(spec.action_low, torch::kFloat32));
  buffer("action_high", torch::tensor(spec.action_high, torch::kFloat32));
  buffer("action_center", bounds.center());
  buffer("action_half_range", bounds.half_range());

  for (const TaskMethod& method : TaskMethods(task, parts.model.learns_reward())) {
    try {
      AddTraced(method, rows, module);
    } catch (const c10::Error& error) {
      throw std::invalid_argument("the " + method.what + " of " + spec.id +
                                  " cannot be traced: " + error.what_without_backtrace());
    }
  }
  module.define(ModelSource(parts.model, static_cast<bool>(task.features)) + MoveSource(parts.propagation.kind) +
                ScoreSource(parts.model.learns_reward(), static_cast<bool>(task.terminated)) +
                parts.planner.choice.maker().torchscript() + kCallsSource);
  module.eval();
  return module;
}

// ---- What was written against what is in use ----

void CheckTask(torch::jit::Module& module, const std::vector<TaskMethod>& methods, const std::string& env_id,
               const Tensors& rows) {
  for (const TaskMethod& method : methods) {
    const torch::jit::Stack inputs(rows.begin(), rows.begin() + static_cast<int64_t>(method.arguments.size()));
    std::string problem;
    try {
      const torch::Tensor written = module.get_method(method.name)(inputs).toTensor();
      const torch::Tensor live = method.function(rows);
      const bool same =
          written.sizes() == live.sizes() && torch::allclose(written.to(torch::kFloat64), live.to(torch::kFloat64),
                                                             kTaskTolerance, kTaskTolerance, /*equal_nan=*/true);
      problem = same ? "" : "its trace gives other numbers than itself";
    } catch (const std::exception& error) {
      problem = error.what();
      problem.erase(problem.find_last_not_of('\n') + 1);
      problem = "its trace fails (" + problem.substr(problem.find_last_of('\n') + 1) + ")";
    }
    if (!problem.empty()) {
      throw std::invalid_argument("the " + method.what + " of " + env_id +
                                  " cannot be exported, as it does not consist of tensor operations whose sizes come "
                                  "from their arguments: traced on " +
                                  std::to_string(kTracedRows) + " rows, " + problem + " on " +
                                  std::to_string(kCheckedRows));
    }
  }
}

// `module` becomes one of float64.
void CheckModel(torch::jit::Module& module, const GaussianNetworks& live, const Tensors& rows,
                const std::string& file) {
  const torch::Device device = live.codec().standardizer().target_std().device();
  const torch::Tensor& obs = rows[0];
  const torch::Tensor& action = rows[3];
  const torch::Tensor exact_action = action.to(torch::kFloat64);
  const torch::AutoGradMode in_float32(true);  // which a differentiable prediction is whatever the model's precision
  // A task's features are float32 here too, and one device rounds them in another way than another: both see the
  // file's, which CheckTask holds against the task's.
  const torch::Tensor features =
      module.find_method("_features") ? module.get_method("_features")({obs}).toTensor() : obs;
  const GaussianPrediction used = live.Predict(obs.to(device), action.to(device));
  const GaussianPrediction exact = live.PredictFrom(torch::cat({features, exact_action}, -1).to(device));
  const auto read = module.get_method("predict")({obs, action}).toTuple();
  module.to(torch::kFloat64);
  const auto read_exact =
      module.get_method("_predicted")({module.get_method("_inputs")({obs, exact_action})}).toTuple();
  for (const auto& [what, index, in_use, scale] :
       {std::tuple("mean", size_t{0}, Computed{used.mean, exact.mean}, live.codec().standardizer().target_std()),
        std::tuple("variance", size_t{1}, Computed{used.var, exact.var},
                   live.codec().standardizer().target_std().square())}) {
    const std::string problem =
        Disagreement({.used = read->elements()[index].toTensor(), .exact = read_exact->elements()[index].toTensor()},
                     in_use, in_use.exact.abs().flatten(0, 1).mean(0) + scale);
    if (!problem.empty()) {
      throw std::runtime_error("the planner in " + file + " would not be the one in use: of the " + what +
                               " that its model predicts " + problem);
    }
  }
}

}  // namespace

void ExportPlanner(const PlannerParts& parts, const GaussianNetworks& live, const std::filesystem::path& path) {
  const torch::NoGradGuard no_grad;
  RefuseWhatHasNoModule(parts);
  const std::unique_ptr<Env> env = parts.env.make();
  const TaskFunctions task = parts.env.task_functions();
  const Tensors rows = RandomSteps(*env, kCheckedRows);
  const PartialFile file(path);
  std::ostringstream bytes;
  ModuleOf(parts, env->spec(), task, rows).save(bytes);
  file.Write(bytes.str());

  torch::jit::Module module = torch::jit::load(file.partial().string(), torch::kCPU);
  CheckTask(module, TaskMethods(task, parts.model.learns_reward()), env->spec().id, rows);
  CheckModel(module, live, rows, path.string());
  file.MoveIntoPlace();
}

}  // namespace reverie
