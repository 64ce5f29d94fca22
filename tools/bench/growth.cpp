// Least squares of log cost on log N.
#include "tools/bench/growth.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "core/error.h"

namespace lra::bench {
namespace {

constexpr double kTolerance = 0.1;    // caches and fixed costs bend the line by about this much
constexpr double kUsefulWidth = 0.5;  // an interval wider than this tells a line from nothing

// 97.5 % quantile of Student's t.
double student_t(std::size_t freedom) {
  constexpr std::array<double, 11> kTable{0, 12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228};
  return freedom < kTable.size() ? kTable[freedom] : 1.96 + 2.5 / static_cast<double>(freedom);
}

}  // namespace

Exponent fit_exponent(const std::vector<std::pair<double, double>>& points) {
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
  return {slope, slope - reach, slope + reach};
}

std::string judge_exponent(std::vector<std::pair<double, double>> points, double declared, const std::string& formula) {
  std::sort(points.begin(), points.end());
  const std::size_t kept = std::max(std::min<std::size_t>(4, points.size()), (points.size() + 1) / 2);
  if (points.size() < 3) return "three lengths or more are needed";
  points.erase(points.begin(), points.end() - static_cast<std::ptrdiff_t>(kept));
  const Exponent e = fit_exponent(points);
  const char* verdict = e.high - e.low > kUsefulWidth    ? "too noisy to say; take more lengths or a quieter machine"
                        : e.low - kTolerance > declared  ? "ABOVE what it declares"
                        : e.high + kTolerance < declared ? "below it (longer sequences would come closer)"
                                                         : "confirmed";
  return fmt::format("{:.2f} [{:.2f}, {:.2f}] from N = {:.0f} on, declared {:.2f} ({}): {}", e.value, e.low, e.high,
                     points.front().first, declared, formula, verdict);
}

}  // namespace lra::bench
