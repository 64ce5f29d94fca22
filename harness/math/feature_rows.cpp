// Doors of the row kernels of feature maps; the loops live in isa/feature_rows.cpp.
#include "math/feature_rows.h"

#include "math/isa/feature_rows_table.h"

namespace lra::math {
namespace {

template <class T>
const FeatureRowsTable<T>& table() {
  static const FeatureRowsTable<T>& picked = LRA_PICK(feature_rows_table<T>);
  return picked;
}

}  // namespace

template <class T>
void curve(Curve f, int64_t rows, int64_t d, const T* x, int64_t ldx, T factor, T offset, T* y, int64_t ldy) {
  table<T>().curve(f, rows, d, x, ldx, factor, offset, y, ldy);
}

template <class T>
void curve_backward(Curve f, int64_t rows, int64_t d, const T* x, int64_t ldx, T factor, const T* dy, int64_t lddy,
                    T* dx, int64_t lddx) {
  table<T>().curve_backward(f, rows, d, x, ldx, factor, dy, lddy, dx, lddx);
}

template <class T>
void exp2_rows(int64_t rows, int64_t d, T sign, const T* x, int64_t ldx, const T* shift, const T* whole,
               const T* offset, T* y, int64_t ldy) {
  table<T>().exp2_rows(rows, d, sign, x, ldx, shift, whole, offset, y, ldy);
}

template <class T>
void cos_sin_rows(int64_t rows, int64_t d, const T* x, int64_t ldx, const T* factor, T* cosine, int64_t ldcosine,
                  T* sine, int64_t ldsine) {
  table<T>().cos_sin_rows(rows, d, x, ldx, factor, cosine, ldcosine, sine, ldsine);
}

template <class T>
void max_rows(int64_t rows, int64_t d, const T* x, int64_t ldx, T* out) {
  table<T>().max_rows(rows, d, x, ldx, out);
}

template <class T>
void max_abs_rows(int64_t rows, int64_t d, const T* x, int64_t ldx, T* out) {
  table<T>().max_abs_rows(rows, d, x, ldx, out);
}

template <class T>
void dot_rows(int64_t rows, int64_t d, const T* a, int64_t lda, const T* b, int64_t ldb, T* out) {
  table<T>().dot_rows(rows, d, a, lda, b, ldb, out);
}

template <class T>
void scale_rows(int64_t rows, int64_t d, const T* factor, const T* x, int64_t ldx, T* y, int64_t ldy) {
  table<T>().scale_rows(rows, d, factor, x, ldx, y, ldy);
}

template <class T>
void axpy_rows(int64_t rows, int64_t d, const T* factor, const T* x, int64_t ldx, T* y, int64_t ldy) {
  table<T>().axpy_rows(rows, d, factor, x, ldx, y, ldy);
}

template <class T>
void product_rows(int64_t rows, int64_t d, const T* a, int64_t lda, const T* b, int64_t ldb, const T* offset, T* y,
                  int64_t ldy, T* sum) {
  table<T>().product_rows(rows, d, a, lda, b, ldb, offset, y, ldy, sum);
}

template <class T>
void transpose(int64_t rows, int64_t d, const T* x, int64_t ldx, T* y, int64_t ldy) {
  table<T>().transpose(rows, d, x, ldx, y, ldy);
}

#define LRA_INSTANTIATE(T)                                                                                       \
  template void curve(Curve, int64_t, int64_t, const T*, int64_t, T, T, T*, int64_t);                            \
  template void curve_backward(Curve, int64_t, int64_t, const T*, int64_t, T, const T*, int64_t, T*, int64_t);   \
  template void exp2_rows(int64_t, int64_t, T, const T*, int64_t, const T*, const T*, const T*, T*, int64_t);    \
  template void cos_sin_rows(int64_t, int64_t, const T*, int64_t, const T*, T*, int64_t, T*, int64_t);           \
  template void max_rows(int64_t, int64_t, const T*, int64_t, T*);                                               \
  template void max_abs_rows(int64_t, int64_t, const T*, int64_t, T*);                                           \
  template void dot_rows(int64_t, int64_t, const T*, int64_t, const T*, int64_t, T*);                            \
  template void scale_rows(int64_t, int64_t, const T*, const T*, int64_t, T*, int64_t);                          \
  template void axpy_rows(int64_t, int64_t, const T*, const T*, int64_t, T*, int64_t);                           \
  template void product_rows(int64_t, int64_t, const T*, int64_t, const T*, int64_t, const T*, T*, int64_t, T*); \
  template void transpose(int64_t, int64_t, const T*, int64_t, T*, int64_t);

LRA_INSTANTIATE(float)
LRA_INSTANTIATE(double)
#undef LRA_INSTANTIATE

}  // namespace lra::math
