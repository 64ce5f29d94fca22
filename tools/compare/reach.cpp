// Binomial tails, turned around by bisection.
#include "tools/compare/reach.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "core/error.h"
#include "tools/compare/paired.h"

namespace lra::compare {
namespace {

constexpr double kPower = 0.8;

// Sum of times [first, first + k).
double stretch(const std::vector<double>& times, std::size_t first, std::size_t k) {
  const auto begin = times.begin() + static_cast<std::ptrdiff_t>(first);
  return std::accumulate(begin, begin + static_cast<std::ptrdiff_t>(k), 0.0);
}

// P(Bin(n, p) >= k)
double tail(int n, double p, int k) {
  double sum = 0;
  for (int i = k; i <= n; ++i) {
    sum += std::exp(std::lgamma(n + 1) - std::lgamma(i + 1) - std::lgamma(n - i + 1) + i * std::log(p) +
                    (n - i) * std::log1p(-p));
  }
  return sum;
}

// x with f(x) = wanted, f rising from low to high.
template <class F>
double solve(const F& f, double wanted, double low, double high) {
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (f(middle) < wanted ? low : high) = middle;
  }
  return (low + high) / 2;
}

double normal(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }

}  // namespace

double round_noise(const std::vector<double>& times, std::size_t k) {
  LRA_ASSERT(k > 0 && times.size() >= 6 * k);
  std::vector<double> away;
  for (std::size_t first = 0; first + 6 * k <= times.size(); ++first) {
    std::array<double, 3> arms{};  // outermost, between, innermost
    for (std::size_t place = 0; place < 6; ++place)
      arms[std::min(place, 5 - place)] += stretch(times, first + place * k, k);
    for (double& arm : arms) arm = std::log(arm);
    const double sum = arms[0] + arms[1] + arms[2];
    for (const double head : arms) away.push_back(std::abs(head - (sum - head) / 2));
  }
  return 1.4826 * median(std::move(away));
}

std::optional<double> least_seen(int rounds, double confidence) {
  std::vector<double> places(static_cast<std::size_t>(std::max(rounds, 0)));
  std::iota(places.begin(), places.end(), 1.0);
  const auto interval = sign_interval(places, confidence);
  if (!interval) return std::nullopt;
  // The interval of a rise leaves out 0 when the k-th smallest is above it.
  const int wanted = rounds + 1 - static_cast<int>(interval->low);
  const double p = solve([&](double x) { return tail(rounds, x, wanted); }, kPower, 0.5, 1 - 1e-12);
  return solve(normal, p, 0, 10);
}

}  // namespace lra::compare
