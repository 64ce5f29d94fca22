// Decisions from paired measurements, without assuming anything about the shape of the noise.
//   d_r = ln(head / base) of round r;  m = median of d;  interval = [d_(k), d_(n+1-k)], the sign test's:
//   k is the largest with 2 P(Bin(n, 1/2) <= k - 1) <= 1 - confidence
#ifndef LRA_TOOLS_COMPARE_PAIRED_H
#define LRA_TOOLS_COMPARE_PAIRED_H

#include <optional>
#include <string>
#include <vector>

namespace lra::compare {

struct Interval {
  double low = 0, high = 0;
};

double median(std::vector<double> values);
// Interval of the median at `confidence` or more; nothing if there are too few values for it.
std::optional<Interval> sign_interval(std::vector<double> values, double confidence);

enum class Verdict { kPass, kImproved, kInconclusive, kFail };
const char* verdict_name(Verdict verdict);  // "PASS"
// The worse of two: FAIL, then INCONCLUSIVE.
Verdict worse(Verdict a, Verdict b);

// Of an interval of ln(head / base): FAIL if all of it is above ln(1 + margin), IMPROVED if all of it is below
// -ln(1 + margin), PASS if it stays below ln(1 + margin), else INCONCLUSIVE.
Verdict judge(const Interval& log_ratio, double margin);

}  // namespace lra::compare

#endif  // LRA_TOOLS_COMPARE_PAIRED_H
