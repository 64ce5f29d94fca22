// Texts over records: a field that a record lacks is shown as "-", never guessed.
#include "tools/run/display.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <optional>

#include "core/clock.h"
#include "core/text.h"
#include "tools/run/table.h"

namespace lra::run {
namespace {

constexpr double kTerminalSeconds = 0.1;  // between two drawings of the line
constexpr double kPlainSeconds = 15;      // between two lines of a log

// The value at a path of names, or null.
Json at(const Json& json, const std::vector<std::string>& path) {
  const Json* here = &json;
  for (const auto& name : path) {
    if (!here->is_object() || !here->contains(name)) return nullptr;
    here = &(*here)[name];
  }
  return *here;
}

std::string text_of(const Json& json, const std::vector<std::string>& path) {
  const Json found = at(json, path);
  return found.is_null() ? "-" : plain_word(found);
}

template <class Format>
std::string number(const Json& json, const std::vector<std::string>& path, const Format& format) {
  const Json found = at(json, path);
  return found.is_number() ? format(found.get<double>()) : "-";
}

std::string percent(double share) { return fmt::format("{:.1f} %", 100 * share); }
std::string rate(double value) { return value < 1000 ? fmt::format("{:.3g}", value) : short_count(value); }
std::string count(double value) { return fmt::format("{:.0f}", value); }

std::string metric(const Json& record) { return text_of(record, {"quality", "metric"}); }

// A figure of the record's quality with its unit.
std::string quality(const Json& record, const std::string& name) {
  return number(record, {"quality", name}, [&](double x) { return session::quality_text(metric(record), x); });
}

// The same in a column that has the unit in its head: per cent, or bits.
std::string bare(const Json& record, double x) {
  return metric(record) == "accuracy" ? fmt::format("{:.1f}", 100 * x) : fmt::format("{:.3f}", x);
}

std::string interval(const Json& record) {
  const Json ends = at(record, {"quality", "test_ci95"});
  if (!ends.is_array()) return "-";
  return fmt::format("[{}, {}]", bare(record, ends[0].get<double>()), bare(record, ends[1].get<double>()));
}

bool has_result(const Json& record) { return at(record, {"quality", "test"}).is_number(); }

// The strongest cheap predictor: what a result must be compared with. Nothing where there is none.
std::optional<std::pair<std::string, double>> strongest_baseline(const Json& record) {
  std::optional<std::pair<std::string, double>> best;
  const Json baselines = at(record, {"quality", "baselines"});
  if (!baselines.is_object()) return best;
  const bool higher = metric(record) == "accuracy";
  for (const auto& [name, value] : baselines.items()) {
    if (!value.is_number()) continue;
    const auto x = value.get<double>();
    if (!best || (higher ? x > best->second : x < best->second)) best = {name, x};
  }
  return best;
}

std::string baselines(const Json& record) {
  std::vector<std::string> parts;
  const Json found = at(record, {"quality", "baselines"});
  if (found.is_object()) {
    for (const auto& [name, value] : found.items()) {
      if (value.is_number()) parts.push_back(name + " " + session::quality_text(metric(record), value.get<double>()));
    }
  }
  parts.push_back("chance " + quality(record, "chance"));
  return join(parts);
}

// "1: 6.02, 2: 5.50, 4: 4.31, ...": the mean bits of targets from that position on, up to the next one named.
std::string by_position(const Json& octaves) {
  std::vector<std::string> parts;
  for (std::size_t o = 0; o < octaves.size(); ++o)
    parts.push_back(fmt::format("{}: {:.2f}", std::size_t{1} << o, octaves[o].get<double>()));
  return join(parts);
}

std::string line(const std::string& name, const std::string& text) { return fmt::format("  {:<10}{}\n", name, text); }

}  // namespace

std::string short_count(double value) {
  if (value < 1e3) return fmt::format("{:.0f}", value);
  if (value < 1e6) return fmt::format("{:.1f}k", value * 1e-3);
  if (value < 1e9) return fmt::format("{:.1f}M", value * 1e-6);
  return fmt::format("{:.1f}G", value * 1e-9);
}

ProgressLine::ProgressLine(Talk talk) : talk_(talk), terminal_(isatty(STDERR_FILENO) == 1) {}

ProgressLine::~ProgressLine() { clear(); }

void ProgressLine::clear() {
  if (drawn_) std::fputs("\r\033[K", stderr);
  drawn_ = false;
}

void ProgressLine::say(const std::string& text) {
  if (talk_ == Talk::kQuiet) return;
  clear();
  std::fprintf(stderr, "%s\n", text.c_str());
}

void ProgressLine::show(const std::string& label, const session::Progress& p, const std::string& rest) {
  if (talk_ == Talk::kQuiet) return;
  using Kind = session::Progress::Kind;
  std::string text = label;
  if (p.kind == Kind::kData) {
    text += ": making data";
  } else if (p.kind == Kind::kTest) {
    text += ": testing";
  } else {
    text += fmt::format("  step {}/{}", p.step, p.steps);
    if (p.kind != Kind::kEvaluation || p.step > 0) text += fmt::format("  loss {:.4f}", p.loss);
    if (p.kind == Kind::kEvaluation) text += "  validation " + p.quality;
    if (p.tokens_per_s > 0) text += fmt::format("  {} tokens/s", short_count(p.tokens_per_s));
    if (p.eta > 0) text += fmt::format("  {} left", human_seconds(p.eta));
  }
  if (!rest.empty()) text += "  (" + rest + ")";
  if (talk_ == Talk::kVerbose && p.kind == Kind::kEvaluation) return say(text);
  const double now = wall_seconds();
  if (now - last_ < (terminal_ ? kTerminalSeconds : kPlainSeconds)) return;
  last_ = now;
  if (!terminal_) return say(text);
  std::fprintf(stderr, "\r\033[K%s", text.c_str());
  std::fflush(stderr);
  drawn_ = true;
}

std::string record_text(const Json& record, const std::string& path) {
  std::string out =
      fmt::format("{} on {} (preset {} v{}, seed {}): {}\n", text_of(record, {"variant"}), text_of(record, {"task"}),
                  text_of(record, {"preset"}), text_of(record, {"spec", "preset_version"}), text_of(record, {"seed"}),
                  text_of(record, {"status"}));
  if (at(record, {"error"}).is_object()) out += line("why", text_of(record, {"error", "message"}));
  if (has_result(record)) {
    out += line(
        "test",
        fmt::format("{} {}, 95 % interval {}, {} examples, weights of step {} (validation {}); last step {}",
                    metric(record) == "accuracy" ? "accuracy" : "per token", quality(record, "test"), interval(record),
                    text_of(record, {"quality", "test_examples"}), text_of(record, {"quality", "best_step"}),
                    quality(record, "validation_best"), quality(record, "test_last_weights")));
    const Json octaves = at(record, {"quality", "bits_by_position"});
    if (octaves.is_array()) out += line("", "bits from position " + by_position(octaves));
    out += line("baselines", baselines(record));
  }
  if (at(record, {"speed"}).is_object()) {
    out += line("training",
                fmt::format("{} steps/s, {} tokens/s, {} examples/s with {} thread(s); {:} of time in the mixer",
                            number(record, {"speed", "train_steps_per_s", "median"}, rate),
                            number(record, {"speed", "train_tokens_per_s", "median"}, rate),
                            number(record, {"speed", "train_examples_per_s", "median"}, rate),
                            text_of(record, {"speed", "threads"}), number(record, {"speed", "mixer_share"}, percent)));
    out += line("", fmt::format("{} GFLOP/s, {} of the FMA peak", number(record, {"speed", "gflops"}, rate),
                                number(record, {"speed", "share_of_peak"}, percent)));
    out += line("time", fmt::format("training {}, evaluation {}, data {}",
                                    number(record, {"speed", "phases", "train_s"}, human_seconds),
                                    number(record, {"speed", "phases", "evaluation_s"}, human_seconds),
                                    number(record, {"speed", "phases", "data_s"}, human_seconds)));
  }
  if (at(record, {"memory"}).is_object()) {
    out += line("memory", fmt::format("planned {}, of it written {}, whole process {}; one sequence keeps {}",
                                      number(record, {"memory", "planned", "total"}, human_bytes),
                                      number(record, {"memory", "arena_high_water"}, human_bytes),
                                      number(record, {"memory", "peak_rss"}, human_bytes),
                                      number(record, {"memory", "saved_per_sequence"}, human_bytes)));
  }
  if (at(record, {"model"}).is_object()) {
    out += line("model",
                fmt::format("{} parameters, {} of them in the mixers", number(record, {"model", "parameters"}, count),
                            number(record, {"model", "mixer_parameters"}, count)));
  }
  return out + line("record", path);
}

std::string records_text(const std::vector<Json>& records, const std::vector<std::string>& paths) {
  Table table({"variant", "task", "seed", "status", "test", "95 %", "best baseline", "steps/s", "tokens/s", "planned",
               "process", "record"});
  std::string reasons;
  for (std::size_t i = 0; i < records.size(); ++i) {
    const Json& r = records[i];
    const auto strongest = strongest_baseline(r);
    table.row({text_of(r, {"variant"}), text_of(r, {"task"}), text_of(r, {"seed"}), text_of(r, {"status"}),
               number(r, {"quality", "test"}, [&](double x) { return bare(r, x); }), interval(r),
               strongest ? fmt::format("{} {}", bare(r, strongest->second), strongest->first) : "-",
               number(r, {"speed", "train_steps_per_s", "median"}, rate),
               number(r, {"speed", "train_tokens_per_s", "median"}, rate),
               number(r, {"memory", "planned", "total"}, human_bytes), number(r, {"memory", "peak_rss"}, human_bytes),
               paths[i]});
    if (at(r, {"error"}).is_object()) {
      reasons += fmt::format("{}/{} seed {}: {}: {}\n", text_of(r, {"variant"}), text_of(r, {"task"}),
                             text_of(r, {"seed"}), text_of(r, {"status"}), text_of(r, {"error", "message"}));
    }
  }
  return fmt::format("{}{}{}", table.text(""), reasons.empty() ? "" : "\n", reasons);
}

}  // namespace lra::run
