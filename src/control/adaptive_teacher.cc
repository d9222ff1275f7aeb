#include "reverie/control/adaptive_teacher.h"

#include <stdexcept>

#include "doubles.h"
#include "reverie/control/box_qp.h"

namespace reverie {

torch::Tensor AdaptedAction(const torch::Tensor& expert, const torch::Tensor& curvature, const torch::Tensor& pupil,
                            const torch::Tensor& pupil_precision, double lambda) {
  const int64_t m = expert.numel();
  RequireDoubles("expert", expert, {m});
  RequireDoubles("curvature", curvature, {m, m});
  RequireDoubles("pupil", pupil, {m});
  RequireDoubles("pupil_precision", pupil_precision, {m, m});
  if (!(lambda >= 0)) {
    throw std::invalid_argument("lambda: expected at least 0");
  }
  const torch::Tensor hessian = curvature + lambda * pupil_precision;
  const torch::Tensor gradient = -(torch::mv(curvature, expert) + lambda * torch::mv(pupil_precision, pupil));
  const torch::Tensor high = torch::ones_like(expert);
  const BoxQpResult solved = SolveBoxQp(hessian, gradient, -high, high, expert);
  const bool usable = solved.status == BoxQpStatus::kSolved || solved.status == BoxQpStatus::kAllClamped;
  return usable ? solved.x : expert.clamp(-1, 1);
}

}  // namespace reverie
