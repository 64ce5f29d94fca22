// Does a variant grow as it declares?
#ifndef LRA_TOOLS_BENCH_GROWTH_H
#define LRA_TOOLS_BENCH_GROWTH_H

#include <string>

#include "core/growth.h"

namespace lra::bench {

// "1.02 [0.99, 1.05] for O(N): confirmed", of the longer half of the points.
std::string judge_exponent(const Growth& points, double declared, const std::string& formula);

}  // namespace lra::bench

#endif  // LRA_TOOLS_BENCH_GROWTH_H
