// The element and row kernels of one instruction set, as function pointers. Meanings and formulas: math/elementwise.h.
#ifndef LRA_MATH_ISA_ELEMENTWISE_TABLE_H
#define LRA_MATH_ISA_ELEMENTWISE_TABLE_H

#include <cstdint>

#include "math/dispatch.h"

namespace lra::math {

// Factors of one AdamW update, worked out in double by the caller.
struct AdamWFactors {
  double beta1, one_minus_beta1, beta2, one_minus_beta2;
  double gradient_scale;
  double rate;      // lr / (1 - beta1^step)
  double v_unbias;  // 1 / (1 - beta2^step)
  double eps;
  double shrink;  // 1 - lr * decay
};

// Bits of one element below `drop_below` (of 2^32) drop it. `key` is already mixed.
struct DropoutRule {
  uint64_t key, offset;
  uint32_t drop_below;
  double kept_scale;
};

template <class T>
struct ElementwiseTable {
  void (*exp)(int64_t n, const T* x, T* y);
  void (*gelu_tanh)(int64_t n, const T* x, T* y);
  void (*gelu_erf)(int64_t n, const T* x, T* y);
  void (*gelu_tanh_backward)(int64_t n, const T* x, const T* dy, T* dx);
  void (*gelu_erf_backward)(int64_t n, const T* x, const T* dy, T* dx);
  void (*layer_norm)(int64_t rows, int64_t d, const T* x, const T* gain, const T* shift, T eps, T* y, T* mean, T* rstd);
  void (*layer_norm_backward)(int64_t rows, int64_t d, const T* x, const T* gain, const T* mean, const T* rstd,
                              const T* dy, T* dx, T* dgain, T* dshift);
  void (*add)(int64_t n, const T* a, const T* b, T* y);
  void (*axpy)(int64_t n, T alpha, const T* x, T* y);
  void (*scale)(int64_t n, T alpha, T* x);
  void (*column_sums)(int64_t rows, int64_t d, const T* x, int64_t ld, T* out);
  double (*sum_squares)(int64_t n, const T* x);
  void (*dropout)(int64_t n, T* x, const DropoutRule& rule);
  void (*adamw)(const AdamWFactors& f, int64_t n, T* w, const T* g, T* m, T* v);
};

LRA_DECLARE_TABLE(ElementwiseTable, elementwise_table)

}  // namespace lra::math

#endif  // LRA_MATH_ISA_ELEMENTWISE_TABLE_H
