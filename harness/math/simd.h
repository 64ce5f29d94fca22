// SIMD vectors of the instruction set this file is compiled for (see math/CMakeLists.txt).
//
//   v2: SSE, 16 bytes   v3: AVX2 + FMA, 32 bytes   v4: AVX-512, 64 bytes
//
// Vec<T> is a GCC vector: + - * / and comparisons work on it lane by lane, a * b + c becomes one FMA.
// Only sources in math/isa/ include this header. Everything sits in namespace lra::math::LRA_ISA, so that the three
// copies of a kernel never share a symbol: the linker would otherwise keep one copy of an inline function, perhaps the
// AVX-512 one. For the same reason kernels call nothing inline from the standard library.
#ifndef LRA_MATH_SIMD_H
#define LRA_MATH_SIMD_H

#ifndef LRA_ISA
#error "math/simd.h is for sources in math/isa/ only"
#endif

#include <immintrin.h>

#include <cstdint>
#include <utility>

#define LRA_INLINE static inline __attribute__((always_inline))

namespace lra::math::LRA_ISA {

#if defined(__AVX512F__)
inline constexpr int kVectorBytes = 64;
inline constexpr int kRegisters = 32;
#elif defined(__AVX2__)
inline constexpr int kVectorBytes = 32;
inline constexpr int kRegisters = 16;
#else
inline constexpr int kVectorBytes = 16;
inline constexpr int kRegisters = 16;
#endif
// The build may have put other flags than the namespace promises: slow, or an illegal instruction on an older machine.
namespace vector_bytes {
inline constexpr int v2 = 16, v3 = 32, v4 = 64;
}
static_assert(kVectorBytes == vector_bytes::LRA_ISA);
#if defined(__FMA__)
inline constexpr bool kFused = true;  // a * b + c is rounded once
#else
inline constexpr bool kFused = false;
#endif

template <class T>
struct VecOf;
template <>
struct VecOf<float> {
  typedef float type __attribute__((vector_size(kVectorBytes)));
  typedef int32_t ints __attribute__((vector_size(kVectorBytes)));
  typedef uint32_t bits __attribute__((vector_size(kVectorBytes)));
};
template <>
struct VecOf<double> {
  typedef double type __attribute__((vector_size(kVectorBytes)));
  typedef int64_t ints __attribute__((vector_size(kVectorBytes)));
  typedef uint64_t bits __attribute__((vector_size(kVectorBytes)));
};
template <class T>
using Vec = typename VecOf<T>::type;
template <class T>
using VecInt = typename VecOf<T>::ints;
// Lanes as unsigned integers, which may wrap.
template <class T>
using VecBits = typename VecOf<T>::bits;

// Lanes of one vector.
template <class T>
inline constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(T));

template <class T>
LRA_INLINE Vec<T> broadcast(T x) {
  return x - Vec<T>{};
}

template <class T>
LRA_INLINE Vec<T> load(const T* p) {
  Vec<T> v;
  __builtin_memcpy(&v, p, sizeof(v));
  return v;
}

template <class T>
LRA_INLINE void store(T* p, Vec<T> v) {
  __builtin_memcpy(p, &v, sizeof(v));
}

// The first n lanes (0 <= n <= kLanes); the others read as zero and no byte beyond them is touched.
template <class T>
LRA_INLINE Vec<T> load_n(const T* p, int n) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    return (Vec<T>)_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1u), p);
  } else {
    return (Vec<T>)_mm512_maskz_loadu_pd(static_cast<__mmask8>((1u << n) - 1u), p);
  }
#else
  Vec<T> v{};
  for (int i = 0; i < n; ++i) v[i] = p[i];
  return v;
#endif
}

template <class T>
LRA_INLINE void store_n(T* p, Vec<T> v, int n) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1u), (__m512)v);
  } else {
    _mm512_mask_storeu_pd(p, static_cast<__mmask8>((1u << n) - 1u), (__m512d)v);
  }
#else
  for (int i = 0; i < n; ++i) p[i] = v[i];
#endif
}

// Lane-wise larger value; b where a is not a number.
template <class T>
LRA_INLINE Vec<T> max(Vec<T> a, Vec<T> b) {
  return a > b ? a : b;
}

template <class T>
LRA_INLINE Vec<T> min(Vec<T> a, Vec<T> b) {
  return a < b ? a : b;
}

// 0, 1, 2, ... as a constant vector.
template <class T, int... lane>
LRA_INLINE VecInt<T> lane_numbers(std::integer_sequence<int, lane...>) {
  return VecInt<T>{lane...};
}
template <class T>
LRA_INLINE VecInt<T> lane_numbers() {
  return lane_numbers<T>(std::make_integer_sequence<int, kLanes<T>>{});
}

// Sum of the lanes, pairwise: lane i meets lane i + half, then again.
template <class T>
LRA_INLINE T sum_lanes(Vec<T> v) {
#pragma GCC unroll 8
  for (int half = kLanes<T> / 2; half > 0; half /= 2) v += __builtin_shuffle(v, lane_numbers<T>() ^ half);
  return v[0];
}

template <class T>
LRA_INLINE T max_lanes(Vec<T> v) {
#pragma GCC unroll 8
  for (int half = kLanes<T> / 2; half > 0; half /= 2) v = max<T>(v, __builtin_shuffle(v, lane_numbers<T>() ^ half));
  return v[0];
}

}  // namespace lra::math::LRA_ISA

#endif  // LRA_MATH_SIMD_H
