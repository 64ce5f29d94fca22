// lra-compare: two sets of records, two builds (gate), or a build and its committed counts (baseline).
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/text.h"
#include "report/run_record.h"
#include "session/build_info.h"
#include "tools/compare/baseline.h"
#include "tools/compare/gate.h"
#include "tools/compare/records.h"
#include "tools/run/table.h"

namespace {

using namespace lra;
using namespace lra::compare;

constexpr int kWorse = 1, kNothing = 3;
// What a change is most likely to hurt, small enough for a few minutes.
const std::vector<std::string> kUsualCells{"softmax", "linear", "performer", "local"};

struct Flags {
  std::string before, after, base, head, build, file, why;
  std::vector<std::string> cells;
  GateSpec gate;
  bool no_counts = false, no_instructions = false, no_time = false, json = false, quiet = false;
};

void say(const Flags& flags, const std::string& line) {
  if (!flags.quiet) std::fprintf(stderr, "lra-compare: %s\n", line.c_str());
}

std::string amount(const Finding& f, double value) {
  if (f.unit == "B") return human_bytes(value);
  if (f.unit == "s") return fmt::format("{:.4g} ms", 1e3 * value);
  return fmt::format("{:.0f}", value);
}

std::string change(const Finding& f) {
  if (f.rounds == 0) return fmt::format("{:+.2f} %", 100 * f.change);
  return fmt::format("{:+.1f} % [{:+.1f}, {:+.1f}]", 100 * f.change, 100 * f.interval.low, 100 * f.interval.high);
}

std::string findings_text(const std::vector<Finding>& findings) {
  run::Table table({"cell", "metric", "base", "head", "change", "verdict", "note"});
  for (const auto& f : findings) {
    table.row({f.cell, f.metric, amount(f, f.base), amount(f, f.head), change(f), verdict_name(f.verdict), f.note});
  }
  return findings.empty() ? "" : table.text("");
}

Json findings_json(const std::vector<Finding>& findings) {
  Json out = Json::array();
  for (const auto& f : findings) {
    out.push_back({{"cell", f.cell},
                   {"metric", f.metric},
                   {"unit", f.unit},
                   {"base", f.base},
                   {"head", f.head},
                   {"change", f.change},
                   {"interval", {f.interval.low, f.interval.high}},
                   {"rounds", f.rounds},
                   {"verdict", verdict_name(f.verdict)},
                   {"note", f.note}});
  }
  return out;
}

int exit_code(Verdict verdict) {
  return verdict == Verdict::kFail ? kWorse : verdict == Verdict::kInconclusive ? kNothing : 0;
}

// For GitHub's runner: a line for each failure, a table in the job's summary.
void annotate(const std::vector<Finding>& findings, const std::vector<std::string>& missing, Verdict verdict) {
  if (std::getenv("GITHUB_ACTIONS") == nullptr) return;
  for (const auto& f : findings) {
    if (f.verdict != Verdict::kFail) continue;
    std::fprintf(stderr, "::error title=%s %s::%s, was %s, is %s\n", f.cell.c_str(), f.metric.c_str(),
                 change(f).c_str(), amount(f, f.base).c_str(), amount(f, f.head).c_str());
  }
  for (const auto& line : missing) std::fprintf(stderr, "::warning title=not measured::%s\n", line.c_str());
  const char* path = std::getenv("GITHUB_STEP_SUMMARY");
  if (path == nullptr) return;
  std::ofstream file(path, std::ios::app);
  file << "### lra-compare: " << verdict_name(verdict)
       << "\n\n| cell | metric | base | head | change | verdict |\n|---|---|--:|--:|--:|---|\n";
  for (const auto& f : findings) {
    file << fmt::format("| {} | {} | {} | {} | {} | {} |\n", f.cell, f.metric, amount(f, f.base), amount(f, f.head),
                        change(f), verdict_name(f.verdict));
  }
}

int tell(const Flags& flags, const GateResult& result) {
  const Verdict verdict = result.verdict();
  annotate(result.findings, result.missing, verdict);
  if (flags.json) {
    std::printf("%s\n", Json{{"schema", "lra.gate/1"},
                             {"verdict", verdict_name(verdict)},
                             {"findings", findings_json(result.findings)},
                             {"missing", result.missing}}
                            .dump(2)
                            .c_str());
  } else {
    std::fputs(findings_text(result.findings).c_str(), stdout);
    for (const auto& line : result.missing) std::printf("not measured: %s\n", line.c_str());
    std::printf("%s\n", verdict_name(verdict));
  }
  return exit_code(verdict);
}

// The cells asked for; else those of `known`, or the usual ones.
std::vector<Cell> cells_of(const Flags& flags, const std::vector<std::string>& known) {
  std::vector<Cell> out;
  std::set<std::string> names;
  for (const auto& text : flags.cells.empty() ? known : flags.cells) {
    Cell cell = parse_cell(text);
    if (names.insert(cell.name()).second) out.push_back(std::move(cell));
  }
  return out;
}

int run_gate(Flags flags) {
  const Build base(flags.base), head(flags.head);
  flags.gate.counts = !flags.no_counts;
  flags.gate.instructions = !flags.no_instructions;
  flags.gate.time = !flags.no_time;
  if (flags.cells == std::vector<std::string>{"all"}) flags.cells = base.variants();
  flags.gate.cells = cells_of(flags, kUsualCells);
  return tell(flags, gate(base, head, flags.gate, [&](const std::string& line) { say(flags, line); }));
}

int run_baseline(const Flags& flags, const std::string& what) {
  const Build build(flags.build);
  const bool fresh = what == "set";
  Baseline baseline = fresh ? Baseline{} : Baseline::read(flags.file);
  std::vector<std::string> known;
  for (const Json& row : baseline.rows) known.push_back(row.at("cell").get<std::string>());
  const std::vector<Cell> cells = cells_of(flags, fresh ? build.variants() : known);
  GateResult result;
  int changed = 0;
  for (const Cell& cell : cells) {
    say(flags, cell.name());
    try {
      Json measured = measure_row(build, cell, !flags.no_instructions);
      const Json* row = baseline.find(cell.name());
      if (row == nullptr && what == "check") {
        result.missing.push_back(fmt::format("{}: {} has no row of it", cell.name(), flags.file));
        continue;
      }
      if (row != nullptr) {
        const auto found = check_row(*row, measured, flags.gate.instruction_margin);
        result.findings.insert(result.findings.end(), found.begin(), found.end());
        // A row that still holds keeps its figures and its reason: no noise in the file's history.
        const bool moved = std::any_of(found.begin(), found.end(), [&](const Finding& f) {
          return f.metric == "instructions_per_step" ? std::abs(f.change) > flags.gate.instruction_margin / 3
                                                     : f.base != f.head;
        });
        if (!moved) continue;
      }
      measured["why"] = flags.why;
      ++changed;
      if (row != nullptr) {
        for (Json& old : baseline.rows) {
          if (old.at("cell") == cell.name()) old = measured;
        }
      } else {
        baseline.rows.push_back(measured);
      }
    } catch (const Error& e) {
      result.missing.push_back(fmt::format("{}: {}", cell.name(), e.what()));
    }
  }
  if (what == "check") return tell(flags, result);
  for (const auto& line : result.missing) std::printf("not measured: %s\n", line.c_str());
  baseline.write(flags.file);
  std::fputs(findings_text(result.findings).c_str(), stdout);
  std::printf("%s: %d of %zu rows written\n", flags.file.c_str(), changed, baseline.rows.size());
  return result.missing.empty() ? 0 : kNothing;
}

int run_records(const Flags& flags) {
  const report::Collection before = report::collect({flags.before}), after = report::collect({flags.after});
  for (const auto* side : {&before, &after}) {
    for (const auto& fault : side->faults) say(flags, fault);
  }
  const RecordComparison found = compare_records(before, after);
  if (flags.json) {
    std::printf("%s\n", json_of(found).dump(2).c_str());
  } else {
    std::fputs(text_of(found).c_str(), stdout);
  }
  if (found.pairs.empty()) {
    say(flags, fmt::format("{} and {} have no record of the same cell", flags.before, flags.after));
    return kNothing;
  }
  return found.worse() ? kWorse : 0;
}

constexpr const char* kFooter = R"(
Exit codes: 0 nothing got worse, 1 something did, 2 usage, 3 not everything could be measured or decided, 5 a file is
not valid, 6 a build has no programs.

Examples:
  lra-compare gate --base build/before --head build/release --cells softmax@512,performer@1024
      Counts, instructions and paired CPU time of both builds, with a verdict for each.
  lra-compare results/before results/runs
      What changed between two sets of records, and what differs around them.)";

int run_program(int argc, char** argv) {
  Flags flags;
  CLI::App app("Did it get slower, fatter or worse?", "lra-compare");
  app.footer(kFooter);
  app.set_help_flag("-h,--help", "Print this help and end");
  app.set_version_flag("--version", fmt::format("lra-compare {}", session::kVersion), "Print the version and end");
  app.add_option("old", flags.before, "Records: a file or folder")->type_name("OLD");
  app.add_option("new", flags.after, "Records to compare them with")->type_name("NEW");
  const auto common = [&](CLI::App* to) {
    to->add_flag("--json", flags.json, "JSON instead of a table");
    to->add_flag("-q,--quiet", flags.quiet, "No progress on standard error");
  };
  const auto cells = [&](CLI::App* to) {
    to->add_option("--cells", flags.cells, "Variants, each with a length [512]")->delimiter(',')->type_name("V@N,...");
    to->add_flag("--no-instructions", flags.no_instructions, "Without callgrind");
    to->add_option("--instruction-margin", flags.gate.instruction_margin, "Share by which instructions may grow")
        ->capture_default_str();
  };
  common(&app);
  CLI::App* gate = app.add_subcommand("gate", "Two builds, measured now, side by side");
  gate->add_option("--base", flags.base, "Build folder to compare with")->type_name("DIR")->required();
  gate->add_option("--head", flags.head, "Build folder to judge")->type_name("DIR")->required();
  cells(gate);
  gate->add_flag("--no-counts", flags.no_counts, "Without parameters, FLOPs and bytes");
  gate->add_flag("--no-time", flags.no_time, "Without CPU time");
  gate->add_option("--time-margin", flags.gate.time_margin, "Share by which CPU time may grow")->capture_default_str();
  gate->add_option("--rounds", flags.gate.rounds, "Rounds of a cell at the first look")
      ->check(CLI::Range(4, 10000).description(""))
      ->capture_default_str();
  gate->add_option("--leg-seconds", flags.gate.leg_seconds, "CPU seconds of one leg")
      ->check(CLI::Range(0.001, 60.0).description(""))
      ->capture_default_str();
  common(gate);
  CLI::App* baseline = app.add_subcommand("baseline", "Counts of a build against a committed file");
  baseline->require_subcommand(1);
  std::string which;
  for (const auto& [name, help] : {std::pair{"check", "Fail where a count has grown"},
                                   std::pair{"set", "Write a new file, for all variants or --cells"},
                                   std::pair{"update", "Rewrite the rows that moved; new --cells are added"}}) {
    CLI::App* verb = baseline->add_subcommand(name, help);
    verb->add_option("file", flags.file, "The baseline")->type_name("FILE")->required();
    verb->add_option("--build", flags.build, "Build folder")->type_name("DIR")->required();
    cells(verb);
    if (std::string(name) != "check") verb->add_option("--why", flags.why, "Reason, kept in the rows that are written");
    common(verb);
    verb->callback([&which, name = std::string(name)] { which = name; });
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& asked) {
    app.exit(asked);
    return 0;
  } catch (const CLI::ParseError& error) {
    throw Error(ErrorKind::kUsage, fmt::format("{} (lra-compare --help shows all flags)", error.what()));
  }
  if (gate->parsed()) return run_gate(flags);
  if (baseline->parsed()) return run_baseline(flags, which);
  if (flags.before.empty() || flags.after.empty())
    throw Error(ErrorKind::kUsage, "two sets of records are wanted, or gate or baseline (lra-compare --help)");
  return run_records(flags);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run_program(argc, argv);
  } catch (const lra::Error& error) {
    std::fprintf(stderr, "lra-compare: %s\n", error.what());
    return error.exit_code();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "lra-compare: %s\n", error.what());
    return static_cast<int>(lra::ErrorKind::kIo);
  }
}
