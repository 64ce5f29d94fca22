// The FMA peak of one core, measured: what a kernel's rate is a share of.
#ifndef LRA_MATH_PEAK_H
#define LRA_MATH_PEAK_H

namespace lra::math {

// GFLOP/s that one thread reaches with multiply-adds on registers in the active instruction set: the best of many short
// runs within about `seconds`. T: float, double. Other work on the core lowers it; measure it beside the kernel.
// Thread-safe.
template <class T>
double measure_fma_peak(double seconds);

}  // namespace lra::math

#endif  // LRA_MATH_PEAK_H
