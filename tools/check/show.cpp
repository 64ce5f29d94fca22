// Outcomes as text and as JSON.
#include "tools/check/show.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "check/checks.h"
#include "tools/run/table.h"

namespace lra::check {
namespace {

std::string verdict_word(const Verdict& verdict) {
  return verdict.kind == Kind::kPass ? "pass" : verdict.kind == Kind::kFail ? "FAIL" : "n.a.";
}

std::string failure_text(const Verdict& v) {
  std::string out = fmt::format("{}: found {}; wanted {}", v.what, v.found, v.wanted);
  if (v.cases > 1) out += fmt::format("  ({} of {} cases)", v.failed, v.cases);
  return out;
}

int count(const Outcome& outcome, Kind kind) {
  int n = 0;
  for (const auto& line : outcome.lines) n += line.verdict.kind == kind ? 1 : 0;
  return n;
}

double seconds(const Outcome& outcome) {
  double sum = 0;
  for (const auto& line : outcome.lines) sum += line.seconds;
  return sum;
}

}  // namespace

std::string list_text() {
  run::Table table({"check", "passes if"});
  for (const auto& check : checks()) table.row({check.id, check.sentence});
  return table.text("");
}

Json list_json() {
  Json out = Json::array();
  for (const auto& check : checks()) out.push_back({{"id", check.id}, {"sentence", check.sentence}});
  return out;
}

std::string outcome_text(const Plugin& plugin, const Outcome& outcome, Detail detail) {
  std::string out = fmt::format("{}: {}, {} passed, {} failed, {} not applicable, {:.1f} s\n", plugin.name,
                                outcome.conforms() ? "conforms" : "DOES NOT CONFORM", count(outcome, Kind::kPass),
                                count(outcome, Kind::kFail), count(outcome, Kind::kNotApplicable), seconds(outcome));
  if (detail == Detail::kAll) {
    out += fmt::format("  {}{}\n", plugin.path, outcome.build.empty() ? "" : " (" + outcome.build + ")");
    run::Table table({"check", "verdict", "cases", "what was found"});
    for (const auto& line : outcome.lines) {
      const Verdict& v = line.verdict;
      table.row({line.id, verdict_word(v), v.cases == 0 ? "-" : std::to_string(v.cases),
                 v.kind == Kind::kFail ? failure_text(v) : v.note});
    }
    return out + table.text("  ");
  }
  for (const auto& line : outcome.lines) {
    if (line.verdict.kind == Kind::kFail)
      out += fmt::format("  {} {}: {}\n", verdict_word(line.verdict), line.id, failure_text(line.verdict));
  }
  return out;
}

Json outcome_json(const Plugin& plugin, const Outcome& outcome) {
  Json lines = Json::array();
  for (const auto& line : outcome.lines) {
    Json one = {{"id", line.id}};
    one.update(line.verdict.json());
    one["seconds"] = line.seconds;
    lines.push_back(one);
  }
  return {{"id", plugin.name},           {"library", plugin.path},
          {"build", outcome.build},      {"conforms", outcome.conforms()},
          {"seconds", seconds(outcome)}, {"checks", lines}};
}

Progress::Progress(bool quiet) : drawing_(!quiet && isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() { clear(); }

void Progress::show(const std::string& text) {
  if (!drawing_) return;
  std::fprintf(stderr, "\r\033[K%s", text.c_str());
  std::fflush(stderr);
  drawn_ = true;
}

void Progress::clear() {
  if (drawn_) std::fputs("\r\033[K", stderr);
  drawn_ = false;
}

}  // namespace lra::check
