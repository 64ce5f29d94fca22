// Chooses the engine by shape: measured, oneDNN wins once both n and k reach 256, our kernel below.
#include "blas/blas.h"

#include <fmt/format.h>
#include <oneapi/dnnl/dnnl.h>

#include <type_traits>

#include "core/error.h"

// libgomp's own function; its header would be all we need of OpenMP.
extern "C" void omp_set_num_threads(int);

namespace lra::blas {
namespace {

[[maybe_unused]] void onednn_gemm(const math::Gemm<float>& g) {
  // oneDNN parallelises through OpenMP; our workers already own the cores.
  thread_local const bool alone = (omp_set_num_threads(1), true);
  LRA_ASSERT(alone);
  float beta = g.beta;
  if (g.bias != nullptr) {
    for (int64_t i = 0; i < g.m; ++i) {
      float* row = g.c + i * g.ldc;
      for (int64_t j = 0; j < g.n; ++j) row[j] = (g.beta == 0.0f ? 0.0f : g.beta * row[j]) + g.bias[j];
    }
    beta = 1.0f;
  }
  const auto flag = [](math::Op op) { return op == math::Op::kTranspose ? 'T' : 'N'; };
  const dnnl_status_t status =
      dnnl_sgemm(flag(g.op_a), flag(g.op_b), g.m, g.n, g.k, g.alpha, g.a, g.lda, g.b, g.ldb, beta, g.c, g.ldc);
  LRA_ASSERT(status == dnnl_success);
  math::count_flops(static_cast<uint64_t>(2 * g.m * g.n * g.k));
}

// A template, so that the other build does not even look at the call of a float function.
template <class T>
void multiply(const math::Gemm<T>& g) {
  if constexpr (std::is_same_v<T, float>) {
    if (uses_onednn(g.m, g.n, g.k)) {
      onednn_gemm(g);
      return;
    }
  }
  math::gemm(g);
}

}  // namespace

bool uses_onednn(int64_t m, int64_t n, int64_t k) {
  return std::is_same_v<Real, float> && m >= 16 && n >= 256 && k >= 256;
}

void gemm(const math::Gemm<Real>& g) { multiply(g); }

std::string onednn_version() {
  const dnnl_version_t* version = dnnl_version();
  return fmt::format("{}.{}.{}", version->major, version->minor, version->patch);
}

uint64_t flops() { return math::kernel_flops(); }

}  // namespace lra::blas
