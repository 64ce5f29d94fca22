// Rounding, and the lines below tables.
#include "report/show.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "core/text.h"
#include "report/unicode.h"

namespace lra::report {
namespace {

constexpr std::size_t kWidest = 40;  // columns of a name in running text

}  // namespace

std::string percent(double share) { return fmt::format("{:.1f}", 100 * share); }

std::string short_number(double value) {
  const double size = std::abs(value);
  if (size >= 999.5e6) return fmt::format("{:.3g}G", value * 1e-9);
  if (size >= 999.5e3) return fmt::format("{:.3g}M", value * 1e-6);
  if (size >= 9999.5) return fmt::format("{:.3g}k", value * 1e-3);
  if (size >= 99.95 || size == 0) return fmt::format("{:.0f}", value);
  return fmt::format("{:#.3g}", value);
}

std::string quality_text(const std::string& metric, double value) {
  return metric == "accuracy" ? percent(value) : fmt::format("{:.3f}", value);
}

std::string quality_with_reach(const Group& group) {
  return fmt::format("{} ± {}", quality_text(group.metric, group.quality->mean),
                     quality_text(group.metric, group.quality->reach()));
}

std::string quality_unit(const std::string& metric) { return metric == "accuracy" ? "%" : "bits"; }

std::string quality_name(const std::string& metric) {
  return metric == "accuracy" ? "test accuracy, %" : "test bits per token";
}

Cell cell_of(const std::optional<double>& value, std::string (*show)(double)) {
  return value ? Cell{show(*value), value, Mark::kNone, {}} : Cell{};
}

std::string preset_name(const Group& group) { return fmt::format("{} v{}", group.preset, group.preset_version); }

std::vector<std::vector<const Group*>> by_preset(const std::vector<Group>& groups) {
  std::vector<std::vector<const Group*>> out;
  for (const Group& group : groups) {
    if (out.empty() || preset_name(*out.back().front()) != preset_name(group)) out.emplace_back();
    out.back().push_back(&group);
  }
  return out;
}

std::vector<std::string> conditions(const std::vector<const Group*>& groups) {
  std::map<std::string, int> machines;
  std::set<std::string> unusual;
  int runs = 0, dirty = 0;
  for (const Group* group : groups) {
    for (const RunRecord* run : group->runs) {
      const Json& e = run->part({"environment"});
      if (!e.is_object()) continue;
      ++runs;
      ++machines[fmt::format("{}, {} of {} cores, {}, {} {}, {}", e.at("cpu").get<std::string>(),
                             e.at("cores_used").dump(), e.at("cores_available").dump(), e.at("isa").get<std::string>(),
                             e.at("build_type").get<std::string>(), e.at("real").get<std::string>(),
                             e.at("compiler").get<std::string>())];
      if (e.at("build_type") != "Release") unusual.insert("not all runs are Release builds: speeds mean nothing");
      if (!e.at("sanitizer").get<std::string>().empty())
        unusual.insert("some runs have sanitizers: speeds mean nothing");
      if (e.at("dirty") == Json(true)) ++dirty;
    }
  }
  std::vector<std::string> out;
  for (const auto& [machine, count] : machines) {
    out.push_back(machines.size() == 1 ? fmt::format("Measured on {}.", machine)
                                       : fmt::format("{} of {} runs measured on {}.", count, runs, machine));
  }
  for (const auto& one : unusual) out.push_back("Beware: " + one + ".");
  if (dirty > 0)
    out.push_back(fmt::format("{} of {} runs are of a source tree with uncommitted changes.", dirty, runs));
  return out;
}

std::vector<std::string> tasks_of(const std::vector<const Group*>& groups) {
  std::vector<std::string> out;
  for (const Group* group : groups) {
    if (std::find(out.begin(), out.end(), group->task) == out.end()) out.push_back(group->task);
  }
  return out;
}

std::vector<std::string> labels_of(const std::vector<const Group*>& groups) {
  std::vector<std::string> out;
  for (const Group* group : groups) out.push_back(group->label);
  const auto starts = [](const std::string& label) { return label.substr(0, label.find(" (")); };
  std::sort(out.begin(), out.end(), [&](const std::string& a, const std::string& b) {
    return starts(a) != starts(b) ? variant_before(starts(a), starts(b)) : a < b;
  });
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

std::string metric_of(const std::vector<const Group*>& groups, const std::string& task) {
  for (const Group* group : groups) {
    if (group->task == task && group->quality) return group->metric;
  }
  return "accuracy";
}

const Group* find_group(const std::vector<const Group*>& groups, const std::string& label, const std::string& task) {
  for (const Group* group : groups) {
    if (group->label == label && group->task == task) return group;
  }
  return nullptr;
}

std::string hashes_of(const std::vector<const Group*>& groups) {
  std::vector<std::string> words;
  for (const Group* group : groups)
    words.push_back(
        fmt::format("{} {} {}", clipped(group->task, kWidest), clipped(group->label, kWidest), group->spec_hash));
  return "Configurations: " + join(words) + ".";
}

}  // namespace lra::report
