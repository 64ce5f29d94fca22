// Matrix products on row-major arrays, one thread, blocked for L1/L2: the only multiplication kernel of the house.
//   C = alpha * op(A) * op(B) + beta * C (+ bias on every row)
// Long inner sums (k) are split in blocks of fixed size, which keeps float error low and the result independent of
// threads.
#ifndef LRA_MATH_GEMM_H
#define LRA_MATH_GEMM_H

#include <cstdint>

namespace lra::math {

enum class Op { kNone, kTranspose };

template <class T>
struct Gemm {
  int64_t m = 0, n = 0, k = 0;  // C: m x n, op(A): m x k, op(B): k x n; any may be 0
  const T* a = nullptr;
  int64_t lda = 0;  // elements from one stored row to the next
  Op op_a = Op::kNone;
  const T* b = nullptr;
  int64_t ldb = 0;
  Op op_b = Op::kNone;
  T* c = nullptr;
  int64_t ldc = 0;
  T alpha = 1;
  T beta = 0;               // 0: C is overwritten and not read
  const T* bias = nullptr;  // [n] or null
};

// T: float, double. No allocation; packs panels on the stack (at most 128 KiB). Thread-safe.
template <class T>
void gemm(const Gemm<T>& g);

// FLOPs done by gemm and the attention kernels of this copy of the library since start. Thread-safe.
uint64_t kernel_flops();
// Adds to the count; called by kernels.
void count_flops(uint64_t flops);

}  // namespace lra::math

#endif  // LRA_MATH_GEMM_H
