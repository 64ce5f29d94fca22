// The three tiers of the gate.
#include "tools/compare/gate.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>

#include "core/error.h"

namespace lra::compare {
namespace {

constexpr double kBytesMargin = 4096;
constexpr double kRssShare = 0.05, kRssBytes = 2 << 20;
constexpr double kConfidence = 0.95, kNullConfidence = 0.999;
constexpr int kLaunches = 4, kMostWarmUpLegs = 5;
constexpr double kSteady = 0.05;  // two legs that differ by less: warm

struct Count {
  const char* name;
  const char* unit;
};
// Of the library's size nothing is demanded: it is shown.
constexpr Count kCounts[] = {{"parameters", ""},          {"flops_per_example", ""}, {"planned_bytes", "B"},
                             {"saved_per_sequence", "B"}, {"peak_rss_bytes", "B"},   {"library_bytes", "B"}};

// Rounds of one cell, launch by launch.
struct Rounds {
  std::vector<double> change, null;                // ln(head / base), ln(copy of base / base)
  std::vector<double> launches;                    // medians of change
  std::vector<double> base_seconds, head_seconds;  // of one step
};

// CPU seconds of k steps.
double leg(bench::RemoteSubject& subject, int steps) {
  double sum = 0;
  for (int i = 0; i < steps; ++i) sum += subject.step().cpu_seconds;
  return sum;
}

void warm_up(bench::RemoteSubject& subject, int steps) {
  double last = leg(subject, steps);
  for (int i = 1; i < kMostWarmUpLegs; ++i) {
    const double next = leg(subject, steps);
    if (std::abs(next / last - 1) < kSteady) return;
    last = next;
  }
}

// One launch of fresh processes. order rotates through (base, copy, head); every other launch runs it backwards.
void launch(const Build& base, const Build& head, const Cell& cell, const GateSpec& spec, int number, int rounds,
            Rounds& out) {
  const int core = measuring_core();
  std::array<std::unique_ptr<bench::RemoteSubject>, 3> arms;
  for (const std::size_t arm : {0, 1, 2}) {
    // Which of them is started first changes, too.
    const std::size_t which = (arm + static_cast<std::size_t>(number)) % 3;
    arms[which] = (which == 2 ? head : base).start(cell, core);
  }
  const double slower = std::max(leg(*arms[0], 2), leg(*arms[2], 2)) / 2;
  const int steps = std::clamp(static_cast<int>(std::ceil(spec.leg_seconds / std::max(slower, 1e-6))), 1, 1000);
  for (auto& arm : arms) warm_up(*arm, std::max(1, steps / 4));
  std::vector<double> here;
  for (int r = 0; r < rounds; ++r) {
    std::array<double, 3> seconds{};
    for (std::size_t place = 0; place < 3; ++place) {
      const std::size_t turn = (place + static_cast<std::size_t>(r)) % 3;
      const std::size_t arm = number % 2 == 0 ? turn : 2 - turn;
      seconds[arm] = leg(*arms[arm], steps);
    }
    here.push_back(std::log(seconds[2] / seconds[0]));
    out.null.push_back(std::log(seconds[1] / seconds[0]));
    out.base_seconds.push_back(seconds[0] / steps);
    out.head_seconds.push_back(seconds[2] / steps);
  }
  out.launches.push_back(median(here));
  out.change.insert(out.change.end(), here.begin(), here.end());
}

// Launches that moved to the same side as the median of all.
bool launches_agree(const Rounds& rounds) {
  const bool up = median(rounds.change) > 0;
  const auto same =
      std::count_if(rounds.launches.begin(), rounds.launches.end(), [&](double d) { return (d > 0) == up; });
  return 4 * same >= 3 * static_cast<std::ptrdiff_t>(rounds.launches.size());
}

// alpha: the error allowed to this one decision.
Verdict decide(const Rounds& rounds, double margin, double alpha) {
  const auto interval = sign_interval(rounds.change, 1 - alpha);
  if (!interval) return Verdict::kInconclusive;
  const Verdict verdict = judge(*interval, margin);
  if (verdict != Verdict::kPass && !launches_agree(rounds)) return Verdict::kInconclusive;
  return verdict;
}

bool biased(const Rounds& rounds) {
  const auto null = sign_interval(rounds.null, kNullConfidence);
  return null && (null->low > 0 || null->high < 0);
}

Finding time_of(const Build& base, const Build& head, const Cell& cell, const GateSpec& spec) {
  // Half of the allowed error for each of two looks, shared by the cells.
  const double alpha = (1 - kConfidence) / 2 / static_cast<double>(spec.cells.size());
  const auto measure = [&](Rounds& rounds) {
    Verdict verdict = Verdict::kInconclusive;
    for (int look = 0; look < 2 && verdict == Verdict::kInconclusive; ++look) {
      for (int l = 0; l < kLaunches; ++l)
        launch(base, head, cell, spec, look * kLaunches + l, std::max(1, spec.rounds / kLaunches), rounds);
      verdict = decide(rounds, spec.time_margin, alpha);
    }
    return verdict;
  };
  Rounds rounds;
  Finding f{.cell = cell.name(), .metric = "cpu_per_step", .unit = "s"};
  f.verdict = measure(rounds);
  if (f.verdict == Verdict::kFail) {
    Rounds again;
    f.verdict = measure(again);
    f.note = "confirmed in fresh processes";
    if (f.verdict != Verdict::kFail) {
      f.verdict = Verdict::kInconclusive;
      f.note = "failed once, not again";
    }
    rounds = again;
  }
  const auto interval = sign_interval(rounds.change, 1 - alpha);
  f.base = median(rounds.base_seconds);
  f.head = median(rounds.head_seconds);
  f.change = std::expm1(median(rounds.change));
  if (interval) f.interval = {std::expm1(interval->low), std::expm1(interval->high)};
  f.rounds = static_cast<int>(rounds.change.size());
  if (biased(rounds)) {
    f.verdict = Verdict::kInconclusive;
    f.note = fmt::format("two copies of the base differ by {:+.1f} %: the measurement is biased",
                         100 * std::expm1(median(rounds.null)));
  }
  return f;
}

Finding instructions_of(const Build& base, const Build& head, const Cell& cell, double margin) {
  Finding f{.cell = cell.name(), .metric = "instructions_per_step", .unit = ""};
  const auto old_count = base.instructions(cell), new_count = head.instructions(cell);
  if (!old_count || !new_count) throw Error(ErrorKind::kIo, "valgrind is not installed; add --no-instructions");
  f.base = *old_count;
  f.head = *new_count;
  f.change = f.head / f.base - 1;
  f.interval = {f.change, f.change};
  f.verdict = f.change > margin ? Verdict::kFail : f.change < -margin ? Verdict::kImproved : Verdict::kPass;
  return f;
}

}  // namespace

std::vector<Finding> compare_counts(const std::string& cell, const Json& base, const Json& head) {
  std::vector<Finding> out;
  for (const auto& [name, unit] : kCounts) {
    const Json was = base.value(name, Json()), is = head.value(name, Json());
    if (!was.is_number() || !is.is_number()) continue;
    Finding f{.cell = cell, .metric = name, .unit = unit};
    f.base = was.get<double>();
    f.head = is.get<double>();
    f.change = f.base > 0 ? f.head / f.base - 1 : 0;
    f.interval = {f.change, f.change};
    double margin = f.unit == "B" ? kBytesMargin : 0;
    if (f.metric == "peak_rss_bytes") margin = std::max(kRssShare * f.base, kRssBytes);
    if (f.metric == "library_bytes") {
      f.note = "shown only";
    } else if (f.head > f.base + margin) {
      f.verdict = Verdict::kFail;
    } else if (f.head < f.base - margin) {
      f.verdict = Verdict::kImproved;
    }
    out.push_back(std::move(f));
  }
  return out;
}

Verdict GateResult::verdict() const {
  Verdict out = findings.empty() || !missing.empty() ? Verdict::kInconclusive : Verdict::kPass;
  for (const auto& f : findings) {
    // An improvement here does not excuse anything there.
    out = worse(out, f.verdict == Verdict::kImproved ? Verdict::kPass : f.verdict);
  }
  const bool improved =
      std::any_of(findings.begin(), findings.end(), [](const Finding& f) { return f.verdict == Verdict::kImproved; });
  return out == Verdict::kPass && improved ? Verdict::kImproved : out;
}

GateResult gate(const Build& base, const Build& head, const GateSpec& spec,
                const std::function<void(const std::string&)>& say) {
  GateResult out;
  for (const Cell& cell : spec.cells) {
    const auto add = [&](const char* what, const auto& measure) {
      say(fmt::format("{}: {}", cell.name(), what));
      try {
        measure();
      } catch (const Error& e) {
        out.missing.push_back(fmt::format("{}: {}: {}", cell.name(), what, e.what()));
      }
    };
    bool there = true;
    for (const Build* build : {&base, &head}) {
      if (build->has(cell.variant)) continue;
      there = false;
      out.missing.push_back(fmt::format("{}: {} has no variant {}", cell.name(), build->folder(), cell.variant));
    }
    if (!there) continue;
    if (spec.counts) {
      add("counts", [&] {
        for (auto& f : compare_counts(cell.name(), base.counts(cell), head.counts(cell))) out.findings.push_back(f);
      });
    }
    if (spec.instructions) {
      add("instructions", [&] { out.findings.push_back(instructions_of(base, head, cell, spec.instruction_margin)); });
    }
    if (spec.time) add("time", [&] { out.findings.push_back(time_of(base, head, cell, spec)); });
  }
  return out;
}

}  // namespace lra::compare
