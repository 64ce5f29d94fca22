// The peak probe of one instruction set.
#ifndef LRA_MATH_ISA_PEAK_TABLE_H
#define LRA_MATH_ISA_PEAK_TABLE_H

#include "math/dispatch.h"

namespace lra::math {

template <class T>
struct PeakTable {
  // Runs `rounds` rounds of multiply-adds on independent accumulators; returns a value that depends on all of them.
  T (*run)(long rounds);
  // FLOPs of one round.
  int flops;
};
LRA_DECLARE_TABLE(PeakTable, peak_table)

}  // namespace lra::math

#endif  // LRA_MATH_ISA_PEAK_TABLE_H
