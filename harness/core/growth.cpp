// Closed forms; Student's quantile from a table, and beyond it by its first-order expansion.
#include "core/growth.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/error.h"

namespace lra {

double student_t(std::size_t freedom) {
  constexpr std::array<double, 11> kTable{0, 12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228};
  constexpr double kNormal = 1.959963984540054;
  return freedom < kTable.size() ? kTable[freedom] : kNormal + 2.5 / static_cast<double>(freedom);
}

Growth longer_half(Growth points) {
  std::sort(points.begin(), points.end());
  const std::size_t kept = std::max(std::min<std::size_t>(4, points.size()), (points.size() + 1) / 2);
  points.erase(points.begin(), points.end() - static_cast<std::ptrdiff_t>(kept));
  return points;
}

Exponent fit_exponent(const Growth& points) {
  LRA_ASSERT(points.size() >= 3);
  const auto n = static_cast<double>(points.size());
  double mean_x = 0, mean_y = 0;
  for (const auto& [length, cost] : points) {
    mean_x += std::log(length) / n;
    mean_y += std::log(cost) / n;
  }
  double xx = 0, xy = 0, yy = 0;
  for (const auto& [length, cost] : points) {
    const double x = std::log(length) - mean_x;
    const double y = std::log(cost) - mean_y;
    xx += x * x;
    xy += x * y;
    yy += y * y;
  }
  const double slope = xy / xx;
  const double rest = std::max(0.0, yy - slope * xy) / (n - 2);
  const double reach = student_t(points.size() - 2) * std::sqrt(rest / xx);
  return {slope, slope - reach, slope + reach, points.front().first};
}

}  // namespace lra
