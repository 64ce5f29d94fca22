// GELU in its tanh form and its slope, on vectors.
//   x / (1 + e^(-2u)),  u = sqrt(2/pi) (x + 0.044715 x^3)        since (1 + tanh u) / 2 = 1 / (1 + e^(-2u))
#ifndef LRA_MATH_ISA_GELU_H
#define LRA_MATH_ISA_GELU_H

#include "math/isa/vexp.h"

namespace lra::math::LRA_ISA {

inline constexpr double kTwiceRoot2OverPi = 1.5957691216057307117597842397375;  // 2 sqrt(2 / pi)
inline constexpr double kGeluCubic = 0.044715;

template <class T>
LRA_INLINE Vec<T> vgelu(Vec<T> x) {
  const Vec<T> twice_u = x * (T(kTwiceRoot2OverPi) + T(kTwiceRoot2OverPi * kGeluCubic) * (x * x));
  return x / (T(1) + vexp<T>(-twice_u));
}

template <class T>
LRA_INLINE Vec<T> vgelu_slope(Vec<T> x) {
  // Beyond 32 the slope is 0 or 1 to the last bit, and the square of x must not overflow into 0 * inf.
  const Vec<T> v = max<T>(min<T>(x, broadcast(T(32))), broadcast(T(-32)));
  const Vec<T> square = v * v;
  const Vec<T> twice_u = v * (T(kTwiceRoot2OverPi) + T(kTwiceRoot2OverPi * kGeluCubic) * square);
  const Vec<T> s = T(1) / (T(1) + vexp<T>(-twice_u));
  // d(x s)/dx = s + x s (1 - s) d(2u)/dx
  return s + v * s * (T(1) - s) * (T(kTwiceRoot2OverPi) + T(3 * kTwiceRoot2OverPi * kGeluCubic) * square);
}

}  // namespace lra::math::LRA_ISA

#endif  // LRA_MATH_ISA_GELU_H
