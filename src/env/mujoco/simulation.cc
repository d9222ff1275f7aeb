#include "reverie/env/mujoco/simulation.h"

#include <mujoco/mujoco.h>

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <map>
#include <mutex>
#include <random>
#include <regex>
#include <set>
#include <sstream>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "call_mujoco.h"
#include "reverie/core/file.h"
#include "reverie/core/log.h"

namespace reverie {
namespace {

static_assert(std::is_same_v<mjtNum, double>);

std::string OneLine(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) {
    text.pop_back();
  }
  for (size_t at = text.find('\n'); at != std::string::npos; at = text.find('\n', at)) {
    const size_t next = text.find_first_not_of(" \n", at);
    text.replace(at, (next == std::string::npos ? text.size() : next) - at, "; ");
  }
  return text;
}

// Of this thread: where an error leaves MuJoCo's code for, and what it said.
thread_local std::jmp_buf* way_out = nullptr;
thread_local std::string error_text;

// Whether the message is an error, which is then in error_text.
bool NotesError(const mjLogMessage* message) {
  if (message->level < mjLOG_WARNING) {
    return false;
  }
  std::string text = message->subject;
  if (message->body != nullptr) {
    text += "\n";
    text += message->body;
  }
  text = "MuJoCo: " + OneLine(std::move(text));
  if (message->level == mjLOG_ERROR) {
    error_text = std::move(text);
    return true;
  }
  LogWarning(text);
  return false;
}

// After an error MuJoCo would go on with broken data if this returned. Its engine is C, which is left by a jump; what
// reads models is C++, which is left by an exception.
void HandleMessage(const mjLogMessage* message) {
  if (!NotesError(message)) {
    return;
  }
  if (way_out != nullptr) {
    std::longjmp(*way_out, 1);  // nothing here has a destructor
  }
  throw std::runtime_error(error_text);
}

// Whether the call came to its end. Apart from CallMujoco, since a jump back into it leaves its variables unknown.
[[gnu::noinline]] bool ComesBack(c10::function_ref<void()> call) {
  struct WayOut {
    std::jmp_buf here;
    std::jmp_buf* const outer = std::exchange(way_out, &here);
    ~WayOut() { way_out = outer; }
  } scope;
  if (setjmp(scope.here) != 0) {
    return false;
  }
  call();
  return true;
}

constexpr std::array kInstabilities{mjWARN_BADQPOS, mjWARN_BADQVEL, mjWARN_BADQACC, mjWARN_BADCTRL};

std::string NameOr(const mjModel& model, int kind, int64_t index, const std::string& fallback) {
  const char* name = mj_id2name(&model, kind, static_cast<int>(index));
  return name != nullptr && *name != '\0' ? std::string(name) : fallback;
}

// "qpos:rootx", "qpos:root.0" where a joint has several numbers, in the order of mjData's qpos, then qvel.
std::vector<std::string> StateNames(const mjModel& model) {
  std::vector<std::string> names;
  for (const bool velocity : {false, true}) {
    for (int64_t joint = 0; joint < model.njnt; ++joint) {
      const int type = model.jnt_type[joint];
      const int size = type == mjJNT_FREE ? (velocity ? 6 : 7) : type == mjJNT_BALL ? (velocity ? 3 : 4) : 1;
      const std::string name =
          (velocity ? "qvel:" : "qpos:") + NameOr(model, mjOBJ_JOINT, joint, "joint" + std::to_string(joint));
      for (int i = 0; i < size; ++i) {
        names.push_back(size == 1 ? name : name + "." + std::to_string(i));
      }
    }
  }
  return names;
}

void DeleteModel(const mjModel* model) { mj_deleteModel(const_cast<mjModel*>(model)); }

// Reads the file, edits it where there is an edit, and compiles it. key: what messages begin with.
std::shared_ptr<const mjModel> CompiledModel(const std::filesystem::path& path,
                                             const std::function<void(mjSpec&)>& edit, const std::string& key) {
  std::array<char, 1000> error{};
  const std::unique_ptr<mjSpec, void (*)(mjSpec*)> spec(
      mj_parseXML(path.c_str(), nullptr, error.data(), static_cast<int>(error.size())), mj_deleteSpec);
  if (spec == nullptr) {
    throw std::invalid_argument(key + path.string() + ": " + OneLine(error.data()));
  }
  if (edit) {
    edit(*spec);
  }
  std::shared_ptr<const mjModel> model(mj_compile(spec.get(), nullptr), DeleteModel);
  if (model == nullptr) {
    throw std::invalid_argument(key + path.string() + ": " + OneLine(mjs_getError(spec.get())));
  }
  return model;
}

std::filesystem::path GymnasiumFolder() {
  const char* folder = std::getenv("REVERIE_MODEL_DIR");
  return folder != nullptr && *folder != '\0' ? folder : REVERIE_MODEL_DIR;
}

// A model of the user's with the name of one of Gymnasium's might have been meant to be that, or the other way round.
void NoteNamesake(const std::filesystem::path& path) {
  const std::filesystem::path gymnasiums = GymnasiumFolder() / path.filename();
  std::error_code error;
  if (std::filesystem::is_regular_file(gymnasiums, error) && MujocoModelDigest(path) != MujocoModelDigest(gymnasiums)) {
    LogInfo("xml_file: " + path.string() + " is taken, not Gymnasium's " + path.filename().string());
  }
}

std::shared_ptr<const mjModel> LoadedModel(const std::filesystem::path& file, const std::string& variant,
                                           const std::function<void(mjSpec&)>& edit, const std::string& key,
                                           const std::string& name) {
  static std::mutex mutex;
  static std::map<std::pair<std::filesystem::path, std::string>, std::shared_ptr<const mjModel>> models;

  const std::filesystem::path path = std::filesystem::absolute(file).lexically_normal();
  const std::lock_guard<std::mutex> lock(mutex);
  std::shared_ptr<const mjModel>& model = models[{path, variant}];
  if (model == nullptr) {
    if (!std::filesystem::is_regular_file(path)) {
      throw std::invalid_argument(key + name + ": no such file: " + path.string());
    }
    mju_setLogHandler(HandleMessage);
    model = CompiledModel(path, edit, key);
    if (!key.empty()) {
      NoteNamesake(path);
    }
  }
  return model;
}

// The model without forces of its actuators, which shares all but its options with it.
mjModel WithoutActuation(const mjModel& model) {
  mjModel passive = model;
  passive.opt.disableflags |= mjDSBL_ACTUATION;
  return passive;
}

}  // namespace

void CallMujoco(c10::function_ref<void()> call) {
  if (!ComesBack(call)) {
    throw std::runtime_error(error_text);
  }
}

std::string MujocoModelDigest(const std::filesystem::path& path) {
  static const std::regex kNames(R"re(\b(file|meshdir|texturedir|assetdir)\s*=\s*["']([^"']+)["'])re");
  std::set<std::filesystem::path> folders{path.parent_path()};
  std::set<std::string> names;
  std::set<std::filesystem::path> read;  // of XML
  const std::function<void(const std::filesystem::path&)> note_names_in = [&](const std::filesystem::path& file) {
    std::ifstream stream(file);
    std::ostringstream content;
    if (!read.insert(file).second || !(content << stream.rdbuf())) {
      return;
    }
    const std::string text = content.str();
    for (auto it = std::sregex_iterator(text.begin(), text.end(), kNames); it != std::sregex_iterator(); ++it) {
      const std::string name = (*it)[2];
      if ((*it)[1] != "file") {
        folders.insert((path.parent_path() / name).lexically_normal());
      } else if (names.insert(name).second && std::filesystem::path(name).extension() == ".xml") {
        folders.insert((path.parent_path() / name).lexically_normal().parent_path());
        note_names_in((path.parent_path() / name).lexically_normal());
      }
    }
  };
  note_names_in(path);
  std::set<std::filesystem::path> files;
  for (const std::string& name : names) {
    for (const std::filesystem::path& folder : folders) {
      std::error_code error;
      const std::filesystem::path file = (folder / name).lexically_normal();
      if (file != path && std::filesystem::is_regular_file(file, error)) {
        files.insert(file);
      }
    }
  }
  std::string digests = FileDigest(path);
  for (const std::filesystem::path& file : files) {
    digests += FileDigest(file);
  }
  return files.empty() ? digests : TextDigest(digests);
}

std::filesystem::path MujocoModelPath(const std::string& xml_file) {
  const std::filesystem::path path = WithHome(xml_file);
  return path.has_parent_path() ? path : GymnasiumFolder() / path;
}

std::shared_ptr<const mjModel_> LoadMujocoModel(const std::string& xml_file) {
  const std::filesystem::path path = MujocoModelPath(xml_file);
  if (!WithHome(xml_file).has_parent_path() && !std::filesystem::is_regular_file(path)) {
    throw std::invalid_argument("xml_file: " + xml_file + ": Gymnasium has none of that name in " +
                                GymnasiumFolder().string() +
                                "; one of yours lies beside your config or is named with its folder");
  }
  return LoadedModel(path, "", nullptr, "xml_file: ", xml_file);
}

std::shared_ptr<const mjModel_> LoadMujocoModel(const std::filesystem::path& path, const std::string& variant,
                                                const std::function<void(mjSpec_&)>& edit) {
  return LoadedModel(path, variant, edit, "", path.filename().string());
}

double MujocoStepSeconds(const std::string& xml_file, int64_t frame_skip) {
  return LoadMujocoModel(xml_file)->opt.timestep * static_cast<double>(frame_skip);
}

namespace {

mjData* MakeMujocoData(const mjModel& model) {
  mjData* data = nullptr;
  CallMujoco([&] { data = mj_makeData(&model); });
  return data;
}

}  // namespace

void MujocoSimulation::DeleteData::operator()(mjData_* data) const { mj_deleteData(data); }

MujocoSimulation::MujocoSimulation(const std::string& xml_file, int64_t frame_skip,
                                   const std::optional<std::array<double, 2>>& default_ctrl_range)
    : MujocoSimulation(LoadMujocoModel(xml_file), "xml_file: " + xml_file, frame_skip, StepOrder::kDerivedLags,
                       default_ctrl_range) {}

MujocoSimulation::MujocoSimulation(std::shared_ptr<const mjModel_> model, std::string name, int64_t frame_skip,
                                   StepOrder order)
    : MujocoSimulation(std::move(model), std::move(name), frame_skip, order, std::nullopt) {}

MujocoSimulation::MujocoSimulation(std::shared_ptr<const mjModel_> model, std::string name, int64_t frame_skip,
                                   StepOrder order, const std::optional<std::array<double, 2>>& default_ctrl_range)
    : name_(std::move(name)),
      frame_skip_(frame_skip),
      order_(order),
      model_(std::move(model)),
      data_(MakeMujocoData(*model_)) {
  if (data_ == nullptr) {
    throw std::runtime_error(name_ + ": MuJoCo has no memory for its data");
  }
  if (model_->nu == 0) {
    throw std::invalid_argument(name_ + " has no actuators: there is nothing to act with");
  }
  for (int64_t i = 0; i < model_->nu; ++i) {
    const double* own = model_->actuator_ctrlrange + 2 * i;
    const bool has_own = own[0] < own[1];
    if (!has_own && !default_ctrl_range) {
      throw std::invalid_argument(name_ + ": actuator " + NameOr(*model_, mjOBJ_ACTUATOR, i, std::to_string(i)) +
                                  " has no control range; give it one, or all such the option default_ctrl_range");
    }
    ctrl_ranges_.push_back(has_own ? std::array{own[0], own[1]} : *default_ctrl_range);
  }
  qpos_ = {data_->qpos, static_cast<size_t>(model_->nq)};
  qvel_ = {data_->qvel, static_cast<size_t>(model_->nv)};
  ctrl_ = {data_->ctrl, static_cast<size_t>(model_->nu)};
  initial_qpos_ = {model_->qpos0, static_cast<size_t>(model_->nq)};
  dt_ = model_->opt.timestep * static_cast<double>(frame_skip_);
}

std::span<const double> MujocoSimulation::BodyPosition(int64_t body) const { return {data_->xpos + 3 * body, 3}; }

int64_t MujocoSimulation::BodyIndex(const std::string& name) const { return Index(mjOBJ_BODY, name); }

int64_t MujocoSimulation::Index(int kind, const std::string& name) const {
  const int index = mj_name2id(model_.get(), kind, name.c_str());
  if (index < 0) {
    throw std::invalid_argument(name_ + " has no " + mju_type2Str(kind) + " named " + name);
  }
  return index;
}

void MujocoSimulation::RequireSize(size_t nq, size_t nv) const {
  if (qpos_.size() < nq || qvel_.size() < nv) {
    throw std::invalid_argument(name_ + " has " + std::to_string(qpos_.size()) + " positions and " +
                                std::to_string(qvel_.size()) + " velocities, expected at least " + std::to_string(nq) +
                                " and " + std::to_string(nv));
  }
}

mjModel_& MujocoSimulation::OwnModel() {
  if (own_model_ == nullptr) {
    mjModel* copy = nullptr;
    CallMujoco([&] { copy = mj_copyModel(nullptr, model_.get()); });
    if (copy == nullptr) {
      throw std::runtime_error(name_ + ": MuJoCo has no memory for a copy of the model");
    }
    model_.reset(copy, DeleteModel);
    initial_qpos_ = {model_->qpos0, initial_qpos_.size()};
    own_model_ = copy;
  }
  return *own_model_;
}

void MujocoSimulation::AddToState(std::string name, double& value) { drawn_.push_back({std::move(name), &value}); }

void MujocoSimulation::SetState(std::span<const double> qpos, std::span<const double> qvel,
                                std::span<const double> drawn) {
  if (drawn.size() != drawn_.size()) {
    throw std::logic_error(name_ + ": a state with " + std::to_string(drawn.size()) + " drawn numbers, expected " +
                           std::to_string(drawn_.size()));
  }
  for (size_t i = 0; i < drawn_.size(); ++i) {
    *drawn_[i].value = drawn[i];
  }
  Clear();
  std::copy(qpos.begin(), qpos.end(), qpos_.begin());
  std::copy(qvel.begin(), qvel.end(), qvel_.begin());
  Derive();
}

std::vector<double> MujocoSimulation::State() const {
  std::vector<double> state(qpos_.begin(), qpos_.end());
  state.insert(state.end(), qvel_.begin(), qvel_.end());
  for (const Drawn& drawn : drawn_) {
    state.push_back(*drawn.value);
  }
  return state;
}

void MujocoSimulation::Clear() {
  CallMujoco([&] { mj_resetData(model_.get(), data_.get()); });
  if (order_ == StepOrder::kDerivedIsCurrent) {
    Derive();  // as dm_control does: it decides where solvers of the next forward pass begin
  }
}

void MujocoSimulation::Derive() {
  if (order_ == StepOrder::kDerivedLags) {
    CallMujoco([&] { mj_forward(model_.get(), data_.get()); });
  } else {
    const mjModel passive = WithoutActuation(*model_);
    CallMujoco([&] { mj_forward(&passive, data_.get()); });
  }
}

void MujocoSimulation::Settle(int64_t substeps) {
  Substeps(substeps);
  data_->time = 0;
}

void MujocoSimulation::Substeps(int64_t count) {
  // Integrators but RK4 finish the step whose first half the last call has done.
  const bool begun = order_ == StepOrder::kDerivedIsCurrent && model_->opt.integrator != mjINT_RK4;
  CallMujoco([&] {
    if (begun) {
      mj_step2(model_.get(), data_.get());
    }
    for (int64_t i = begun ? 1 : 0; i < count; ++i) {
      mj_step(model_.get(), data_.get());
    }
    if (order_ == StepOrder::kDerivedIsCurrent) {
      mj_step1(model_.get(), data_.get());
    }
  });
  for (const mjtWarning warning : kInstabilities) {
    if (data_->warning[warning].number > 0) {
      throw std::runtime_error(
          "the simulation became unstable: " +
          OneLine(mju_warningText(warning, static_cast<size_t>(data_->warning[warning].lastinfo))));
    }
  }
}

void MujocoSimulation::Advance(std::span<const double> ctrl, AfterStep after) {
  std::copy(ctrl.begin(), ctrl.end(), ctrl_.begin());
  Substeps(frame_skip_);
  if (after == AfterStep::kContactForces) {
    CallMujoco([&] { mj_rnePostConstraint(model_.get(), data_.get()); });
  }
}

void MujocoSimulation::Carry(std::span<const double> derived) {
  // Tasks see mjData as constant; Restore alone writes what they asked to be carried.
  carried_.emplace_back(const_cast<double*>(derived.data()), derived.size());
  carried_size_ += derived.size();
}

std::vector<double> MujocoSimulation::Snapshot() const {
  const size_t state_size = static_cast<size_t>(mj_stateSize(model_.get(), mjSTATE_INTEGRATION));
  std::vector<double> snapshot(state_size);
  snapshot.reserve(state_size + carried_size_ + drawn_.size() + 1);
  mj_getState(model_.get(), data_.get(), snapshot.data(), mjSTATE_INTEGRATION);
  for (const std::span<double> values : carried_) {
    snapshot.insert(snapshot.end(), values.begin(), values.end());
  }
  for (const Drawn& drawn : drawn_) {
    snapshot.push_back(*drawn.value);
  }
  return snapshot;
}

void MujocoSimulation::Restore(std::span<const double> snapshot) {
  const size_t state_size = static_cast<size_t>(mj_stateSize(model_.get(), mjSTATE_INTEGRATION));
  const size_t expected = state_size + carried_size_ + drawn_.size();
  if (snapshot.size() != expected) {
    throw std::runtime_error("a snapshot of " + std::to_string(snapshot.size()) + " numbers, expected " +
                             std::to_string(expected));
  }
  const std::span<const double> drawn = snapshot.last(drawn_.size());
  for (size_t i = 0; i < drawn_.size(); ++i) {
    *drawn_[i].value = drawn[i];
  }
  CallMujoco([&] {
    mj_resetData(model_.get(), data_.get());
    mj_setState(model_.get(), data_.get(), snapshot.data(), mjSTATE_INTEGRATION);
    if (order_ == StepOrder::kDerivedIsCurrent) {
      mj_step1(model_.get(), data_.get());
    }
  });
  auto from = snapshot.begin() + static_cast<std::ptrdiff_t>(state_size);
  for (const std::span<double> values : carried_) {
    std::copy_n(from, values.size(), values.begin());
    from += static_cast<std::ptrdiff_t>(values.size());
  }
}

EnvSpec MujocoSimulation::MakeSpec(std::string id, int64_t obs_dim, int64_t time_limit) const {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  EnvSpec spec;
  spec.id = std::move(id);
  spec.obs_low.assign(static_cast<size_t>(obs_dim), -kInfinity);
  spec.obs_high.assign(static_cast<size_t>(obs_dim), kInfinity);
  for (const auto& [low, high] : ctrl_ranges_) {
    spec.action_low.push_back(low);
    spec.action_high.push_back(high);
  }
  spec.dt = dt_;
  spec.time_limit = time_limit;
  spec.state_names = StateNames(*model_);
  for (const Drawn& drawn : drawn_) {
    spec.state_names.push_back(drawn.name);
  }
  return spec;
}

void VisitDefaultCtrlRange(Fields& fields, const std::string& xml_file, const std::string& own_xml_file,
                           std::optional<std::array<double, 2>>& range) {
  fields.When({.key = "env.options.xml_file",
               .wanted = "another than " + own_xml_file,
               .holds = [&xml_file, own_xml_file] { return xml_file != own_xml_file; }},
              [&] {
                fields("default_ctrl_range", range,
                       "control range of the actuators whose model gives none; auto: such a model is refused");
                fields.Check([&range] { return !range || (*range)[0] < (*range)[1]; },
                             "[LOW, HIGH] with LOW below HIGH");
              });
}

void AddUniformNoise(double scale, RandomEngine& rng, std::span<double> values) {
  std::uniform_real_distribution<double> noise(-scale, scale);
  for (double& value : values) {
    value += noise(rng);
  }
}

void AddNormalNoise(double scale, RandomEngine& rng, std::span<double> values) {
  std::normal_distribution<double> noise;
  for (double& value : values) {
    value += scale * noise(rng);
  }
}

}  // namespace reverie
