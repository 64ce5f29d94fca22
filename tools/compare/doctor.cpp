// The probe, and what is said of it.
#include "tools/compare/doctor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/clock.h"
#include "core/error.h"
#include "core/text.h"
#include "tools/compare/gate.h"
#include "tools/compare/measure.h"
#include "tools/compare/reach.h"
#include "tools/run/table.h"

namespace lra::compare {
namespace {

constexpr double kLeg = 0.02, kWarmUp = 0.3;  // seconds
constexpr int kLeastRounds = 8, kArms = 3, kMostRounds = 60;
constexpr double kControlConfidence = 0.99;

// As the gate decides: a third of the error for each of three looks, shared by the cells.
double confidence_of(int cells) { return 1 - kAllowedError / 3 / cells; }

std::optional<Reach> reach_of(const Noise& noise, int cells, int rounds, double margin) {
  const auto ratio = least_seen(rounds, confidence_of(cells));
  if (!ratio) return std::nullopt;
  const double seen = *ratio * noise.cpu;
  return Reach{cells, noise.leg_seconds, rounds, std::expm1(seen), std::expm1(std::log1p(margin) + seen)};
}

// The best length of the legs and number of rounds that fit.
std::optional<Reach> best_of(const std::vector<Noise>& all, int cells, const DoctorSpec& spec) {
  std::optional<Reach> best;
  for (const Noise& noise : all) {
    const int rounds =
        std::min(kMostRounds, static_cast<int>(spec.budget_seconds / (cells * kArms * noise.leg_seconds)));
    const auto reach = reach_of(noise, cells, rounds, spec.margin);
    if (reach && (!best || reach->seen < best->seen)) best = reach;
  }
  return best;
}

// The measured legs that are nearest to the gate's.
const Noise& nearest(const std::vector<Noise>& all, double leg_seconds) {
  return *std::min_element(all.begin(), all.end(), [&](const Noise& a, const Noise& b) {
    return std::abs(std::log(a.leg_seconds / leg_seconds)) < std::abs(std::log(b.leg_seconds / leg_seconds));
  });
}

std::string percent(double share) { return fmt::format("{:.{}f} %", 100 * share, share < 0.01 ? 2 : 1); }
std::string milliseconds(double seconds) { return fmt::format("{:.0f} ms", 1e3 * seconds); }

Json json_of(const Reach& r) {
  return {{"cells", r.cells},   {"leg_seconds", r.leg_seconds},
          {"rounds", r.rounds}, {"seconds", r.cells * r.rounds * kArms * r.leg_seconds},
          {"seen", r.seen},     {"fails", r.fails}};
}

}  // namespace

Diagnosis diagnose(const DoctorSpec& spec, const Json& environment) {
  Diagnosis out;
  out.identity = identity_of(environment, Where::kHere);
  out.before = machine_state();
  std::vector<double> cpu, wall;
  {
    const StayOn core(measuring_core());
    Calibration kernel;
    const int repeats = kernel.repeats_for(kLeg);
    for (const double end = wall_seconds() + kWarmUp; wall_seconds() < end;) kernel.run(repeats);
    // A crowded core gives CPU time slowly: what was asked for is CPU time, the wait has an end all the same.
    const double end = wall_seconds() + 4 * spec.probe_seconds;
    for (double sum = 0; sum < spec.probe_seconds && (wall_seconds() < end || cpu.size() < 6 * kLeastRounds);) {
      const auto times = kernel.run(repeats);
      cpu.push_back(std::max(times.cpu, 1e-9));
      wall.push_back(std::max(times.wall, 1e-9));
      sum += times.cpu;
    }
  }
  out.after = machine_state();
  out.disturbances = disturbances(out.before, out.after, out.identity);
  const double one = std::accumulate(cpu.begin(), cpu.end(), 0.0) / static_cast<double>(cpu.size());
  for (std::size_t k = 1; k == 1 || cpu.size() / (6 * k) >= kLeastRounds; k *= 2) {
    out.noise.push_back({2 * one * static_cast<double>(k), static_cast<int>(cpu.size() / (6 * k)), round_noise(cpu, k),
                         round_noise(wall, k)});
  }
  // Orders AB and BA in turn, so that a drift does not count.
  std::vector<double> control;
  for (std::size_t i = 0; i + 2 <= cpu.size(); i += 2) {
    const double d = std::log(cpu[i + 1] / cpu[i]);
    control.push_back(i % 4 == 0 ? d : -d);
  }
  out.control_pairs = static_cast<int>(control.size());
  out.control = std::expm1(median(control));
  if (const auto interval = sign_interval(control, kControlConfidence))
    out.control_interval = Interval{std::expm1(interval->low), std::expm1(interval->high)};
  const GateSpec gate;
  for (const int cells : {1, 4, 8}) {
    if (const auto reach = best_of(out.noise, cells, spec)) out.reach.push_back(*reach);
    if (auto reach = reach_of(nearest(out.noise, gate.leg_seconds), cells, gate.rounds, spec.margin)) {
      reach->leg_seconds = gate.leg_seconds;
      out.usual.push_back(*reach);
    }
  }
  out.instructions = has_valgrind();
  return out;
}

std::string text_of(const Diagnosis& d, const DoctorSpec& spec) {
  const auto said = [&](const char* key) { return d.identity.at(key).get<std::string>(); };
  std::string out = fmt::format("machine  {} ({})\n", class_of(d.identity), identity_hash(d.identity));
  out += fmt::format("  {}, {} cores, {}\n", said("cpu"), d.identity.at("cores").get<int>(), said("isa"));
  out += fmt::format("  {}, {}, {}, {}\n", said("compiler"), said("build_type"), said("real"),
                     d.before.at("kernel").get<std::string>());
  out += "\nstate\n";
  run::Table state({"", "what", "found", "why it matters"});
  for (const auto& one : d.disturbances) state.row({level_name(one.level), one.name, one.found, one.advice});
  out += state.text("  ");
  out += fmt::format("\nnoise  of a fixed kernel against itself, {} stretches of {}\n",
                     d.noise.empty() ? 0 : 6 * d.noise.front().rounds,
                     milliseconds(d.noise.empty() ? 0 : d.noise.front().leg_seconds / 2));
  run::Table noise({"leg", "rounds", "CPU time", "wall time"});
  for (const auto& one : d.noise)
    noise.row({milliseconds(one.leg_seconds), fmt::format("{}", one.rounds), percent(one.cpu), percent(one.wall)});
  out += noise.text("  ");
  if (d.control_interval) {
    const auto& i = *d.control_interval;
    const bool holds = i.low <= 0 && i.high >= 0;
    out += fmt::format("  A/A  {:+.2f} % [{:+.2f}, {:+.2f}] in {} pairs: {}\n", 100 * d.control, 100 * i.low,
                       100 * i.high, d.control_pairs,
                       holds ? "no difference, as it must be" : "a difference that cannot be; do not trust times now");
  }
  const auto rows = [](const std::vector<Reach>& all) {
    run::Table table({"cells", "leg", "rounds", "takes", "change seen", "said to FAIL from"});
    for (const auto& r : all) {
      table.row({fmt::format("{}", r.cells), milliseconds(r.leg_seconds), fmt::format("{}", r.rounds),
                 human_seconds(r.cells * r.rounds * kArms * r.leg_seconds), percent(r.seen), percent(r.fails)});
    }
    return table.text("  ");
  };
  out += fmt::format("\nbudget {}  CPU time, 8 times of 10, margin {}\n", human_seconds(spec.budget_seconds),
                     percent(spec.margin));
  if (d.reach.empty()) {
    out += "  not enough for one cell: an interval needs more rounds than fit; raise --budget\n";
  } else {
    out += rows(d.reach);
    const auto& best = d.reach.front();
    out += fmt::format("  lra-compare gate --leg-seconds {:.2g} --rounds {} does the first\n", best.leg_seconds,
                       best.rounds);
  }
  out += "\ngate as it is  its own legs and rounds\n" + rows(d.usual);
  out += fmt::format("\ninstructions  {}\n", d.instructions
                                                 ? "valgrind is there: from 1 %, in one run, whatever the load"
                                                 : "no valgrind here; install it: it sees 1 % whatever the load");
  return out;
}

Json json_of(const Diagnosis& d, const DoctorSpec& spec) {
  Json out = {{"schema", "lra.doctor/1"},
              {"class", class_of(d.identity)},
              {"id", identity_hash(d.identity)},
              {"identity", d.identity},
              {"state", d.after},
              {"disturbances", Json::array()},
              {"noise", Json::array()},
              {"control", nullptr},
              {"budget_seconds", spec.budget_seconds},
              {"margin", spec.margin},
              {"reach", Json::array()},
              {"gate", Json::array()},
              {"instructions", d.instructions}};
  for (const auto& one : d.disturbances) {
    out["disturbances"].push_back(
        {{"name", one.name}, {"level", level_name(one.level)}, {"found", one.found}, {"advice", one.advice}});
  }
  for (const auto& one : d.noise)
    out["noise"].push_back(
        {{"leg_seconds", one.leg_seconds}, {"rounds", one.rounds}, {"cpu", one.cpu}, {"wall", one.wall}});
  if (d.control_interval) {
    out["control"] = {{"pairs", d.control_pairs},
                      {"median", d.control},
                      {"interval", {d.control_interval->low, d.control_interval->high}}};
  }
  for (const auto& r : d.reach) out["reach"].push_back(json_of(r));
  for (const auto& r : d.usual) out["gate"].push_back(json_of(r));
  return out;
}

}  // namespace lra::compare
