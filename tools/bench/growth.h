// How cost grows with length: the exponent p of  cost = c N^p, fitted in logarithms, beside the declared one.
#ifndef LRA_TOOLS_BENCH_GROWTH_H
#define LRA_TOOLS_BENCH_GROWTH_H

#include <string>
#include <utility>
#include <vector>

namespace lra::bench {

struct Exponent {
  double value = 0, low = 0, high = 0;  // least squares and its 95 % interval (Student's t)
};

// points: (N, cost), at least three with different N.
Exponent fit_exponent(const std::vector<std::pair<double, double>>& points);

// "1.02 [0.99, 1.05] for O(N): confirmed". The declared exponent holds in the limit of long sequences; linear parts
// pull a measured one below it, so only the longer half of the points (four at least, if there are so many) is fitted.
std::string judge_exponent(std::vector<std::pair<double, double>> points, double declared, const std::string& formula);

}  // namespace lra::bench

#endif  // LRA_TOOLS_BENCH_GROWTH_H
