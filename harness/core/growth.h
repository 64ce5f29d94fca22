// How cost grows with length: the exponent p of  cost = c N^p, least squares in logarithms, with the 95 % interval of
// Student's t.
#ifndef LRA_CORE_GROWTH_H
#define LRA_CORE_GROWTH_H

#include <cstddef>
#include <utility>
#include <vector>

namespace lra {

// 97.5 % quantile of Student's t; `freedom` at least 1.
double student_t(std::size_t freedom);

using Growth = std::vector<std::pair<double, double>>;  // (N, cost), both above 0

struct Exponent {
  double value = 0, low = 0, high = 0;
  double from = 0;  // shortest length that was fitted
};

// The longer half of the points, four at least if there are so many, by length: a declared exponent holds in the limit
// of long sequences, and costs that do not grow pull it down at short ones.
Growth longer_half(Growth points);
// At least three points with different N.
Exponent fit_exponent(const Growth& points);

}  // namespace lra

#endif  // LRA_CORE_GROWTH_H
