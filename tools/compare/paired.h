// Decisions from paired measurements, without assuming anything about the shape of the noise.
//   d_r = ln(head / base) of round r;  m = median of d;  interval = [d_(k), d_(n+1-k)], the sign test's:
//   k is the largest with 2 P(Bin(n, 1/2) <= k - 1) <= 1 - confidence
#ifndef LRA_TOOLS_COMPARE_PAIRED_H
#define LRA_TOOLS_COMPARE_PAIRED_H

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace lra::compare {

// How often a change may be seen where there is none, over all that is compared and all looks at it.
inline constexpr double kAllowedError = 0.05;

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

// Of an interval of something that should not grow by more than `limit`: FAIL if all of it is above the limit, IMPROVED
// if all of it is below -limit, PASS if it stays below the limit, else INCONCLUSIVE.
Verdict judge_at(const Interval& growth, double limit);
// Of an interval of ln(head / base): the limit is ln(1 + margin).
Verdict judge(const Interval& log_ratio, double margin);

// CPU seconds of the same work by the base, a second copy of the base, and the head, one after the other.
struct Round {
  double base = 0, copy = 0, head = 0;
  bool disturbed = false;  // something from outside took the processor away: measure it again
};

// Fresh processes of the three, until it is destroyed.
class Launch {
 public:
  Launch() = default;
  virtual ~Launch() = default;
  Launch(const Launch&) = delete;
  Launch& operator=(const Launch&) = delete;
  virtual Round round() = 0;
};
using Launcher = std::function<std::unique_ptr<Launch>(int number)>;

struct TrialSpec {
  double margin = 0.05;
  int rounds = 20;      // at the first look; two and four times as many at the next
  int comparisons = 1;  // that share kAllowedError
};

// Everything in logarithms of head / base, except seconds.
struct TrialResult {
  Verdict verdict = Verdict::kInconclusive;
  double change = 0;  // median of the rounds
  std::optional<Interval> interval;
  double base_seconds = 0, head_seconds = 0;  // medians of a round
  int rounds = 0;                             // of the measurement that decided
  int repeated = 0;                           // rounds that were disturbed and taken again
  std::string note;                           // why it is not decided, or what was done to be sure
};

// The whole procedure, see gate.h. Throws what the launches throw.
TrialResult run_trial(const Launcher& launcher, const TrialSpec& spec);
// Rounds at the first look without which the last could not decide either.
int least_rounds(int comparisons);

}  // namespace lra::compare

#endif  // LRA_TOOLS_COMPARE_PAIRED_H
