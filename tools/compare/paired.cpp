// Order statistics and binomial tails.
#include "tools/compare/paired.h"

#include <algorithm>
#include <cmath>

namespace lra::compare {

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const std::size_t n = values.size();
  return (values[(n - 1) / 2] + values[n / 2]) / 2;
}

std::optional<Interval> sign_interval(std::vector<double> values, double confidence) {
  const std::size_t n = values.size();
  std::sort(values.begin(), values.end());
  // tail = P(Bin(n, 1/2) <= k - 1)
  double tail = 0, term = std::pow(0.5, static_cast<double>(n));
  std::size_t k = 0;
  while (k < n / 2) {
    tail += term;
    if (2 * tail > 1 - confidence) break;
    term *= static_cast<double>(n - k) / static_cast<double>(k + 1);
    ++k;
  }
  if (k == 0) return std::nullopt;
  return Interval{values[k - 1], values[n - k]};
}

const char* verdict_name(Verdict verdict) {
  switch (verdict) {
    case Verdict::kPass:
      return "PASS";
    case Verdict::kImproved:
      return "IMPROVED";
    case Verdict::kInconclusive:
      return "INCONCLUSIVE";
    default:
      return "FAIL";
  }
}

Verdict worse(Verdict a, Verdict b) { return std::max(a, b); }

Verdict judge(const Interval& log_ratio, double margin) {
  const double limit = std::log1p(margin);
  if (log_ratio.low > limit) return Verdict::kFail;
  if (log_ratio.high < -limit) return Verdict::kImproved;
  return log_ratio.high < limit ? Verdict::kPass : Verdict::kInconclusive;
}

}  // namespace lra::compare
