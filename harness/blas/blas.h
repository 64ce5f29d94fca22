// The one place where the harness multiplies matrices: our own kernel for the small inner sizes of these models, oneDNN
// for wide layers. Both run on the calling thread only. FLOPs of either are counted.
#ifndef LRA_BLAS_BLAS_H
#define LRA_BLAS_BLAS_H

#include <cstdint>
#include <string>

#include "core/real.h"
#include "math/gemm.h"

namespace lra::blas {

// C = alpha op(A) op(B) + beta C (+ bias). Thread-safe; each calling thread computes alone.
void gemm(const math::Gemm<Real>& g);

// True where oneDNN's sgemm is taken: float, and both n and k at least 256.
bool uses_onednn(int64_t m, int64_t n, int64_t k);

// "2.6.3"
std::string onednn_version();

// FLOPs of all gemm() calls so far, plus those of other kernels of the math room in this program.
uint64_t flops();

}  // namespace lra::blas

#endif  // LRA_BLAS_BLAS_H
