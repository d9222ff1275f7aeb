#include "reverie/planning/simulator_dynamics.h"

#include <mujoco/mujoco.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <stdexcept>
#include <string>

#include "control/doubles.h"
#include "env/mujoco/call_mujoco.h"
#include "reverie/env/mujoco/simulation.h"

namespace reverie {
namespace {

constexpr double kDifference = 1e-6;
constexpr double kSingleDifference = 2e-3;  // of numbers that are rounded to float32
constexpr double kNoNumber = std::numeric_limits<double>::quiet_NaN();

bool IsFinite(std::span<const double> values) {
  return std::all_of(values.begin(), values.end(), [](double value) { return std::isfinite(value); });
}

}  // namespace

// One copy of the environment, and what one thread needs to difference it.
class SimulatorDynamics::Simulator {
 public:
  explicit Simulator(std::unique_ptr<Env> env) : env_(std::move(env)) {}
  virtual ~Simulator() = default;
  Simulator(const Simulator&) = delete;
  Simulator& operator=(const Simulator&) = delete;

  virtual int64_t state_size() const = 0;
  virtual int64_t tangent_size() const = 0;
  virtual bool HasQuaternions() const { return false; }
  int64_t controls() const { return env_->spec().act_dim(); }
  int64_t obs_dim() const { return env_->spec().obs_dim(); }

  virtual std::vector<std::string> TangentNames() const = 0;

  // The state of an environment like this one, [nx].
  virtual void ReadState(const Env& from, std::span<double> x) const = 0;

  void Follow(std::span<const double> snapshot) { env_->Restore(snapshot); }

  void Step(std::span<const double> x, std::span<const double> u, std::span<double> next) {
    if (!IsFinite(x) || !IsFinite(u) || !Advance(x, u, next)) {
      std::fill(next.begin(), next.end(), kNoNumber);
    }
  }

  void Observe(std::span<const double> x, std::span<double> obs) {
    try {
      if (IsFinite(x)) {
        std::vector<double> state = env_->GetState();
        std::copy_n(x.begin(), observed_size(), state.begin());
        env_->SetState(state, obs);
        return;
      }
    } catch (const std::runtime_error&) {  // the task is not simulated there
    }
    std::fill(obs.begin(), obs.end(), kNoNumber);
  }

  // [obs_dim, n] at x, row-major.
  void LineariseObs(std::span<const double> x, double* jacobian) {
    const auto n = static_cast<size_t>(tangent_size());
    state_.resize(x.size());
    up_.resize(env_->spec().obs_low.size());
    down_.resize(up_.size());
    Observe(x, up_);
    const bool is_single = std::all_of(up_.begin(), up_.end(), [](double o) { return o == static_cast<float>(o); });
    const double step = is_single ? kSingleDifference : kDifference;
    for (size_t i = 0; i < n; ++i) {
      for (const double sign : {1.0, -1.0}) {
        std::copy(x.begin(), x.end(), state_.begin());
        Move(state_, static_cast<int64_t>(i), sign * step);
        Observe(state_, sign > 0 ? up_ : down_);
      }
      for (size_t row = 0; row < up_.size(); ++row) {
        jacobian[row * n + i] = (up_[row] - down_[row]) / (2 * step);
      }
    }
  }

  // x - y, [n].
  virtual void Difference(std::span<const double> x, std::span<const double> y, std::span<double> difference) const = 0;
  // x + step e_i of the tangent space, in place.
  virtual void Move(std::span<double> x, int64_t i, double step) const = 0;

  // A [n, n] and B [n, m] at x, u, row-major.
  virtual void Linearise(std::span<const double> x, std::span<const double> u, double* a, double* b) {
    const auto n = static_cast<size_t>(tangent_size());
    const size_t m = u.size();
    state_.resize(x.size());
    up_.resize(x.size());
    down_.resize(x.size());
    column_.resize(n);
    action_.assign(u.begin(), u.end());
    const auto write = [&](double distance, double* to, size_t stride) {
      Difference(up_, down_, column_);
      for (size_t row = 0; row < n; ++row) {
        to[row * stride] = column_[row] / distance;
      }
    };
    for (size_t i = 0; i < n; ++i) {
      for (const double sign : {1.0, -1.0}) {
        std::copy(x.begin(), x.end(), state_.begin());
        Move(state_, static_cast<int64_t>(i), sign * kDifference);
        Step(state_, u, sign > 0 ? up_ : down_);
      }
      write(2 * kDifference, a + i, n);
    }
    for (size_t i = 0; i < m; ++i) {
      const double high = std::max(std::min(u[i] + kDifference, 1.0), u[i]);  // beyond a bound, where u is
      const double low = std::min(std::max(u[i] - kDifference, -1.0), u[i]);
      action_[i] = high;
      Step(x, action_, up_);
      action_[i] = low;
      Step(x, action_, down_);
      action_[i] = u[i];
      write(high - low, b + i, m);
    }
  }

 protected:
  const Env& env() const { return *env_; }
  Env& env() { return *env_; }
  double EnvAction(std::span<const double> u, size_t i) const {
    const double low = env_->spec().action_low[i];
    const double high = env_->spec().action_high[i];
    const double action = low + (u[i] + 1) * 0.5 * (high - low);
    return std::abs(u[i]) <= 1 ? std::clamp(action, low, high) : action;  // rounding may lead out of the range
  }

 private:
  // So many numbers of a state are the first ones of what Env::SetState takes; what follows there was drawn.
  virtual int64_t observed_size() const = 0;
  // Whether it came to its end.
  virtual bool Advance(std::span<const double> x, std::span<const double> u, std::span<double> next) = 0;

  std::unique_ptr<Env> env_;
  std::vector<double> state_, up_, down_, column_, action_;
};

// MuJoCo's own state, stepped without what a task does beside.
class SimulatorDynamics::MujocoSimulator final : public Simulator {
 public:
  explicit MujocoSimulator(std::unique_ptr<Env> its_env)
      : Simulator(std::move(its_env)), model_(env().mujoco()->model()) {
    CallMujoco([&] { data_ = mj_makeData(&model_); });
    if (data_ == nullptr) {
      throw std::runtime_error(env().spec().id + ": MuJoCo has no memory for its data");
    }
    if (model_.nhistory > 0 || model_.nplugin > 0) {
      mj_deleteData(data_);
      throw std::invalid_argument(env().spec().id + ": its model has delays or plugins, whose state is not followed");
    }
    substeps_ = std::llround(env().spec().dt / model_.opt.timestep);
  }
  ~MujocoSimulator() override { mj_deleteData(data_); }

  std::vector<std::string> TangentNames() const override {
    const std::vector<std::string>& names = env().spec().state_names;  // "qpos:hinge", ..., "qvel:hinge", ...
    std::vector<std::string> positions, velocities;
    for (int64_t i = 0; i < nv(); ++i) {
      const std::string& name = names[At(nq() + i)];
      positions.push_back(name.substr(name.find(':') + 1));
      velocities.push_back("d " + positions.back() + "/dt");
    }
    positions.insert(positions.end(), velocities.begin(), velocities.end());
    for (int64_t i = 0; i < na(); ++i) {
      positions.push_back("activation " + std::to_string(i));
    }
    return positions;
  }

  int64_t state_size() const override { return nq() + 2 * nv() + na(); }
  int64_t tangent_size() const override { return 2 * nv() + na(); }
  bool HasQuaternions() const override { return nq() != nv(); }

  // Where it integrates step by step MuJoCo differences its own steps, which costs less than half: it does not compute
  // positions anew for velocities and controls. Of classical Runge-Kutta it gives no derivatives.
  void Linearise(std::span<const double> x, std::span<const double> u, double* a, double* b) override {
    if (model_.opt.integrator == mjINT_RK4) {
      Simulator::Linearise(x, u, a, b);
      return;
    }
    const int64_t n = tangent_size();
    const int64_t m = controls();
    step_a_.resize(At(n * n));
    step_b_.resize(At(n * m));
    product_a_.assign(At(n * n), 0.0);
    product_b_.assign(At(n * m), 0.0);
    for (int64_t i = 0; i < n; ++i) {
      product_a_[At(i * n + i)] = 1;
    }
    bool finite = IsFinite(x) && IsFinite(u);
    if (finite) {
      Load(x, u);
    }
    for (int64_t i = 0; i < substeps_ && finite; ++i) {
      finite = Ends([&] {
        mjd_transitionFD(&model_, data_, kDifference, /*flg_centered=*/1, step_a_.data(), step_b_.data(), nullptr,
                         nullptr);
        mj_step(&model_, data_);
      });
      next_a_.assign(At(n * n), 0.0);
      next_b_.assign(step_b_.begin(), step_b_.end());
      AddProduct(step_a_.data(), product_a_.data(), next_a_.data(), n, n);
      AddProduct(step_a_.data(), product_b_.data(), next_b_.data(), n, m);
      product_a_.swap(next_a_);
      product_b_.swap(next_b_);
    }
    if (!finite) {
      std::fill_n(a, n * n, kNoNumber);
      std::fill_n(b, n * m, kNoNumber);
      return;
    }
    std::copy(product_a_.begin(), product_a_.end(), a);
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < m; ++j) {  // to actions in [-1, 1]
        b[i * m + j] =
            product_b_[At(i * m + j)] * 0.5 * (env().spec().action_high[At(j)] - env().spec().action_low[At(j)]);
      }
    }
  }

  void Difference(std::span<const double> x, std::span<const double> y, std::span<double> difference) const override {
    mj_differentiatePos(&model_, difference.data(), 1, y.data(), x.data());
    for (int64_t i = 0; i < nv() + na(); ++i) {
      difference[At(nv() + i)] = x[At(nq() + i)] - y[At(nq() + i)];
    }
  }

  void Move(std::span<double> x, int64_t i, double step) const override {
    if (i < nv()) {
      unit_.assign(At(nv()), 0.0);
      unit_[At(i)] = step;
      mj_integratePos(&model_, x.data(), unit_.data(), 1);
    } else {
      x[At(nq() + i - nv())] += step;
    }
  }

 private:
  static size_t At(int64_t i) { return static_cast<size_t>(i); }
  int64_t nq() const { return model_.nq; }
  int64_t nv() const { return model_.nv; }
  int64_t na() const { return model_.na; }

  int64_t observed_size() const override { return nq() + nv(); }

  void ReadState(const Env& from, std::span<double> x) const override {
    const MujocoSimulation* simulation = from.mujoco();
    if (simulation == nullptr || simulation->model().nq != nq() || simulation->model().nv != nv() ||
        simulation->model().na != na()) {
      throw std::runtime_error(from.spec().id + " has no state of " + env().spec().id);
    }
    const mjData& data = simulation->data();
    std::copy_n(data.qpos, nq(), x.begin());
    std::copy_n(data.qvel, nv(), x.begin() + nq());
    std::copy_n(data.act, na(), x.begin() + nq() + nv());
    std::copy_n(data.qacc_warmstart, nv(), x.begin() + nq() + nv() + na());
  }

  // C += A B of A [n, n], B [n, columns], row-major.
  static void AddProduct(const double* a, const double* b, double* c, int64_t n, int64_t columns) {
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t k = 0; k < n; ++k) {
        for (int64_t j = 0; j < columns; ++j) {
          c[i * columns + j] += a[i * n + k] * b[k * columns + j];
        }
      }
    }
  }

  void Load(std::span<const double> x, std::span<const double> u) {
    std::copy_n(x.begin(), nq(), data_->qpos);
    std::copy_n(x.begin() + nq(), nv(), data_->qvel);
    std::copy_n(x.begin() + nq() + nv(), na(), data_->act);
    std::copy_n(x.begin() + nq() + nv() + na(), nv(), data_->qacc_warmstart);
    for (size_t i = 0; i < u.size(); ++i) {
      data_->ctrl[i] = EnvAction(u, i);
    }
    data_->time = 0;
  }

  // Whether MuJoCo's functions came to an end without an error, and the simulation stayed stable.
  bool Ends(c10::function_ref<void()> call) {
    try {
      CallMujoco(call);
    } catch (const std::runtime_error&) {  // one of MuJoCo's own
      mj_resetData(&model_, data_);
      return false;
    }
    for (const mjtWarning warning : {mjWARN_BADQPOS, mjWARN_BADQVEL, mjWARN_BADQACC, mjWARN_BADCTRL}) {
      if (data_->warning[warning].number > 0) {
        mj_resetData(&model_, data_);
        return false;
      }
    }
    return true;
  }

  bool Advance(std::span<const double> x, std::span<const double> u, std::span<double> next) override {
    Load(x, u);
    const bool ends = Ends([&] {
      for (int64_t i = 0; i < substeps_; ++i) {
        mj_step(&model_, data_);
      }
    });
    if (!ends) {
      return false;
    }
    std::copy_n(data_->qpos, nq(), next.begin());
    std::copy_n(data_->qvel, nv(), next.begin() + nq());
    std::copy_n(data_->act, na(), next.begin() + nq() + nv());
    std::copy_n(data_->qacc_warmstart, nv(), next.begin() + nq() + nv() + na());
    return IsFinite(next);
  }

  const mjModel& model_;  // the environment's, with what it drew
  mjData* data_ = nullptr;
  int64_t substeps_ = 1;
  mutable std::vector<double> unit_;
  std::vector<double> step_a_, step_b_, product_a_, product_b_, next_a_, next_b_;
};

// Any other task, by its own functions.
class SimulatorDynamics::EnvSimulator final : public Simulator {
 public:
  explicit EnvSimulator(std::unique_ptr<Env> its_env)
      : Simulator(std::move(its_env)), obs_(env().spec().obs_low.size()), env_action_(env().spec().action_low.size()) {}

  std::vector<std::string> TangentNames() const override { return env().spec().state_names; }

  int64_t state_size() const override { return static_cast<int64_t>(env().spec().state_names.size()); }
  int64_t tangent_size() const override { return state_size(); }

  void Difference(std::span<const double> x, std::span<const double> y, std::span<double> difference) const override {
    std::transform(x.begin(), x.end(), y.begin(), difference.begin(), std::minus<>());
  }
  void Move(std::span<double> x, int64_t i, double step) const override { x[static_cast<size_t>(i)] += step; }

 private:
  int64_t observed_size() const override { return state_size(); }

  void ReadState(const Env& from, std::span<double> x) const override {
    const std::vector<double> state = from.GetState();
    if (state.size() != x.size()) {
      throw std::runtime_error(from.spec().id + " has no state of " + env().spec().id);
    }
    std::copy(state.begin(), state.end(), x.begin());
  }

  bool Advance(std::span<const double> x, std::span<const double> u, std::span<double> next) override {
    for (size_t i = 0; i < u.size(); ++i) {
      env_action_[i] = EnvAction(u, i);
    }
    try {
      env().SetState(x, obs_);
      env().Step(env_action_, obs_);
    } catch (const std::runtime_error&) {  // it became unstable
      return false;
    }
    ReadState(env(), next);
    return IsFinite(next);
  }

  std::vector<double> obs_, env_action_;
};

SimulatorDynamics::SimulatorDynamics(const EnvMaker& maker, int64_t threads) : threads_(threads) {
  for (int64_t i = 0; i < threads_.size(); ++i) {
    std::unique_ptr<Env> env = maker.make();
    if (env->spec().random_steps) {
      throw std::invalid_argument(env->spec().id + " has random steps, which have no derivatives");
    }
    if (env->mujoco() != nullptr) {
      simulators_.push_back(std::make_unique<MujocoSimulator>(std::move(env)));
    } else {
      simulators_.push_back(std::make_unique<EnvSimulator>(std::move(env)));
    }
  }
  tangent_names_ = simulators_[0]->TangentNames();
}

SimulatorDynamics::~SimulatorDynamics() = default;

int64_t SimulatorDynamics::state_size() const { return simulators_[0]->state_size(); }
int64_t SimulatorDynamics::tangent_size() const { return simulators_[0]->tangent_size(); }
int64_t SimulatorDynamics::controls() const { return simulators_[0]->controls(); }
int64_t SimulatorDynamics::obs_dim() const { return simulators_[0]->obs_dim(); }
bool SimulatorDynamics::has_quaternions() const { return simulators_[0]->HasQuaternions(); }

torch::Tensor SimulatorDynamics::StateOf(const Env& env) const {
  torch::Tensor x = torch::empty({state_size()}, torch::kFloat64);
  simulators_[0]->ReadState(env, {x.data_ptr<double>(), static_cast<size_t>(state_size())});
  return x;
}

torch::Tensor SimulatorDynamics::Follow(const Env& env) {
  torch::Tensor x = StateOf(env);
  const std::vector<double> snapshot = env.Snapshot();
  for (const std::unique_ptr<Simulator>& simulator : simulators_) {
    simulator->Follow(snapshot);
  }
  return x;
}

void SimulatorDynamics::Step(const torch::Tensor& x, const torch::Tensor& u, torch::Tensor& next) {
  const int64_t rows = x.size(0);
  RequireDoubles("x", x, {rows, state_size()});
  RequireDoubles("u", u, {rows, controls()});
  RequireDoubles("next", next, {rows, state_size()});
  const auto nx = static_cast<size_t>(state_size());
  const auto m = static_cast<size_t>(controls());
  const double* from = x.data_ptr<double>();
  const double* by = u.data_ptr<double>();
  double* to = next.data_ptr<double>();
  threads_.Run(x.size(0), [&](int64_t row, int64_t worker) {
    const auto r = static_cast<size_t>(row);
    simulators_[static_cast<size_t>(worker)]->Step({from + r * nx, nx}, {by + r * m, m}, {to + r * nx, nx});
  });
}

void SimulatorDynamics::Linearise(const torch::Tensor& x, const torch::Tensor& u, LinearDynamics* dynamics) {
  const auto nx = static_cast<size_t>(state_size());
  const int64_t n = tangent_size();
  const int64_t m = controls();
  const int64_t horizon = u.size(0);
  RequireDoubles("x", x, {horizon + 1, state_size()});
  RequireDoubles("u", u, {horizon, m});
  RequireDoubles("dynamics.a", dynamics->a, {horizon, n, n});
  RequireDoubles("dynamics.b", dynamics->b, {horizon, n, m});
  const double* states = x.data_ptr<double>();
  const double* actions = u.data_ptr<double>();
  double* a = dynamics->a.data_ptr<double>();
  double* b = dynamics->b.data_ptr<double>();
  threads_.Run(u.size(0), [&](int64_t t, int64_t worker) {
    simulators_[static_cast<size_t>(worker)]->Linearise({states + static_cast<size_t>(t) * nx, nx},
                                                        {actions + t * m, static_cast<size_t>(m)}, a + t * n * n,
                                                        b + t * n * m);
  });
}

void SimulatorDynamics::Observe(const torch::Tensor& x, torch::Tensor& obs) {
  const int64_t rows = x.size(0);
  RequireDoubles("x", x, {rows, state_size()});
  RequireDoubles("obs", obs, {rows, obs_dim()});
  const auto nx = static_cast<size_t>(state_size());
  const auto dim = static_cast<size_t>(obs_dim());
  const double* from = x.data_ptr<double>();
  double* to = obs.data_ptr<double>();
  threads_.Run(rows, [&](int64_t row, int64_t worker) {
    const auto r = static_cast<size_t>(row);
    simulators_[static_cast<size_t>(worker)]->Observe({from + r * nx, nx}, {to + r * dim, dim});
  });
}

void SimulatorDynamics::LineariseObs(const torch::Tensor& x, torch::Tensor& jacobian) {
  const int64_t rows = x.size(0);
  RequireDoubles("x", x, {rows, state_size()});
  RequireDoubles("jacobian", jacobian, {rows, obs_dim(), tangent_size()});
  const auto nx = static_cast<size_t>(state_size());
  const int64_t size = obs_dim() * tangent_size();
  const double* from = x.data_ptr<double>();
  double* to = jacobian.data_ptr<double>();
  threads_.Run(rows, [&](int64_t row, int64_t worker) {
    simulators_[static_cast<size_t>(worker)]->LineariseObs({from + static_cast<size_t>(row) * nx, nx}, to + row * size);
  });
}

void SimulatorDynamics::Difference(const torch::Tensor& x, const torch::Tensor& y, torch::Tensor& difference) const {
  RequireDoubles("x", x, {x.size(0), state_size()});
  RequireDoubles("y", y, {x.size(0), state_size()});
  RequireDoubles("difference", difference, {x.size(0), tangent_size()});
  const auto nx = static_cast<size_t>(state_size());
  const auto n = static_cast<size_t>(tangent_size());
  for (size_t r = 0; r < static_cast<size_t>(x.size(0)); ++r) {
    simulators_[0]->Difference({x.data_ptr<double>() + r * nx, nx}, {y.data_ptr<double>() + r * nx, nx},
                               {difference.data_ptr<double>() + r * n, n});
  }
}

}  // namespace reverie
