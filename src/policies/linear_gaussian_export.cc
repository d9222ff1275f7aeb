#include "reverie/policies/linear_gaussian_export.h"

#include <torch/script.h>

#include <sstream>
#include <stdexcept>
#include <string>

#include "reverie/core/file.h"
#include "reverie/core/text.h"
#include "reverie/env/action_bounds.h"
#include "reverie/policies/export.h"

namespace reverie {
namespace {

constexpr double kTolerance = 1e-12;

constexpr const char* kSource = R"(
def in_bounds(self, u: Tensor) -> Tensor:
    return self.action_center + self.action_half_range * torch.clamp(u, -1.0, 1.0)

def mean(self, state: Tensor, t: int, start: int) -> Tensor:
    assert state.dim() == 2 and state.size(1) == len(self.state_names), "state must be [B, len(state_names)]"
    assert start >= 0 and start < self.starts.size(0), "start must be that of one of starts"
    assert t >= 0, "t must be at least 0"
    i = min(t, self.horizon - 1)
    x = state.to(self.feedback)
    return torch.matmul(x, self.feedback[start][i].t()) + self.feedforward[start][i]

def forward(self, state: Tensor, t: int, start: int = 0) -> Tensor:
    return self.in_bounds(self.mean(state, t, start))

def sample(self, state: Tensor, t: int, start: int = 0) -> Tensor:
    u = self.mean(state, t, start)
    factor = self.factor[start][min(t, self.horizon - 1)]
    return self.in_bounds(u + torch.matmul(torch.randn_like(u), factor.t()))

def nearest(self, state: Tensor) -> Tensor:
    return (state.to(self.starts).unsqueeze(1) - self.starts).square().sum(2).argmin(1)
)";

}  // namespace

void ExportLinearGaussian(const EnvSpec& spec, const Env::States& starts,
                          const std::vector<LinearGaussianController>& controllers, const std::filesystem::path& path) {
  if (controllers.empty() || starts.size() != controllers.size()) {
    throw std::logic_error(Text("an export of ", controllers.size(), " controllers for ", starts.size(), " starts"));
  }
  std::vector<torch::Tensor> first, feedback, feedforward, factor;
  for (size_t i = 0; i < starts.size(); ++i) {
    first.push_back(torch::tensor(starts[i], torch::kFloat64));
    feedback.push_back(controllers[i].gains.feedback);
    feedforward.push_back(controllers[i].gains.feedforward);
    factor.push_back(controllers[i].factor);
  }
  const BatchedActionBounds bounds(spec.action_low, spec.action_high, torch::dtype(torch::kFloat64));
  torch::jit::Module module("__torch__.ReverieLinearGaussian");
  module.register_attribute("format_version", c10::IntType::get(), kPolicyFormatVersion);
  module.register_attribute("env_id", c10::StringType::get(), spec.id);
  module.register_attribute("state_names", c10::ListType::ofStrings(),
                            c10::List<std::string>(c10::ArrayRef<std::string>(spec.state_names)));
  module.register_attribute("horizon", c10::IntType::get(), controllers[0].horizon());
  module.register_attribute("act_dim", c10::IntType::get(), spec.act_dim());
  module.register_buffer("starts", torch::stack(first));
  module.register_buffer("feedback", torch::stack(feedback));
  module.register_buffer("feedforward", torch::stack(feedforward));
  module.register_buffer("factor", torch::stack(factor));
  module.register_buffer("action_center", bounds.center().clone());
  module.register_buffer("action_half_range", bounds.half_range().clone());
  module.define(kSource);
  module.eval();
  std::ostringstream bytes;
  module.save(bytes);
  const PartialFile file(path);
  file.Write(bytes.str());

  const torch::NoGradGuard no_grad;
  torch::jit::Module read = torch::jit::load(file.partial().string(), torch::kCPU);
  for (size_t i = 0; i < starts.size(); ++i) {
    const torch::Tensor x = torch::stack({first[i], first[i] + 0.1});
    for (int64_t t = 0; t < controllers[i].horizon(); ++t) {
      const torch::Tensor u = x.mm(controllers[i].gains.feedback[t].t()) + controllers[i].gains.feedforward[t];
      const torch::Tensor error =
          (read.forward({x, t, static_cast<int64_t>(i)}).toTensor() - bounds.ToEnvAction(u.clamp(-1, 1))) /
          bounds.half_range();
      if (!(error.abs().max().item<double>() <= kTolerance)) {
        throw std::runtime_error(Text("the policy in ", path.string(),
                                      " would not be the one in use: its action of step ", t, " from start ", i,
                                      " differs"));
      }
    }
  }
  file.MoveIntoPlace();
}

}  // namespace reverie
