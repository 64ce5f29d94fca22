// Lines in and out, what each metric depends on, and the series made of them.
#include "report/history.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <map>
#include <string_view>

#include "core/error.h"
#include "core/file.h"
#include "record/schema.h"

namespace lra::report {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kCheck = ",\"check\":\"";
constexpr std::size_t kDigits = 16, kTail = kCheck.size() + kDigits + 2;  // ,"check":"<16 hex>"}
constexpr int kDriftDays = 90;

std::string check_of(std::string_view body) { return fmt::format("{:016x}", hash64(body.data(), body.size())); }

// What must be equal for two values to be comparable.
enum class Needs { kNothing, kBuild, kMachine };

struct MetricRule {
  const char* name;
  Needs needs;
  bool judged;
  StepRule steps;
};
// Counts move at once or not at all; what a clock or a sample has a part in needs three points to be a level.
constexpr MetricRule kMetrics[] = {
    {"parameters", Needs::kNothing, true, {0, 1, true}},
    {"flops_per_example", Needs::kNothing, true, {0, 1, true}},
    {"planned_bytes", Needs::kNothing, true, {0.01, 1, true}},
    {"saved_per_sequence", Needs::kNothing, true, {0.01, 1, true}},
    {"library_bytes", Needs::kBuild, true, {0.02, 1, true}},
    {"instructions_per_step", Needs::kBuild, true, {0.01, 1, true}},
    {"allocations_per_step", Needs::kBuild, true, {0, 1, true}},
    {"arena_high_water_bytes", Needs::kMachine, true, {0.01, 1, true}},
    {"heap_bytes", Needs::kMachine, true, {0.05, 3, true}},
    {"peak_rss_bytes", Needs::kMachine, true, {0.05, 3, true}},
    {"cpu_per_calibration", Needs::kMachine, true, {0.03, 3, true}},
    {"accuracy", Needs::kMachine, true, {0.02, 3, false}},
    {"bits_per_token", Needs::kMachine, true, {0.02, 3, true}},
};
// Times of a clock, parts of a sum, and what is not known here: shown, not judged.
constexpr MetricRule kOther{"", Needs::kMachine, false, {0.05, 3, true}};

MetricRule rule_of(const std::string& metric, bool of_a_task) {
  for (const MetricRule& rule : kMetrics) {
    if (metric != rule.name) continue;
    MetricRule out = rule;
    // The plan of a run has tiles as wide as the machine's vectors, and scratch for each thread.
    if (of_a_task && metric != "parameters") out.needs = Needs::kMachine;
    return out;
  }
  return kOther;
}

std::string text(const Json& json, const char* key) {
  const auto at = json.find(key);
  return at != json.end() && at->is_string() ? at->get<std::string>() : std::string();
}

std::optional<double> number(const Json& json, const char* key) {
  const auto at = json.find(key);
  return at != json.end() && at->is_number() ? std::optional<double>(at->get<double>()) : std::nullopt;
}

std::string build_of(const Json& identity) {
  Json build = Json::object();
  for (const char* key : {"compiler", "flags", "build_type", "real", "sanitizer", "onednn"})
    build[key] = identity.contains(key) ? identity.at(key) : Json(nullptr);
  const std::string all = build.dump();
  return fmt::format("{:016x}", hash64(all.data(), all.size()));
}

// The entry that the line holds; `origin` opens the message.
Json entry_of(std::string_view line, bool ended, const std::string& origin) {
  const auto fail = [&](const std::string& what) {
    throw Error(ErrorKind::kData, fmt::format("{}: {}; the other lines are used", origin, what));
  };
  const bool whole = line.size() > kTail && line.substr(line.size() - kTail, kCheck.size()) == kCheck &&
                     line.substr(line.size() - 2) == "\"}";
  if (!whole)
    fail(ended ? "not a whole entry: cut short, or not written by lra-compare history add"
               : "the last line is cut short; the next lra-compare history add begins a line of its own");
  const std::string body = std::string(line.substr(0, line.size() - kTail)) + "}";
  const std::string_view says = line.substr(line.size() - kDigits - 2, kDigits);
  if (const std::string is = check_of(body); is != says)
    fail(
        fmt::format("edited after it was written (its checksum is {}, its bytes give {}); take the line from version "
                    "control",
                    says, is));
  Json entry = parse_json(body, origin);
  record::require_schema(entry, record::Schema::kHistory, origin);
  return entry;
}

void read_lines(const std::string& path, History& out) {
  const std::string all = read_file(path, kMostBytesOfJson);
  int number = 0;
  for (std::size_t begin = 0; begin < all.size();) {
    const std::size_t end = all.find('\n', begin);
    const std::string_view line = std::string_view(all).substr(begin, end == std::string::npos ? end : end - begin);
    ++number;
    if (!line.empty()) {
      try {
        out.entries.push_back(
            {path, number, entry_of(line, end != std::string::npos, fmt::format("{}:{}", path, number))});
      } catch (const Error& error) {
        out.faults.emplace_back(error.what());
      }
    }
    if (end == std::string::npos) break;
    begin = end + 1;
  }
}

// Seconds since 1970, of "2026-11-02T10:11:12Z".
double seconds_of(const std::string& at) {
  std::tm time{};
  if (strptime(at.c_str(), "%Y-%m-%dT%H:%M:%SZ", &time) == nullptr) return 0;
  return static_cast<double>(timegm(&time));
}

// Over levels that are not joined yet: many small steps make a long way.
std::optional<Series::Drift> drift_of(const Series& series) {
  const auto& levels = series.steps.all_levels;
  if (!series.judged || levels.size() < 2) return std::nullopt;
  const double oldest = seconds_of(series.points.back().at) - 86400.0 * kDriftDays;
  const Level* best = nullptr;
  for (const Level& level : levels) {
    if (seconds_of(series.points[level.past - 1].at) < oldest) continue;
    if (best == nullptr || !series.worse(change(*best, level, series.rule))) best = &level;
  }
  if (best == nullptr || best == &levels.back()) return std::nullopt;
  const double way = change(*best, levels.back(), series.rule);
  if (!series.worse(way) || std::abs(way) < series.rule.margin) return std::nullopt;
  // A step that is told already.
  for (std::size_t i = 1; i < series.steps.levels.size(); ++i) {
    if (series.steps.levels[i].first > best->first) return std::nullopt;
  }
  return Series::Drift{best->first, way};
}

}  // namespace

std::string history_line(const Json& entry) {
  record::require_schema(entry, record::Schema::kHistory, "history entry");
  json_text(entry);  // asserts that every number is finite
  std::string body = entry.dump(-1, ' ', false, Json::error_handler_t::replace);
  const std::string check = check_of(body);
  body.pop_back();
  return body + std::string(kCheck) + check + "\"}\n";
}

History read_history(const std::vector<std::string>& paths) {
  History out;
  for (const auto& path : paths) {
    if (!fs::exists(path))
      throw Error(ErrorKind::kIo, fmt::format("{}: does not exist; lra-compare history add writes histories", path));
    if (!fs::is_directory(path)) {
      out.files.push_back(path);
      continue;
    }
    const auto first = static_cast<std::ptrdiff_t>(out.files.size());
    for (const auto& entry : fs::recursive_directory_iterator(path)) {
      if (entry.path().extension() == ".jsonl" && entry.is_regular_file()) out.files.push_back(entry.path().string());
    }
    std::sort(out.files.begin() + first, out.files.end());
  }
  for (const auto& path : out.files) read_lines(path, out);
  std::stable_sort(out.entries.begin(), out.entries.end(), [](const HistoryEntry& a, const HistoryEntry& b) {
    return a.json.at("at").get_ref<const std::string&>() < b.json.at("at").get_ref<const std::string&>();
  });
  return out;
}

std::vector<Series> series_of(const History& history) {
  std::map<std::vector<std::string>, Series> all;
  for (const HistoryEntry& entry : history.entries) {
    const Json &cell = entry.json.at("cell"), &machine = entry.json.at("machine");
    const std::string name = text(cell, "name"), task = text(cell, "task"), hash = text(cell, "spec_hash");
    for (const auto& [metric, measured] : entry.json.at("metrics").items()) {
      const MetricRule rule = rule_of(metric, !task.empty());
      const std::string id = text(machine, "id");
      const std::string where = rule.needs == Needs::kNothing ? ""
                                : rule.needs == Needs::kBuild ? build_of(machine.at("identity"))
                                                              : id;
      Series& series = all[{name, hash, metric, where, cell.at("threads").dump()}];
      series.cell = name;
      series.variant = text(cell, "variant");
      series.task = task;
      series.spec_hash = hash;
      series.metric = metric;
      series.unit = text(measured, "unit");
      series.less_is_better = text(measured, "better") == "lower";
      series.judged = rule.judged;
      series.rule = rule.steps;
      if (rule.needs != Needs::kNothing) {
        series.machine_class = text(machine, "class");
        series.machine_id = id;
      }
      series.points.push_back({.at = text(entry.json, "at"),
                               .commit = text(entry.json, "commit"),
                               .dirty = entry.json.at("dirty") == true,
                               .value = measured.at("value").get<double>(),
                               .low = number(measured, "low"),
                               .high = number(measured, "high")});
    }
  }
  std::vector<Series> out;
  for (auto& [key, series] : all) {
    std::vector<double> values;
    for (const auto& point : series.points) values.push_back(point.value);
    if (series.judged && series.enough()) {
      series.steps = find_steps(values, series.rule);
    } else {
      StepRule none = series.rule;
      none.least_points = values.size();
      series.steps = find_steps(values, none);
    }
    series.drift = drift_of(series);
    out.push_back(std::move(series));
  }
  return out;
}

Json history_block(const History& history) {
  if (history.entries.empty()) return nullptr;
  Json machines = Json::array(), all = Json::array();
  std::map<std::string, std::size_t> places;
  for (const HistoryEntry& entry : history.entries) {
    const Json& machine = entry.json.at("machine");
    if (!places.emplace(text(machine, "id"), machines.size()).second) continue;
    machines.push_back(
        {{"class", machine.at("class")}, {"id", machine.at("id")}, {"identity", machine.at("identity")}});
  }
  for (const Series& series : series_of(history)) {
    Json one = {{"cell", series.cell},
                {"variant", series.variant},
                {"task", or_null(series.task)},
                {"metric", series.metric},
                {"unit", series.unit},
                {"better", series.less_is_better ? "lower" : "higher"},
                {"judged", series.judged},
                {"machine", series.machine_id.empty() ? Json(nullptr) : Json(places.at(series.machine_id))}};
    for (const char* column : {"at", "commit", "dirty", "value", "low", "high", "levels", "steps"})
      one[column] = Json::array();
    for (const HistoryPoint& point : series.points) {
      one["at"].push_back(point.at);
      one["commit"].push_back(or_null(point.commit));
      one["dirty"].push_back(point.dirty);
      one["value"].push_back(point.value);
      one["low"].push_back(or_null(point.low));
      one["high"].push_back(or_null(point.high));
    }
    const auto& levels = series.steps.levels;
    for (std::size_t i = 0; i < levels.size(); ++i) {
      one["levels"].push_back({{"first", levels[i].first}, {"past", levels[i].past}, {"value", levels[i].value}});
      if (i == 0) continue;
      const double way = change(levels[i - 1], levels[i], series.rule);
      one["steps"].push_back({{"point", levels[i].first}, {"change", way}, {"worse", series.worse(way)}});
    }
    one["drift"] =
        series.drift ? Json{{"since", series.drift->since}, {"change", series.drift->change}} : Json(nullptr);
    all.push_back(std::move(one));
  }
  return {{"faults", history.faults}, {"machines", std::move(machines)}, {"series", std::move(all)}};
}

}  // namespace lra::report
