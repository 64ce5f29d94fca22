// One loop for every element kernel: whole vectors first, then the rest of the range as the first lanes of one.
#ifndef LRA_MATH_ISA_SWEEP_H
#define LRA_MATH_ISA_SWEEP_H

#include "math/simd.h"

namespace lra::math::LRA_ISA {

// All lanes of a vector, or its first n: a sweep hands one of them to its body.
template <class T>
struct Whole {
  __attribute__((always_inline)) Vec<T> read(const T* p) const { return load(p); }
  __attribute__((always_inline)) void write(T* p, Vec<T> v) const { store(p, v); }
  __attribute__((always_inline)) Vec<T> beyond(Vec<T> v, T) const { return v; }
};
template <class T>
struct First {
  int n;
  __attribute__((always_inline)) Vec<T> read(const T* p) const { return load_n(p, n); }
  __attribute__((always_inline)) void write(T* p, Vec<T> v) const { store_n(p, v, n); }
  // v with `rest` in the lanes that do not belong to the range.
  __attribute__((always_inline)) Vec<T> beyond(Vec<T> v, T rest) const {
    return lane_numbers<T>() < n ? v : broadcast(rest);
  }
};

// body(i, part) for every vector of [0, n).
template <class T, class Body>
LRA_INLINE void sweep(int64_t n, const Body& body) {
  int64_t i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) body(i, Whole<T>{});
  if (i < n) body(i, First<T>{static_cast<int>(n - i)});
}

}  // namespace lra::math::LRA_ISA

#endif  // LRA_MATH_ISA_SWEEP_H
