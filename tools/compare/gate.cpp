// The tiers of the gate.
#include "tools/compare/gate.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <memory>
#include <optional>

#include "core/clock.h"
#include "core/error.h"
#include "core/json.h"
#include "core/rng.h"

namespace lra::compare {
namespace {

constexpr double kSteady = 0.05;     // two legs that differ by less: warm
constexpr double kMostStolen = 0.2;  // of a round's wall time; more is a disturbed round
constexpr int kMostWarmUpLegs = 5;

// A count may grow by `share` of the base or by `bytes`, whichever is more.
struct Count {
  const char* name;
  const char* unit;
  double bytes = 0, share = 0;
};
constexpr double kPage = 4096, kHuge = 2 << 20;  // the system hands out memory in these
constexpr Count kCounts[] = {
    {"parameters", ""},
    {"flops_per_example", ""},
    {"planned_bytes", "B", kPage},
    {"planned_parameters_bytes", "B", kPage},
    {"planned_gradients_bytes", "B", kPage},
    {"planned_optimizer_bytes", "B", kPage},
    {"planned_saved_bytes", "B", kPage},
    {"planned_scratch_bytes", "B", kPage},
    {"planned_data_bytes", "B", kPage},
    {"saved_per_sequence", "B", kPage},
    {"arena_high_water_bytes", "B", 8 * kPage},
    {"heap_bytes", "B", 8 * kPage},
    {"allocations_per_step", ""},
    {"peak_rss_bytes", "B", kHuge, 0.05},
    {"library_bytes", "B", 8 * kPage, 0.1},
};

double stolen_seconds(int core) {
  std::ifstream lines("/proc/stat");
  const std::string wanted = fmt::format("cpu{}", core);
  for (std::string word; lines >> word;) {
    if (word == wanted) {
      double ticks = 0;  // user nice system idle iowait irq softirq steal
      for (int field = 0; field < 8; ++field) lines >> ticks;
      constexpr double kTicksPerSecond = 100;
      return ticks / kTicksPerSecond;
    }
    lines.ignore(1 << 16, '\n');
  }
  return 0;
}

// CPU seconds of that many steps.
double leg(bench::RemoteSubject& subject, int steps) {
  double sum = 0;
  for (int i = 0; i < steps; ++i) sum += subject.step().cpu_seconds;
  return sum;
}

// Three processes on one core that take turns.
class Turns : public Launch {
 public:
  // number: of the launch; another one starts and asks them in another order.
  Turns(const Build& base, const Build& head, const Cell& cell, double leg_seconds, int number)
      : core_(measuring_core()), number_(number) {
    Rng rng{1, name_key("environment padding"), static_cast<uint64_t>(number)};
    for (const std::size_t place : {0, 1, 2}) {
      const std::size_t arm = (place + static_cast<std::size_t>(number)) % 3;
      arms_[arm] = (arm == 2 ? head : base).start(cell, core_, static_cast<int>(rng.below(4096)));
    }
    double slower = 0;
    for (auto& arm : arms_) slower = std::max(slower, leg(*arm, 2) / 2);
    steps_ = std::clamp(static_cast<int>(std::ceil(leg_seconds / 2 / std::max(slower, 1e-6))), 1, 1000);
    for (auto& arm : arms_) warm_up(*arm);
  }

  // Each takes a leg, then each takes one again in reverse order: what drifts steadily cancels.
  Round round() override {
    const double stolen = stolen_seconds(core_), start = wall_seconds();
    std::array<double, 3> seconds{};
    for (std::size_t place = 0; place < 6; ++place) {
      const std::size_t turn = (std::min(place, 5 - place) + rounds_) % 3;
      const std::size_t arm = number_ % 2 == 0 ? turn : 2 - turn;
      seconds[arm] += leg(*arms_[arm], steps_) / (2 * steps_);
    }
    ++rounds_;
    const double wall = wall_seconds() - start;
    return {.base = seconds[0],
            .copy = seconds[1],
            .head = seconds[2],
            .disturbed = stolen_seconds(core_) - stolen > kMostStolen * wall};
  }

 private:
  void warm_up(bench::RemoteSubject& subject) const {
    const int steps = std::max(1, steps_ / 2);
    double last = leg(subject, steps);
    for (int i = 1; i < kMostWarmUpLegs; ++i) {
      const double next = leg(subject, steps);
      if (std::abs(next / last - 1) < kSteady) return;
      last = next;
    }
  }

  int core_, number_, steps_ = 1;
  std::size_t rounds_ = 0;
  std::array<std::unique_ptr<bench::RemoteSubject>, 3> arms_;
};

Finding time_of(const Build& base, const Build& head, const Cell& cell, const GateSpec& spec) {
  const TrialResult trial = run_trial(
      [&](int number) { return std::make_unique<Turns>(base, head, cell, spec.leg_seconds, number); },
      {.margin = spec.time_margin, .rounds = spec.rounds, .comparisons = static_cast<int>(spec.cells.size())});
  Finding f{.cell = cell.name(), .metric = "cpu_per_step", .unit = "s"};
  f.base = trial.base_seconds;
  f.head = trial.head_seconds;
  f.change = std::expm1(trial.change);
  f.interval = {f.change, f.change};
  if (trial.interval) f.interval = {std::expm1(trial.interval->low), std::expm1(trial.interval->high)};
  f.rounds = trial.rounds;
  f.verdict = trial.verdict;
  f.note = trial.note;
  if (trial.repeated > 0)
    f.note += fmt::format("{}{} rounds taken again: stolen time", f.note.empty() ? "" : "; ", trial.repeated);
  return f;
}

Finding instructions_of(const Build& base, const Build& head, const Cell& cell, double margin) {
  const auto was = base.instructions(cell), is = head.instructions(cell);
  if (!was || !is)
    throw Error(ErrorKind::kIo, "valgrind is not installed; install it, or leave this out with --no-instructions");
  return compare_instructions(cell.name(), *was, *is, margin);
}

// "compiler: GNU 12.2.0 -> GNU 13.1.0", or nothing.
std::string difference(const Json& base, const Json& head) {
  std::string out;
  for (const auto& [name, value] : base.items()) {
    if (value == head.at(name)) continue;
    out += fmt::format("{}{}: {} -> {}", out.empty() ? "" : ", ", name, value.get<std::string>(),
                       head.at(name).get<std::string>());
  }
  return out;
}

// Why the two sides cannot be compared at all, or nothing. `cell` is one that both have.
std::string refusal(const Build& base, const Build& head, const Cell& cell) {
  const Json was = base.toolchain(cell), is = head.toolchain(cell);
  const std::string differs = difference(was, is);
  if (differs.empty()) return "";
  return fmt::format("the builds differ in more than their source ({}); build both alike, or add --across-toolchains",
                     differs);
}

}  // namespace

Finding compare_instructions(const std::string& cell, double base, double head, double margin) {
  Finding f{.cell = cell, .metric = kInstructions, .unit = "", .base = base, .head = head, .change = head / base - 1};
  f.interval = {f.change, f.change};
  f.verdict = f.change > margin ? Verdict::kFail : f.change < -margin ? Verdict::kImproved : Verdict::kPass;
  return f;
}

void compare_counts(const std::string& cell, const Json& base, const Json& head, Absent in_base, Answer& answer) {
  for (const auto& [name, unit, bytes, share] : kCounts) {
    const Json was = base.value(name, Json()), is = head.value(name, Json());
    if (!was.is_number() && in_base == Absent::kFine) continue;
    if (!was.is_number() || !is.is_number()) {
      if (was.is_number() != is.is_number())
        answer.missing.push_back({cell, name, fmt::format("only the {} tells it", was.is_number() ? "base" : "head")});
      continue;
    }
    Finding f{.cell = cell, .metric = name, .unit = unit};
    f.base = was.get<double>();
    f.head = is.get<double>();
    f.change = f.base > 0 ? f.head / f.base - 1 : f.head > 0 ? 1 : 0;
    f.interval = {f.change, f.change};
    const double margin = std::max(bytes, share * f.base);
    if (f.head > f.base + margin) {
      f.verdict = Verdict::kFail;
    } else if (f.head < f.base - margin) {
      f.verdict = Verdict::kImproved;
    }
    if (std::string(name) == "parameters") {
      const Json old_bits = base.value("weights_hash", Json()), bits = head.value("weights_hash", Json());
      if (old_bits.is_string() && bits.is_string())
        f.note = old_bits == bits ? "same weights after 3 steps" : "other weights after 3 steps: see --quality";
    }
    answer.findings.push_back(std::move(f));
  }
}

Answer gate(const std::string& base_folder, const std::string& head_folder, const GateSpec& spec,
            const std::function<void(const std::string&)>& say) {
  Answer out;
  // Nothing that was asked for is left out silently: `reason` for everything of these cells.
  const auto miss = [&](const Cell& cell, const std::string& reason) {
    for (const auto& [wanted, what] : {std::pair{spec.counts, "counts"}, std::pair{spec.instructions, kInstructions},
                                       std::pair{spec.time, "cpu_per_step"}, std::pair{spec.quality, "quality"}}) {
      if (wanted) out.missing.push_back({cell.name(), what, reason});
    }
  };
  std::array<std::optional<Build>, 2> builds;
  std::string fault;
  for (const std::size_t side : {0, 1}) {
    try {
      builds[side].emplace(side == 0 ? base_folder : head_folder);
    } catch (const Error& e) {
      fault += (fault.empty() ? "" : "; ") + std::string(e.what());
    }
  }
  if (!fault.empty()) {
    for (const Cell& cell : spec.cells) miss(cell, fault);
    return out;
  }
  const Build &base = *builds[0], &head = *builds[1];
  bool compared = spec.across_toolchains;
  for (const Cell& cell : spec.cells) {
    const auto add = [&](const char* what, const auto& measure) {
      say(fmt::format("{}: {}", cell.name(), what));
      try {
        measure();
      } catch (const Error& e) {
        out.missing.push_back({cell.name(), what, e.what()});
      }
    };
    bool there = true;
    for (const Build* build : {&base, &head}) {
      if (!there || build->has(cell.variant)) continue;
      there = false;
      miss(cell, fmt::format("{} has no variant {}", build->folder(), cell.variant));
    }
    if (!there) continue;
    if (!compared) {
      try {
        fault = refusal(base, head, cell);
        compared = true;
      } catch (const Error& e) {
        miss(cell, e.what());
        continue;
      }
    }
    if (!fault.empty()) {
      miss(cell, fault);
      continue;
    }
    if (spec.counts) {
      add("counts", [&] { compare_counts(cell.name(), base.counts(cell), head.counts(cell), Absent::kMissing, out); });
    }
    if (spec.instructions) {
      add(kInstructions, [&] { out.findings.push_back(instructions_of(base, head, cell, spec.instruction_margin)); });
    }
    if (spec.time) add("cpu_per_step", [&] { out.findings.push_back(time_of(base, head, cell, spec)); });
    if (spec.quality) {
      const auto comparisons = static_cast<int>(spec.cells.size() * spec.training.tasks.size());
      for (const auto& task : spec.training.tasks) {
        add("quality",
            [&] { out.findings.push_back(quality_of(base, head, cell.variant, task, spec.training, comparisons)); });
      }
    }
  }
  return out;
}

}  // namespace lra::compare
