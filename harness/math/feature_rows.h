// Row kernels that feature maps and feature attention are made of. They work on tiles that lie in cache: `rows` rows of
// `d` values, ld* elements from one row to the next. One thread, no allocation, thread-safe; T: float, double. Sums run
// in a fixed order. An output may be its own input of the same shape and stride.
#ifndef LRA_MATH_FEATURE_ROWS_H
#define LRA_MATH_FEATURE_ROWS_H

#include <cstdint>

namespace lra::math {

// Curves that generalised kernel attention is built from; kElu1 is elu(x) + 1: x + 1 above 0, e^x below.
enum class Curve { kRelu, kElu1, kExp, kSigmoid, kAbs, kGelu, kCos, kTanh, kIdentity };

// y = factor f(x) + offset.
template <class T>
void curve(Curve f, int64_t rows, int64_t d, const T* x, int64_t ldx, T factor, T offset, T* y, int64_t ldy);
// dx = factor f'(x) dy; at a kink the slope from the left.
template <class T>
void curve_backward(Curve f, int64_t rows, int64_t d, const T* x, int64_t ldx, T factor, const T* dy, int64_t lddy,
                    T* dx, int64_t lddx);

// y[r, c] = 2^(sign x[r, c] - shift[r] - whole[r]) + offset[r]. whole: integers; they move the exponent bits only, so
// that two values of whole give the same digits. The full exponent is at most 1; where the power would be subnormal it
// is 0.
template <class T>
void exp2_rows(int64_t rows, int64_t d, T sign, const T* x, int64_t ldx, const T* shift, const T* whole,
               const T* offset, T* y, int64_t ldy);
// cosine[r, c] = factor[r] cos x[r, c], sine likewise. In float for |x| up to some thousands.
template <class T>
void cos_sin_rows(int64_t rows, int64_t d, const T* x, int64_t ldx, const T* factor, T* cosine, int64_t ldcosine,
                  T* sine, int64_t ldsine);

// out[r] = max_c x[r, c], or max_c |x[r, c]|. d >= 1.
template <class T>
void max_rows(int64_t rows, int64_t d, const T* x, int64_t ldx, T* out);
template <class T>
void max_abs_rows(int64_t rows, int64_t d, const T* x, int64_t ldx, T* out);
// out[r] = sum_c a[r, c] b[r, c]. ldb = 0: the same b for every row.
template <class T>
void dot_rows(int64_t rows, int64_t d, const T* a, int64_t lda, const T* b, int64_t ldb, T* out);
// y[r, c] = factor[r] x[r, c].
template <class T>
void scale_rows(int64_t rows, int64_t d, const T* factor, const T* x, int64_t ldx, T* y, int64_t ldy);
// y[r, c] += factor[r] x[r, c].
template <class T>
void axpy_rows(int64_t rows, int64_t d, const T* factor, const T* x, int64_t ldx, T* y, int64_t ldy);
// y[r, c] = a[r, c] (b[r, c] - offset[r]),  sum[r] = sum_c y[r, c].
template <class T>
void product_rows(int64_t rows, int64_t d, const T* a, int64_t lda, const T* b, int64_t ldb, const T* offset, T* y,
                  int64_t ldy, T* sum);

// y[c, r] = x[r, c]. ldy >= rows rounded up to a multiple of 16: the columns up to there may be written, with zeros.
template <class T>
void transpose(int64_t rows, int64_t d, const T* x, int64_t ldx, T* y, int64_t ldy);

}  // namespace lra::math

#endif  // LRA_MATH_FEATURE_ROWS_H
