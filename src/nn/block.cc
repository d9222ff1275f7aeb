#include "block.h"

#include <ATen/ATen.h>

#include <algorithm>

#if REVERIE_HAS_SGEMM
// The BLAS that LibTorch was built with: column-major, so that it is asked for y^T = b^T a^T.
extern "C" void sgemm_(const char* trans_a, const char* trans_b, const int* m, const int* n, const int* k,
                       const float* alpha, const float* a, const int* lda, const float* b, const int* ldb,
                       const float* beta, float* c, const int* ldc);
#endif

namespace reverie {

void BlockProduct(const ConstBlock& a, const float* b, int64_t k, int64_t n, float* y) {
  const int64_t stride = std::max(a.stride, k);  // that of a single row may be anything
#if REVERIE_HAS_SGEMM
  const auto rows = static_cast<int>(a.rows);
  const auto columns = static_cast<int>(n);
  const auto inner = static_cast<int>(k);
  const auto lda = static_cast<int>(stride);
  const float one = 1;
  const float zero = 0;
  sgemm_("N", "N", &columns, &rows, &inner, &one, b, &columns, a.data, &lda, &zero, y, &columns);
#else
  const auto view = [](const float* data, int64_t rows, int64_t columns, int64_t row_stride) {
    return at::from_blob(const_cast<float*>(data), {rows, columns}, {row_stride, 1}, at::kFloat);
  };
  at::Tensor product = view(y, a.rows, n, n);
  at::mm_out(product, view(a.data, a.rows, k, stride), view(b, k, n, n));
#endif
}

}  // namespace reverie
