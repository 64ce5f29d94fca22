// Entries of records and of builds, the append, and what is said of steps.
#include "tools/compare/history.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <map>
#include <set>

#include "core/clock.h"
#include "core/error.h"
#include "core/file.h"
#include "core/text.h"
#include "tools/compare/machine.h"
#include "tools/compare/paired.h"
#include "tools/run/table.h"

namespace lra::compare {
namespace {

namespace fs = std::filesystem;

constexpr const char* kHistorySchema = "lra.history/1";
constexpr double kMedianConfidence = 0.95;

Json metric(double value, const char* unit, const char* better, int64_t n) {
  const bool whole = value == std::floor(value) && std::abs(value) < 1e15;
  return {{"value", whole ? Json(static_cast<int64_t>(value)) : Json(value)},
          {"unit", unit},
          {"better", better},
          {"low", nullptr},
          {"high", nullptr},
          {"n", n}};
}

Json metric_of(const std::vector<double>& values, const char* unit) {
  Json out = metric(median(values), unit, "lower", static_cast<int64_t>(values.size()));
  if (const auto interval = sign_interval(values, kMedianConfidence)) {
    out["low"] = interval->low;
    out["high"] = interval->high;
  }
  return out;
}

Json entry_with(const Json& environment, Where where, const std::string& at) {
  const Json identity = identity_of(environment, where);
  const Json versions = environment.value("versions", Json::object());
  Json state = Json::object();
  if (where == Where::kHere) {
    state = machine_state();
    for (const char* counter : {"ticks", "steal_ticks", "throttled"}) state.erase(counter);
  } else {
    state["kernel"] = environment.at("kernel");
    state["load"] = environment.at("load_at_start");
  }
  return {
      {"schema", kHistorySchema},
      {"at", at},
      {"commit", environment.at("commit")},
      {"dirty", environment.at("dirty")},
      {"lra", versions.value("lra", std::string("unknown"))},
      {"machine",
       {{"class", class_of(identity)}, {"id", identity_hash(identity)}, {"identity", identity}, {"volatile", state}}}};
}

// CPU seconds of a step beside CPU seconds of a repeat of the calibration kernel, leg by leg on one core.
void measure_time(const Build& build, const Cell& cell, const MeasureSpec& spec, Json& metrics) {
  const int core = measuring_core();
  const auto subject = build.start(cell, core);
  const StayOn here(core);
  Calibration kernel;
  const int repeats = kernel.repeats_for(spec.leg_seconds);
  const auto leg = [&](int steps) {
    double sum = 0;
    for (int i = 0; i < steps; ++i) sum += subject->step().cpu_seconds;
    return sum / steps;
  };
  leg(2);
  const double first = leg(2);
  const int steps = std::clamp(static_cast<int>(std::ceil(spec.leg_seconds / std::max(first, 1e-6))), 1, 1000);
  leg(steps);
  kernel.run(repeats);
  std::vector<double> step, repeat, ratio;
  for (int r = 0; r < spec.rounds; ++r) {
    double mine = 0, its = 0;
    const auto calibrate = [&] { mine = kernel.run(repeats).cpu / repeats; };
    if (r % 2 == 0) calibrate();
    its = leg(steps);
    if (r % 2 == 1) calibrate();
    step.push_back(its);
    repeat.push_back(mine);
    ratio.push_back(its / mine);
  }
  metrics["cpu_per_step"] = metric_of(step, "s");
  metrics["cpu_per_calibration"] = metric_of(ratio, "");
  metrics["calibration_repeat"] = metric_of(repeat, "s");
}

// Owns a descriptor.
struct Descriptor {
  int fd = -1;
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
};

[[noreturn]] void fail(const std::string& path, const char* action) {
  throw Error(ErrorKind::kIo,
              fmt::format("{}: cannot {}: {}; what was there is as it was", path, action, std::strerror(errno)));
}

// Hashes of the records that the file has already.
std::set<std::string> known_sources(const std::string& path) {
  std::set<std::string> out;
  for (const auto& entry : report::read_history({path}).entries) {
    const Json& hash = entry.json.at("source").at("hash");
    if (hash.is_string()) out.insert(hash.get<std::string>());
  }
  return out;
}

Added append(const std::string& path, const std::vector<Json>& entries) {
  Added out{.file = path};
  std::error_code code;
  fs::create_directories(fs::path(path).parent_path(), code);
  const bool fresh = !fs::exists(path, code);
  const Descriptor file{open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666)};
  if (file.fd < 0) fail(path, "write");
  while (flock(file.fd, LOCK_EX) != 0) {
    if (errno != EINTR) fail(path, "lock");
  }
  const std::set<std::string> known = known_sources(path);
  std::string text;
  for (const Json& entry : entries) {
    const Json& hash = entry.at("source").at("hash");
    if (hash.is_string() && known.contains(hash.get<std::string>())) {
      ++out.known;
      continue;
    }
    text += report::history_line(entry);
    ++out.added;
  }
  if (text.empty()) return out;
  struct stat info {};
  if (fstat(file.fd, &info) != 0) fail(path, "read");
  char last = '\n';
  if (info.st_size > 0 && pread(file.fd, &last, 1, info.st_size - 1) != 1) fail(path, "read");
  if (last != '\n') text.insert(text.begin(), '\n');
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t count = write(file.fd, text.data() + done, text.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      const int why = errno;
      // Nothing but our own beginning is taken back.
      if (ftruncate(file.fd, info.st_size) != 0) errno = why;
      errno = why;
      fail(path, "append");
    }
    done += static_cast<std::size_t>(count);
  }
  if (fsync(file.fd) != 0) fail(path, "sync");
  if (fresh) {
    const Descriptor folder{open(fs::path(path).parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (folder.fd < 0 || fsync(folder.fd) != 0) fail(path, "sync");
  }
  return out;
}

std::string commit_text(const report::HistoryPoint& point) {
  if (point.commit.empty()) return "no commit";
  return point.commit.substr(0, 8) + (point.dirty ? "+" : "");
}

std::string change_text(const StepLine& step) {
  return step.series->rule.relative ? fmt::format("{:+.2f} %", 100 * step.change)
                                    : fmt::format("{:+.2f} points", 100 * step.change);
}

int judged(const std::vector<report::Series>& series) {
  return static_cast<int>(
      std::count_if(series.begin(), series.end(), [](const report::Series& s) { return s.judged && s.enough(); }));
}

}  // namespace

Json entry_of_record(const report::RunRecord& record) {
  const Json& environment = record.part({"environment"});
  if (!environment.is_object() || record.started.empty()) {
    throw Error(ErrorKind::kData, fmt::format("{}: a record without an environment ({}); nobody knows where it ran",
                                              record.path, record.status));
  }
  Json out = entry_with(environment, Where::kInARecord, record.started);
  out["cell"] = {{"name", fmt::format("{}/{}/{}", record.task, record.variant, record.preset)},
                 {"variant", record.variant},
                 {"task", record.task},
                 {"preset", record.preset},
                 {"length", nullptr},
                 {"threads", environment.at("cores_used")},
                 {"seed", record.seed},
                 {"spec_hash", record.spec_hash}};
  out["status"] = record.status;
  Json metrics = Json::object();
  if (record.quality) {
    Json quality = metric(*record.quality, record.metric == "accuracy" ? "" : "bit",
                          record.metric == "accuracy" ? "higher" : "lower", std::max<int64_t>(1, record.test_examples));
    quality["low"] = *record.quality_low;
    quality["high"] = *record.quality_high;
    metrics[record.metric] = std::move(quality);
  }
  const auto add = [&](const char* name, const std::optional<double>& value, const char* unit) {
    if (value) metrics[name] = metric(*value, unit, "lower", 1);
  };
  add("parameters", record.parameters, "");
  add("planned_bytes", record.planned, "B");
  add("saved_per_sequence", record.saved_per_sequence, "B");
  add("arena_high_water_bytes", record.arena_high_water, "B");
  add("peak_rss_bytes", record.peak_rss, "B");
  if (record.steps_per_s) {
    const Json& rate = record.part({"speed", "train_steps_per_s"});
    Json steps = metric(*record.steps_per_s, "1/s", "higher", std::max<int64_t>(1, rate.value("n", int64_t{1})));
    steps["low"] = rate.at("iqr").at(0);
    steps["high"] = rate.at("iqr").at(1);
    metrics["train_steps_per_s"] = std::move(steps);
  }
  out["metrics"] = std::move(metrics);
  out["source"] = {{"kind", "record"}, {"hash", hash_hex(record.json.dump())}};
  return out;
}

Json entry_of_build(const Build& build, const Cell& cell, const MeasureSpec& spec) {
  Json environment;
  int threads = 1;
  {
    const Json facts = build.start(cell, -1)->facts();
    if (!facts.contains("environment")) {
      throw Error(ErrorKind::kPlugin,
                  fmt::format("{}: its lra-bench does not tell how it was built; build it anew", build.folder()));
    }
    environment = facts.at("environment");
    threads = facts.at("threads").get<int>();
  }
  Json out = entry_with(environment, Where::kHere, utc_now());
  out["cell"] = {{"name", cell.name()},   {"variant", cell.variant}, {"task", nullptr}, {"preset", nullptr},
                 {"length", cell.length}, {"threads", threads},      {"seed", nullptr}, {"spec_hash", nullptr}};
  out["status"] = "ok";
  Json metrics = Json::object();
  const Json counts = build.counts(cell);
  for (const auto& [name, value] : counts.items()) {
    if (!value.is_number()) continue;
    const bool bytes = name.find("bytes") != std::string::npos || name == "saved_per_sequence";
    metrics[name] = metric(value.get<double>(), bytes ? "B" : "", "lower", 1);
  }
  if (spec.instructions) {
    if (const auto counted = build.instructions(cell)) metrics[kInstructions] = metric(*counted, "", "lower", 1);
  }
  if (spec.time) measure_time(build, cell, spec, metrics);
  out["metrics"] = std::move(metrics);
  out["source"] = {{"kind", "build"}, {"hash", nullptr}};
  return out;
}

std::vector<Added> append_history(const std::string& folder, const std::string& machine_class,
                                  std::vector<Json> entries) {
  std::map<std::string, std::vector<Json>> files;
  for (Json& entry : entries) {
    if (!machine_class.empty()) entry["machine"]["class"] = machine_class;
    files[entry["machine"]["class"].get<std::string>()].push_back(std::move(entry));
  }
  std::vector<Added> out;
  for (const auto& [name, some] : files) out.push_back(append((fs::path(folder) / (name + ".jsonl")).string(), some));
  return out;
}

std::string parse_since(const std::string& text, const std::string& now) {
  if (text.empty()) return text;
  const bool digits = std::all_of(text.begin(), text.end() - 1, [](char c) { return c >= '0' && c <= '9'; });
  if (digits && text.size() > 1 && text.size() < 7 && text.back() == 'd') {
    std::tm time{};
    strptime(now.c_str(), "%Y-%m-%dT%H:%M:%SZ", &time);
    const time_t then = timegm(&time) - time_t{86400} * std::stol(text);
    gmtime_r(&then, &time);
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", time.tm_year + 1900, time.tm_mon + 1, time.tm_mday,
                       time.tm_hour, time.tm_min, time.tm_sec);
  }
  std::tm time{};
  const char* end = strptime(text.c_str(), "%Y-%m-%d", &time);
  if (end != nullptr && *end == 'T') end = strptime(text.c_str(), "%Y-%m-%dT%H:%M:%SZ", &time);
  if (end == nullptr || *end != '\0' || text.size() < 10)
    throw Error(ErrorKind::kUsage,
                fmt::format("--since: '{}' is no date; write 2026-11-02, 2026-11-02T10:11:12Z or 30d", text));
  return text;
}

std::vector<report::Series> chosen_series(const report::History& history, const HistoryQuery& query) {
  std::vector<report::Series> all = report::series_of(history);
  const auto keep = [&](const std::string& wanted, std::string report::Series::*field, const char* what) {
    if (wanted.empty()) return;
    std::set<std::string> known;
    for (const auto& one : all) {
      if (!(one.*field).empty()) known.insert(one.*field);
    }
    if (!known.contains(wanted)) {
      throw Error(ErrorKind::kUsage, fmt::format("no entry has {} '{}'{}", what, wanted,
                                                 suggestion(wanted, {known.begin(), known.end()})));
    }
    std::erase_if(all, [&](const report::Series& one) { return one.*field != wanted; });
  };
  keep(query.variant, &report::Series::variant, "variant");
  keep(query.task, &report::Series::task, "task");
  keep(query.cell, &report::Series::cell, "cell");
  keep(query.metric, &report::Series::metric, "metric");
  return all;
}

std::vector<StepLine> steps_of(const std::vector<report::Series>& all, const std::string& since) {
  std::vector<StepLine> out;
  for (const auto& series : all) {
    const auto& levels = series.steps.levels;
    for (std::size_t i = 1; i < levels.size(); ++i) {
      if (series.points[levels[i].first].at < since) continue;
      const double way = report::change(levels[i - 1], levels[i], series.rule);
      out.push_back({&series, levels[i].first, levels[i].first - 1, levels[i - 1].value, levels[i].value, way,
                     series.worse(way), false});
    }
    if (series.drift) {
      const auto& all_levels = series.steps.all_levels;
      const auto best = std::find_if(all_levels.begin(), all_levels.end(),
                                     [&](const report::Level& l) { return l.first == series.drift->since; });
      out.push_back({&series, series.points.size() - 1, best->past - 1, best->value, all_levels.back().value,
                     series.drift->change, true, true});
    }
  }
  std::stable_sort(out.begin(), out.end(), [](const StepLine& a, const StepLine& b) { return a.worse > b.worse; });
  return out;
}

std::string text_of(const std::vector<StepLine>& steps, const std::vector<report::Series>& series) {
  run::Table table({"cell", "metric", "first seen", "commits", "from", "to", "change", "verdict"});
  std::set<std::string> confirm;
  for (const auto& step : steps) {
    const auto& s = *step.series;
    const auto &before = s.points[step.before], &at = s.points[step.point];
    table.row({s.cell, s.metric, at.at, commit_text(before) + ".." + commit_text(at), value_text(step.from, s.unit),
               value_text(step.to, s.unit), change_text(step),
               step.drift   ? "worse, by many small steps"
               : step.worse ? "worse"
                            : "better"});
    if (step.worse && s.metric == "cpu_per_calibration" && !before.commit.empty() && !at.commit.empty())
      confirm.insert(fmt::format("build {} and {}, then lra-compare gate --cells {}", before.commit.substr(0, 8),
                                 at.commit.substr(0, 8), s.cell));
  }
  std::string out = steps.empty() ? "" : table.text("");
  for (const auto& line : confirm) out += "to confirm: " + line + "\n";
  const auto looked = static_cast<std::size_t>(judged(series));
  const auto short_ones = static_cast<std::size_t>(
      std::count_if(series.begin(), series.end(), [](const report::Series& s) { return s.judged && !s.enough(); }));
  return out + fmt::format("{} in {} series{}\n", steps.size() == 1 ? "1 step" : fmt::format("{} steps", steps.size()),
                           looked, short_ones == 0 ? "" : fmt::format("; {} more have too few points", short_ones));
}

Json json_of(const std::vector<StepLine>& steps, const std::vector<report::Series>& series) {
  Json all = Json::array();
  for (const auto& step : steps) {
    const auto& s = *step.series;
    const auto commit = [](const report::HistoryPoint& p) { return or_null(p.commit); };
    all.push_back({{"cell", s.cell},
                   {"metric", s.metric},
                   {"machine", or_null(s.machine_class)},
                   {"at", s.points[step.point].at},
                   {"point", step.point},
                   {"points", s.points.size()},
                   {"commit_before", commit(s.points[step.before])},
                   {"commit", commit(s.points[step.point])},
                   {"from", step.from},
                   {"to", step.to},
                   {"change", step.change},
                   {"noise", s.steps.noise},
                   {"worse", step.worse},
                   {"drift", step.drift}});
  }
  return {{"steps", std::move(all)}, {"series", judged(series)}};
}

std::string value_text(double value, const std::string& unit) {
  if (unit == "B") return human_bytes(value);
  if (unit == "s") return fmt::format("{:.4g} ms", 1e3 * value);
  if (value == std::floor(value) && std::abs(value) < 1e15) return fmt::format("{:.0f}", value);
  return fmt::format("{:.4g}{}{}", value, unit.empty() ? "" : " ", unit);
}

}  // namespace lra::compare
