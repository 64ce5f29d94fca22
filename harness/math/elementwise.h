// Row and element kernels of the encoder, forward and backward, vectorised; one thread, no allocation.
// T: float, double. Arrays are contiguous unless a leading dimension (ld, in elements) is given. Thread-safe.
#ifndef LRA_MATH_ELEMENTWISE_H
#define LRA_MATH_ELEMENTWISE_H

#include <cstdint>

namespace lra::math {

// y = e^x, relative error <= 1e-7 (float) / 1e-15 (double) where the result is normal; exact 0 far below, +inf far
// above.
template <class T>
void exp(int64_t n, const T* x, T* y);

enum class Gelu { kTanh, kErf };

// y = GELU(x): kTanh 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))); kErf 0.5 x (1 + erf(x / sqrt 2)). In place
// allowed.
template <class T>
void gelu(int64_t n, const T* x, T* y, Gelu form);
// dx = dy * GELU'(x). dx may be dy.
template <class T>
void gelu_backward(int64_t n, const T* x, const T* dy, T* dx, Gelu form);

// y = gain * (x - mean) * rstd + shift per row of d channels, rstd = 1 / sqrt(var + eps), biased variance.
// mean, rstd: [rows], written for backward.
template <class T>
void layer_norm(int64_t rows, int64_t d, const T* x, const T* gain, const T* shift, T eps, T* y, T* mean, T* rstd);
// dx overwritten; dgain, dshift: [d], +=. x, mean, rstd as forward saw and wrote them. dx may be dy.
template <class T>
void layer_norm_backward(int64_t rows, int64_t d, const T* x, const T* gain, const T* mean, const T* rstd, const T* dy,
                         T* dx, T* dgain, T* dshift);

// y = a + b. y may be a or b.
template <class T>
void add(int64_t n, const T* a, const T* b, T* y);
// y += alpha * x.
template <class T>
void axpy(int64_t n, T alpha, const T* x, T* y);
// x *= alpha.
template <class T>
void scale(int64_t n, T alpha, T* x);
// out[c] += sum over rows of x[r, c]. x: [rows, d] with row stride ld. Fixed order.
template <class T>
void column_sums(int64_t rows, int64_t d, const T* x, int64_t ld, T* out);
// Sum of squares in double, fixed order.
template <class T>
double sum_squares(int64_t n, const T* x);

// x[i] = keep(i) ? x[i] / (1 - p) : 0, where keep depends only on (key, offset + i): backward calls it again on the
// gradient.
template <class T>
void dropout(int64_t n, T* x, double p, uint64_t key, uint64_t offset);

// AdamW with decoupled decay (Loshchilov & Hutter 2019), bias-corrected, eps outside the root; the decay uses the old
// value:
//   m = b1 m + (1-b1) g;  v = b2 v + (1-b2) g^2;  w -= lr * (m_hat / (sqrt(v_hat) + eps) + decay * w)
struct AdamW {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.99, eps = 1e-8, decay = 0.01;
  int64_t step = 1;             // number of this update, from 1
  double gradient_scale = 1.0;  // multiplies g first: 1 / batch and clipping
};
template <class T>
void adamw(const AdamW& rule, int64_t n, T* w, const T* g, T* m, T* v);

}  // namespace lra::math

#endif  // LRA_MATH_ELEMENTWISE_H
