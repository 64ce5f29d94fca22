// The row kernels of joint attention for one instruction set. Formulas: math/joint_attention.h.
#ifndef LRA_MATH_ISA_JOINT_ROWS_TABLE_H
#define LRA_MATH_ISA_JOINT_ROWS_TABLE_H

#include <cstdint>

#include "math/dispatch.h"

namespace lra::math {

template <class T>
struct JointRowsTable {
  // s = exp(s - largest of its row) in place; max and sum: [rows]. A row of -inf becomes 0, with max -inf and sum 0.
  void (*exponentiate)(int64_t rows, int64_t keys, T* s, int64_t lds, T* max, T* sum);
  // s = exp(s - lse of its row) in place; 0 where lse is -inf.
  void (*probabilities)(int64_t rows, int64_t keys, T* s, int64_t lds, const T* lse);
  // The next three work on the rows list[r], or first + r * step without a list, of an array with row stride ld, and on
  // row r of a dense one [rows, d].
  // x row = keep[r] (x row) + add[r] (part row)
  void (*merge)(int64_t rows, const int32_t* list, int64_t first, int64_t step, int64_t d, const T* keep, const T* add,
                const T* part, T* x, int64_t ld);
  // x row += part row
  void (*add)(int64_t rows, const int32_t* list, int64_t first, int64_t step, int64_t d, const T* part, T* x,
              int64_t ld);
  // out[r] = (x row).(y row), y with row stride ldy
  void (*dots)(int64_t rows, const int32_t* list, int64_t first, int64_t step, int64_t d, const T* x, int64_t ld,
               const T* y, int64_t ldy, T* out);
  // s = p (dp - delta of its row), where s holds p.
  void (*score_gradients)(int64_t rows, int64_t keys, T* s, const T* dp, int64_t lds, const T* delta);
};
LRA_DECLARE_TABLE(JointRowsTable, joint_rows_table)

}  // namespace lra::math

#endif  // LRA_MATH_ISA_JOINT_ROWS_TABLE_H
