// The row kernels of feature maps for one instruction set. Meanings: math/feature_rows.h.
#ifndef LRA_MATH_ISA_FEATURE_ROWS_TABLE_H
#define LRA_MATH_ISA_FEATURE_ROWS_TABLE_H

#include "math/dispatch.h"
#include "math/feature_rows.h"

namespace lra::math {

template <class T>
struct FeatureRowsTable {
  void (*curve)(Curve f, int64_t rows, int64_t d, const T* x, int64_t ldx, T factor, T offset, T* y, int64_t ldy);
  void (*curve_backward)(Curve f, int64_t rows, int64_t d, const T* x, int64_t ldx, T factor, const T* dy, int64_t lddy,
                         T* dx, int64_t lddx);
  void (*exp2_rows)(int64_t rows, int64_t d, T sign, const T* x, int64_t ldx, const T* shift, const T* whole,
                    const T* offset, T* y, int64_t ldy);
  void (*cos_sin_rows)(int64_t rows, int64_t d, const T* x, int64_t ldx, const T* factor, T* cosine, int64_t ldcosine,
                       T* sine, int64_t ldsine);
  void (*max_rows)(int64_t rows, int64_t d, const T* x, int64_t ldx, T* out);
  void (*max_abs_rows)(int64_t rows, int64_t d, const T* x, int64_t ldx, T* out);
  void (*dot_rows)(int64_t rows, int64_t d, const T* a, int64_t lda, const T* b, int64_t ldb, T* out);
  void (*scale_rows)(int64_t rows, int64_t d, const T* factor, const T* x, int64_t ldx, T* y, int64_t ldy);
  void (*axpy_rows)(int64_t rows, int64_t d, const T* factor, const T* x, int64_t ldx, T* y, int64_t ldy);
  void (*product_rows)(int64_t rows, int64_t d, const T* a, int64_t lda, const T* b, int64_t ldb, const T* offset, T* y,
                       int64_t ldy, T* sum);
  void (*transpose)(int64_t rows, int64_t d, const T* x, int64_t ldx, T* y, int64_t ldy);
};
LRA_DECLARE_TABLE(FeatureRowsTable, feature_rows_table)

}  // namespace lra::math

#endif  // LRA_MATH_ISA_FEATURE_ROWS_TABLE_H
