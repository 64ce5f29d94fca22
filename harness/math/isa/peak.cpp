// Multiply-adds on registers only: the roof that every kernel is held against (see peak.h).
#include "math/isa/peak_table.h"
#include "math/simd.h"

namespace lra::math::LRA_ISA {
namespace {

// Chains of x <- x * a + b. A core holds about 4 cycles x 2 units of them in flight; 12 leave room for a and b in 16
// registers.
constexpr int kChains = 12;

template <class T>
T run(long rounds) {
  Vec<T> a = broadcast(T(0.999));
  Vec<T> b = broadcast(T(0.001));
  asm volatile("" : "+x"(a), "+x"(b));
  Vec<T> x0 = a, x1 = a, x2 = a, x3 = a, x4 = a, x5 = a, x6 = a, x7 = a, x8 = a, x9 = a, x10 = a, x11 = a;
  for (long i = 0; i < rounds; ++i) {
    x0 = x0 * a + b;
    x1 = x1 * a + b;
    x2 = x2 * a + b;
    x3 = x3 * a + b;
    x4 = x4 * a + b;
    x5 = x5 * a + b;
    x6 = x6 * a + b;
    x7 = x7 * a + b;
    x8 = x8 * a + b;
    x9 = x9 * a + b;
    x10 = x10 * a + b;
    x11 = x11 * a + b;
    // Distinct to the compiler, or equal chains would be merged into one.
    asm volatile("" : "+x"(x0), "+x"(x1), "+x"(x2), "+x"(x3), "+x"(x4), "+x"(x5));
    asm volatile("" : "+x"(x6), "+x"(x7), "+x"(x8), "+x"(x9), "+x"(x10), "+x"(x11));
  }
  return sum_lanes<T>(((x0 + x1) + (x2 + x3)) + ((x4 + x5) + (x6 + x7)) + ((x8 + x9) + (x10 + x11)));
}

}  // namespace

template <class T>
const PeakTable<T>& peak_table() {
  static constexpr PeakTable<T> table{&run<T>, 2 * kLanes<T> * kChains};
  return table;
}
template const PeakTable<float>& peak_table<float>();
template const PeakTable<double>& peak_table<double>();

}  // namespace lra::math::LRA_ISA
