// Order statistics and binomial tails; then looks, launches, the control and the confirmation.
#include "tools/compare/paired.h"

#include <fmt/format.h>

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

Verdict judge_at(const Interval& growth, double limit) {
  if (growth.low > limit) return Verdict::kFail;
  if (growth.high < -limit) return Verdict::kImproved;
  return growth.high < limit ? Verdict::kPass : Verdict::kInconclusive;
}

Verdict judge(const Interval& log_ratio, double margin) { return judge_at(log_ratio, std::log1p(margin)); }

namespace {

constexpr double kNullConfidence = 0.999;
constexpr int kLaunches = 4;           // at the first look
constexpr int kLooks = 3, kGrown = 4;  // each look doubles what was measured: 1, 2, 4

// Rounds of one measurement, launch by launch.
struct Rounds {
  std::vector<double> change, null;  // ln(head / base), ln(copy of base / base)
  std::vector<double> launches;      // medians of change
  std::vector<double> base, head;    // seconds
  int repeated = 0;
};

void add_launch(Launch& launch, int rounds, Rounds& out) {
  std::vector<double> here;
  for (int taken = 0; static_cast<int>(here.size()) < rounds; ++taken) {
    const Round r = launch.round();
    // A machine that is always disturbed is measured all the same: intervals say what that is worth.
    if (r.disturbed && taken < 2 * rounds) {
      ++out.repeated;
      continue;
    }
    // Both copies are the base: their mean is a steadier one.
    here.push_back(std::log(r.head) - (std::log(r.base) + std::log(r.copy)) / 2);
    out.null.push_back(std::log(r.copy / r.base));
    out.base.push_back(std::sqrt(r.base * r.copy));
    out.head.push_back(r.head);
  }
  out.launches.push_back(median(here));
  out.change.insert(out.change.end(), here.begin(), here.end());
}

// Three of four launches moved to the side to which the median of all moved.
bool launches_agree(const Rounds& rounds) {
  const bool up = median(rounds.change) > 0;
  const auto same =
      std::count_if(rounds.launches.begin(), rounds.launches.end(), [&](double d) { return (d > 0) == up; });
  return 4 * same >= 3 * static_cast<std::ptrdiff_t>(rounds.launches.size());
}

// A third of the allowed error for each of three looks, shared by the comparisons.
double confidence(int comparisons) { return 1 - kAllowedError / kLooks / comparisons; }

// The copies differ by half the margin, and that is no accident. (Any two processes differ by a little, and enough
// rounds would show it.)
bool biased(const Rounds& rounds, double margin) {
  const auto null = sign_interval(rounds.null, kNullConfidence);
  const double limit = std::log1p(margin) / 2;
  return null && (null->low > limit || null->high < -limit);
}

// What the rounds so far say, if anything.
Verdict decide(const Rounds& rounds, const TrialSpec& spec) {
  const auto interval = sign_interval(rounds.change, confidence(spec.comparisons));
  if (!interval) return Verdict::kInconclusive;
  const Verdict verdict = judge(*interval, spec.margin);
  return verdict == Verdict::kPass || launches_agree(rounds) ? verdict : Verdict::kInconclusive;
}

Verdict measure(const Launcher& launcher, const TrialSpec& spec, int first, Rounds& rounds) {
  Verdict verdict = Verdict::kInconclusive;
  int launches = 0;
  for (int look = 0; look < kLooks; ++look) {
    for (; launches < kLaunches << look; ++launches) {
      const auto launch = launcher(first + launches);
      add_launch(*launch, std::max(1, spec.rounds / kLaunches), rounds);
    }
    verdict = decide(rounds, spec);
    // What looks like an improvement may show to be one.
    const bool perhaps_better = median(rounds.change) < -std::log1p(spec.margin);
    if (verdict != Verdict::kInconclusive && !(verdict == Verdict::kPass && perhaps_better)) break;
  }
  return verdict;
}

}  // namespace

int least_rounds(int comparisons) {
  int rounds = kLaunches;
  while (!sign_interval(std::vector<double>(static_cast<std::size_t>(kGrown * rounds)), confidence(comparisons)))
    rounds += kLaunches;
  return rounds;
}

TrialResult run_trial(const Launcher& launcher, const TrialSpec& spec) {
  Rounds rounds;
  TrialResult out;
  out.verdict = measure(launcher, spec, 0, rounds);
  const auto check_bias = [&] {
    if (!biased(rounds, spec.margin)) return;
    out.verdict = Verdict::kInconclusive;
    out.note = fmt::format("two copies of the base differ by {:+.1f} %: the measurement is biased",
                           100 * std::expm1(median(rounds.null)));
  };
  check_bias();
  if (out.verdict == Verdict::kFail) {
    Rounds again;
    again.repeated = rounds.repeated;
    out.verdict = measure(launcher, spec, kGrown * kLaunches, again);
    rounds = std::move(again);
    out.note = "confirmed in fresh processes";
    if (out.verdict != Verdict::kFail) {
      out.verdict = Verdict::kInconclusive;
      out.note = "failed once, not again";
    }
    check_bias();
  }
  out.interval = sign_interval(rounds.change, confidence(spec.comparisons));
  out.change = median(rounds.change);
  out.base_seconds = median(rounds.base);
  out.head_seconds = median(rounds.head);
  out.rounds = static_cast<int>(rounds.change.size());
  out.repeated = rounds.repeated;
  if (!out.interval) {
    out.note = fmt::format("{} rounds cannot decide; --rounds {} or more", out.rounds, least_rounds(spec.comparisons));
  } else if (out.verdict == Verdict::kInconclusive && out.note.empty()) {
    out.note = launches_agree(rounds) ? "too noisy to decide; --rounds takes more"
                                      : "fresh processes disagree about the direction";
  }
  return out;
}

}  // namespace lra::compare
