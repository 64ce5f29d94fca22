// Closed forms; Student's quantile from a table, and beyond it by its first-order expansion.
#include "report/statistics.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace lra::report {
namespace {

constexpr double kNormal = 1.959963984540054;  // 97.5 % quantile

}  // namespace

double student_t(std::size_t freedom) {
  constexpr std::array<double, 11> kTable{0, 12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228};
  return freedom < kTable.size() ? kTable[freedom] : kNormal + 2.5 / static_cast<double>(freedom);
}

double mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return values.empty() ? 0 : sum / static_cast<double>(values.size());
}

std::optional<double> mean_reach(const std::vector<double>& values) {
  if (values.size() < 2) return std::nullopt;
  const double centre = mean(values);
  double squares = 0;
  for (const double value : values) squares += (value - centre) * (value - centre);
  const auto n = static_cast<double>(values.size());
  return student_t(values.size() - 1) * std::sqrt(squares / (n - 1) / n);
}

Interval share_interval(double share, int64_t examples) {
  if (examples <= 0) return {0, 1};
  const auto n = static_cast<double>(examples);
  const double z = kNormal * kNormal / n;
  const double centre = (share + z / 2) / (1 + z);
  const double reach = kNormal * std::sqrt(share * (1 - share) / n + z / (4 * n)) / (1 + z);
  return {std::max(0.0, centre - reach), std::min(1.0, centre + reach)};
}

std::optional<Exponent> growth(std::vector<std::pair<double, double>> points) {
  std::erase_if(points, [](const auto& point) { return point.first <= 0 || point.second <= 0; });
  std::sort(points.begin(), points.end());
  const std::size_t kept = std::max(std::min<std::size_t>(4, points.size()), (points.size() + 1) / 2);
  points.erase(points.begin(), points.end() - static_cast<std::ptrdiff_t>(kept));
  if (points.size() < 3 || points.front().first == points.back().first) return std::nullopt;
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
  return Exponent{slope, slope - reach, slope + reach, points.front().first};
}

}  // namespace lra::report
