// A fitted exponent beside the declared one.
#include "tools/bench/growth.h"

#include <fmt/format.h>

namespace lra::bench {
namespace {

constexpr double kTolerance = 0.1;    // caches and fixed costs bend the line by about this much
constexpr double kUsefulWidth = 0.5;  // an interval wider than this tells a line from nothing

}  // namespace

std::string judge_exponent(const Growth& points, double declared, const std::string& formula) {
  if (points.size() < 3) return "three lengths or more are needed";
  const Exponent e = fit_exponent(longer_half(points));
  const char* verdict = e.high - e.low > kUsefulWidth    ? "too noisy to say; take more lengths or a quieter machine"
                        : e.low - kTolerance > declared  ? "ABOVE what it declares"
                        : e.high + kTolerance < declared ? "below it (longer sequences would come closer)"
                                                         : "confirmed";
  return fmt::format("{:.2f} [{:.2f}, {:.2f}] from N = {:.0f} on, declared {:.2f} ({}): {}", e.value, e.low, e.high,
                     e.from, declared, formula, verdict);
}

}  // namespace lra::bench
