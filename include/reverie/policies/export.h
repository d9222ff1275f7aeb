// Trained policies as files that other programs act with: a TorchScript module, and JSON for readers without
// TorchScript.
//
//   z_0 = (obs - obs_mean) / obs_std
//   z_i = activation_i(weight_i z_{i-1} + bias_i)                     i = 1..L, activation_L = tanh
//   mean action = action_low + (z_L + 1) / 2 (action_high - action_low)
//
// and, where the policy has a log-std head or a std head, a sampled action is the same with
//
//   z_L = tanh(u),  u ~ N(weight_L z_{L-1} + bias_L, diag(s)^2),  s = exp(clamp(W z_{L-1} + b, low, high))
//
// W, b, low, high being the head's. With a std head, s = softplus(W z_{L-1} + b) + least. Source of the distribution:
// Haarnoja et al. 2018b, appendix C.
//
// The TorchScript module (PyTorch's torch.jit.load, LibTorch's torch::jit::load; no operators of its own) has
//   forward(obs: [B, obs_dim] float32) -> [B, act_dim] float32    the mean action in the environment's own bounds
//   sample(obs) -> the same shape                                 a draw, from PyTorch's default generator
//   env_id: str, obs_dim: int, act_dim: int, format_version: int
// Observations of another float type are rounded to float32. It runs on the device it is moved to. Actions are held
// within the bounds rounded to float32. Where the policy has neither head, sample is forward.
//
// The JSON file is one object with the keys format_version, env_id, env_options (name -> value, as the environment's
// constructor takes them; where less is observed than it tells, also observe.columns, observe.frames and
// observe.differences, as in env/observed_env.h), obs_dim, act_dim, action_low, action_high, obs_mean, obs_std, layers:
// [{weight: [out][in], bias, activation}] and, where there is such a head, log_std: {weight, bias, low, high} or std:
// {weight, bias, least}. An infinite option is written as the largest finite float64 of its sign: every reader takes
// it, and as a bound it means the same.
//
// Not supported: image observations, policies with memory, full-covariance or multi-modal distributions.
#ifndef REVERIE_POLICIES_EXPORT_H_
#define REVERIE_POLICIES_EXPORT_H_

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "reverie/config/fields.h"
#include "reverie/core/tensor.h"

namespace reverie {

// The version both files carry; a reader of one version refuses others.
inline constexpr int64_t kPolicyFormatVersion = 1;

using EnvOptionValue = std::variant<bool, int64_t, double, std::string, std::vector<int64_t>, std::vector<double>>;

// Option names with their values, in the order they are listed.
using EnvOptions = std::vector<std::pair<std::string, EnvOptionValue>>;

// The present values of an environment's options (EnvMaker::options). One that is left empty is left out; those of a
// section are named "section.option".
EnvOptions EnvOptionsOf(const Fields& options);

struct FrozenLayer {
  torch::Tensor weight;    // [out, in] float32
  torch::Tensor bias;      // [out] float32
  std::string activation;  // "relu", "tanh", "silu" or "identity"
};

struct FrozenLogStdHead {
  torch::Tensor weight;  // [act_dim, in] float32, on the input of the last layer
  torch::Tensor bias;    // [act_dim] float32
  double low = -20;      // clamp
  double high = 2;
};

struct FrozenStdHead {
  torch::Tensor weight;  // [act_dim, in] float32, on the input of the last layer
  torch::Tensor bias;    // [act_dim] float32
  double least = 0;      // added
};

// All that acting takes, free of training code. Tensors are on the CPU, float32, without gradients.
struct FrozenPolicy {
  std::string env_id;
  EnvOptions env_options;
  torch::Tensor obs_mean;                       // [obs_dim]
  torch::Tensor obs_std;                        // [obs_dim], above 0
  std::vector<double> action_low, action_high;  // [act_dim], finite, low below high
  std::vector<FrozenLayer> layers;              // at least one; the last has activation "tanh" and act_dim outputs
  // At most one of the two.
  std::optional<FrozenLogStdHead> log_std;
  std::optional<FrozenStdHead> std_head;

  int64_t obs_dim() const { return obs_mean.size(0); }
  int64_t act_dim() const { return static_cast<int64_t>(action_low.size()); }

  // The mean action in the environment's own bounds. obs [B, obs_dim], any float type, CPU. Returns [B, act_dim]
  // float32. Throws std::logic_error where obs has another shape.
  torch::Tensor Mean(const torch::Tensor& obs) const;
};

// Both replace the file at `path` whole or not at all. Throw std::logic_error naming the part of the policy whose shape
// does not fit the rest, std::runtime_error where one of its numbers is not finite or the file cannot be written.
void WriteTorchScript(const FrozenPolicy& policy, const std::filesystem::path& path);
void WritePolicyJson(const FrozenPolicy& policy, const std::filesystem::path& path);

// Reads what WritePolicyJson wrote, to the same numbers bit for bit. Keys may come in any order; one that is missing,
// unknown or given twice, a value of the wrong type, shape or range, another format_version, and a file above 128 MiB
// throw std::runtime_error naming file and key.
FrozenPolicy ReadPolicyJson(const std::filesystem::path& path);

// What the policy in use does, by which its files are judged.
struct PolicyInUse {
  torch::Tensor obs;  // [N, obs_dim] float32 on the CPU, N at least 1
  // Mean actions there, [N, act_dim] in the environment's own bounds, of any device: those it acts with, and those that
  // the same parameters give in float64.
  torch::Tensor actions, exact_actions;
};

// Writes both files, reads them back, and holds the mean actions that they give against those of the policy in use. On
// average over the observations, each dimension lies within 1e-2 of its half-range as it is computed, and within 1e-12
// of it, and a millionth of the rounding of float32, with the parameters and the bounds in float64. Throws
// std::runtime_error saying which file differs by how much and where, and as the writers do; files that were at those
// paths are then left as they were, and no new one is left behind.
void ExportPolicy(const FrozenPolicy& policy, const PolicyInUse& in_use, const std::filesystem::path& torchscript_path,
                  const std::filesystem::path& json_path);

}  // namespace reverie

#endif  // REVERIE_POLICIES_EXPORT_H_
