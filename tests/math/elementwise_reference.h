// The element and row kernels written as plainly as their formulas, in double: what the vectorised ones are tested
// against.
#ifndef LRA_TESTS_MATH_ELEMENTWISE_REFERENCE_H
#define LRA_TESTS_MATH_ELEMENTWISE_REFERENCE_H

#include <cmath>
#include <cstddef>
#include <numbers>
#include <vector>

#include "math/elementwise.h"

namespace lra::math::reference {

inline double gelu(double x, Gelu form) {
  if (form == Gelu::kErf) return 0.5 * x * std::erfc(-x / std::numbers::sqrt2);
  const double u = std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x);
  return x / (1 + std::exp(-2 * u));
}

// One row of layer norm: y = gain * (x - mean) / sqrt(var + eps) + shift.
inline std::vector<double> layer_norm(const std::vector<double>& x, const std::vector<double>& gain,
                                      const std::vector<double>& shift, double eps) {
  const double d = static_cast<double>(x.size());
  double mean = 0;
  for (const double v : x) mean += v / d;
  double variance = 0;
  for (const double v : x) variance += (v - mean) * (v - mean) / d;
  std::vector<double> y(x.size());
  for (std::size_t j = 0; j < x.size(); ++j) y[j] = gain[j] * (x[j] - mean) / std::sqrt(variance + eps) + shift[j];
  return y;
}

}  // namespace lra::math::reference

#endif  // LRA_TESTS_MATH_ELEMENTWISE_REFERENCE_H
