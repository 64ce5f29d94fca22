// The gemm kernels of one instruction set.
#ifndef LRA_MATH_ISA_GEMM_TABLE_H
#define LRA_MATH_ISA_GEMM_TABLE_H

#include "math/dispatch.h"
#include "math/gemm.h"

namespace lra::math {

template <class T>
struct GemmTable {
  void (*gemm)(const Gemm<T>& g);
};
LRA_DECLARE_TABLE(GemmTable, gemm_table)

}  // namespace lra::math

#endif  // LRA_MATH_ISA_GEMM_TABLE_H
