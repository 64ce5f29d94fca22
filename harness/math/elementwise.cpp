// Doors of the element and row kernels: scalar factors are worked out here in double, the loops live in
// isa/elementwise.cpp.
#include "math/elementwise.h"

#include <cmath>

#include "core/rng.h"
#include "math/isa/elementwise_table.h"

namespace lra::math {
namespace {

template <class T>
const ElementwiseTable<T>& table() {
  static const ElementwiseTable<T>& picked = LRA_PICK(elementwise_table<T>);
  return picked;
}

}  // namespace

template <class T>
void exp(int64_t n, const T* x, T* y) {
  table<T>().exp(n, x, y);
}

template <class T>
void gelu(int64_t n, const T* x, T* y, Gelu form) {
  (form == Gelu::kTanh ? table<T>().gelu_tanh : table<T>().gelu_erf)(n, x, y);
}

template <class T>
void gelu_backward(int64_t n, const T* x, const T* dy, T* dx, Gelu form) {
  (form == Gelu::kTanh ? table<T>().gelu_tanh_backward : table<T>().gelu_erf_backward)(n, x, dy, dx);
}

template <class T>
void layer_norm(int64_t rows, int64_t d, const T* x, const T* gain, const T* shift, T eps, T* y, T* mean, T* rstd) {
  table<T>().layer_norm(rows, d, x, gain, shift, eps, y, mean, rstd);
}

template <class T>
void layer_norm_backward(int64_t rows, int64_t d, const T* x, const T* gain, const T* mean, const T* rstd, const T* dy,
                         T* dx, T* dgain, T* dshift) {
  table<T>().layer_norm_backward(rows, d, x, gain, mean, rstd, dy, dx, dgain, dshift);
}

template <class T>
void add(int64_t n, const T* a, const T* b, T* y) {
  table<T>().add(n, a, b, y);
}

template <class T>
void axpy(int64_t n, T alpha, const T* x, T* y) {
  table<T>().axpy(n, alpha, x, y);
}

template <class T>
void scale(int64_t n, T alpha, T* x) {
  table<T>().scale(n, alpha, x);
}

template <class T>
void column_sums(int64_t rows, int64_t d, const T* x, int64_t ld, T* out) {
  table<T>().column_sums(rows, d, x, ld, out);
}

template <class T>
double sum_squares(int64_t n, const T* x) {
  return table<T>().sum_squares(n, x);
}

template <class T>
void dropout(int64_t n, T* x, double p, uint64_t key, uint64_t offset) {
  if (p <= 0) return;
  DropoutRule rule;
  // Keys often differ by 1 (layer, step); mixed once, their sequences of counters do not meet.
  rule.key = mix64(key);
  rule.offset = offset;
  rule.drop_below = p < 1 ? static_cast<uint32_t>(p * 0x1p32) : UINT32_MAX;
  rule.kept_scale = p < 1 ? 1 / (1 - p) : 0;
  table<T>().dropout(n, x, rule);
}

template <class T>
void adamw(const AdamW& rule, int64_t n, T* w, const T* g, T* m, T* v) {
  const double step = static_cast<double>(rule.step);
  AdamWFactors f;
  f.beta1 = rule.beta1;
  f.one_minus_beta1 = 1 - rule.beta1;
  f.beta2 = rule.beta2;
  f.one_minus_beta2 = 1 - rule.beta2;
  f.gradient_scale = rule.gradient_scale;
  f.rate = rule.lr / (1 - std::pow(rule.beta1, step));
  f.v_unbias = 1 / (1 - std::pow(rule.beta2, step));
  f.eps = rule.eps;
  f.shrink = 1 - rule.lr * rule.decay;
  table<T>().adamw(f, n, w, g, m, v);
}

#define LRA_INSTANTIATE(T)                                                                                           \
  template void exp(int64_t, const T*, T*);                                                                          \
  template void gelu(int64_t, const T*, T*, Gelu);                                                                   \
  template void gelu_backward(int64_t, const T*, const T*, T*, Gelu);                                                \
  template void layer_norm(int64_t, int64_t, const T*, const T*, const T*, T, T*, T*, T*);                           \
  template void layer_norm_backward(int64_t, int64_t, const T*, const T*, const T*, const T*, const T*, T*, T*, T*); \
  template void add(int64_t, const T*, const T*, T*);                                                                \
  template void axpy(int64_t, T, const T*, T*);                                                                      \
  template void scale(int64_t, T, T*);                                                                               \
  template void column_sums(int64_t, int64_t, const T*, int64_t, T*);                                                \
  template double sum_squares(int64_t, const T*);                                                                    \
  template void dropout(int64_t, T*, double, uint64_t, uint64_t);                                                    \
  template void adamw(const AdamW&, int64_t, T*, const T*, T*, T*);

LRA_INSTANTIATE(float)
LRA_INSTANTIATE(double)
#undef LRA_INSTANTIATE

}  // namespace lra::math
