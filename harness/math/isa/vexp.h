// e^x and 2^x on vectors.
//   n = round(x / ln 2),  r = x - n ln 2,  |r| <= ln 2 / 2,  e^x = 2^n (1 + r q(r)),  q a polynomial
// ln 2 is split in two parts so that r keeps all its digits (Cody & Waite 1980); q interpolates (e^r - 1) / r at the
// Chebyshev nodes of the interval: degree 5 in float (truncation 5e-9), 10 in double (8e-18). 2^n is added to the
// exponent bits.
#ifndef LRA_MATH_ISA_VEXP_H
#define LRA_MATH_ISA_VEXP_H

#include "math/simd.h"

namespace lra::math::LRA_ISA {

template <class T>
struct ExpTable;

template <>
struct ExpTable<float> {
  static constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer, kept in the low bits
  static constexpr int kMantissaBits = 23;
  static constexpr float kLog2e = 1.44269504089f, kLn2High = 0.693359375f, kLn2Low = -2.12194440054690583e-4f;
  // Below the first the result would be subnormal, above the second infinite.
  static constexpr float kLowest = -87.33654475f, kHighest = 88.72283905f;
  static constexpr float kLowest2 = -126.0f;
  static constexpr int kTerms = 6;
  static constexpr float kE[kTerms] = {1.000000011f,   0.5000000013f,   0.166665052f,
                                       0.04166646493f, 0.008369155668f, 0.001393365f};
  static constexpr float kTwo[kTerms] = {0.693147188f,    0.2402265076f,   0.05550357093f,
                                         0.009618082539f, 0.001339087485f, 0.0001545317289f};
};

template <>
struct ExpTable<double> {
  static constexpr double kRound = 6755399441055744.0;  // 1.5 * 2^52
  static constexpr int kMantissaBits = 52;
  static constexpr double kLog2e = 1.442695040888963407, kLn2High = 0x1.62e42fefa3p-1, kLn2Low = 2.8235290563031577e-13;
  static constexpr double kLowest = -708.39641853226410622, kHighest = 709.78271289338397;
  static constexpr double kLowest2 = -1022.0;
  static constexpr int kTerms = 11;
  static constexpr double kE[kTerms] = {1.0,
                                        0.5000000000000005623,
                                        0.1666666666666667099,
                                        0.04166666666657306773,
                                        0.008333333333326135126,
                                        0.001388888893251477936,
                                        0.0001984126987482062527,
                                        0.00002480150431378554017,
                                        2.755725540020642443e-6,
                                        2.762637106569635608e-7,
                                        2.510521700472074516e-8};
  static constexpr double kTwo[kTerms] = {0.6931471805599453094,     0.2402265069591009825,   0.05550410866482159435,
                                          0.009618129107606871243,   0.00133335581464169261,  0.000154035304417650865,
                                          0.00001525273382985159562, 1.321544257022464931e-6, 1.017806243641276537e-7,
                                          7.072589488396345104e-9,   4.454962484633212293e-10};
};

// 2^n (1 + r q(r)); `rounded` is n + kRound.
template <class T>
LRA_INLINE Vec<T> exp_assemble(Vec<T> r, Vec<T> rounded, const T (&coefficients)[ExpTable<T>::kTerms]) {
  using Table = ExpTable<T>;
  Vec<T> q = broadcast<T>(coefficients[Table::kTerms - 1]);
#pragma GCC unroll 16
  for (int i = Table::kTerms - 2; i > 0; --i) q = q * r + coefficients[i];
  // Without FMA the product is rounded before the last sum; kept small it does less harm.
  const Vec<T> p = kFused ? (q * r + coefficients[0]) * r + T(1) : (q * (r * r) + coefficients[0] * r) + T(1);
  return (Vec<T>)((VecBits<T>)p + ((VecBits<T>)rounded << Table::kMantissaBits));
}

// e^x, relative error <= 1e-7 (float), 1e-15 (double) where the result is normal; 0 below, +inf above, NaN for NaN.
template <class T>
LRA_INLINE Vec<T> vexp(Vec<T> x) {
  using Table = ExpTable<T>;
  const Vec<T> rounded = x * Table::kLog2e + Table::kRound;
  const Vec<T> n = rounded - Table::kRound;
  const Vec<T> r = (x - n * Table::kLn2High) - n * Table::kLn2Low;
  Vec<T> y = exp_assemble<T>(r, rounded, Table::kE);
  y = x < Table::kLowest ? Vec<T>{} : y;
  return x <= Table::kHighest ? y : x + static_cast<T>(__builtin_inf());
}

// 2^x for x <= 1, as softmax needs it once log2(e) is part of the scale; 0 where the result would be subnormal.
template <class T>
LRA_INLINE Vec<T> vexp2_small(Vec<T> x) {
  using Table = ExpTable<T>;
  const Vec<T> rounded = x + Table::kRound;
  const Vec<T> y = exp_assemble<T>(x - (rounded - Table::kRound), rounded, Table::kTwo);
  return x < Table::kLowest2 ? Vec<T>{} : y;
}

}  // namespace lra::math::LRA_ISA

#endif  // LRA_MATH_ISA_VEXP_H
