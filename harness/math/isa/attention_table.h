// The attention kernels of one instruction set.
#ifndef LRA_MATH_ISA_ATTENTION_TABLE_H
#define LRA_MATH_ISA_ATTENTION_TABLE_H

#include "math/attention.h"
#include "math/dispatch.h"

namespace lra::math {

template <class T>
struct AttentionTable {
  size_t (*forward_scratch)(const Attention<T>& a);
  size_t (*backward_scratch)(const Attention<T>& a);
  void (*forward)(const Attention<T>& a, int64_t row_begin, int64_t row_end, void* scratch);
  void (*backward)(const Attention<T>& a, void* scratch);
  // (query, key) pairs that the tiles cover, masked ones included.
  int64_t (*forward_pairs)(const Attention<T>& a, int64_t row_begin, int64_t row_end);
  int64_t (*backward_pairs)(const Attention<T>& a);
};
LRA_DECLARE_TABLE(AttentionTable, attention_table)

}  // namespace lra::math

#endif  // LRA_MATH_ISA_ATTENTION_TABLE_H
