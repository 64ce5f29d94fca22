// lra-compare: two sets of records, two builds (gate), a build and its committed counts (baseline), and what was
// measured before (history); what can be seen on this machine (doctor).
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "core/clock.h"
#include "core/error.h"
#include "core/file.h"
#include "core/json.h"
#include "core/text.h"
#include "report/run_record.h"
#include "session/build_info.h"
#include "session/session.h"
#include "tools/command_line.h"
#include "tools/compare/baseline.h"
#include "tools/compare/doctor.h"
#include "tools/compare/gate.h"
#include "tools/compare/history.h"
#include "tools/compare/history_index.h"
#include "tools/compare/records.h"
#include "tools/program.h"
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
  std::vector<std::string> paths;  // of records to add, or of histories to look at
  std::string history = "results/history", machine_class, since;
  HistoryQuery query;
  MeasureSpec measure;
  DoctorSpec doctor;
  GateSpec gate;
  std::string junit;
  bool no_counts = false, no_instructions = false, no_time = false, json = false, quiet = false;
};

void say(const Flags& flags, const std::string& line) {
  if (!flags.quiet) std::fprintf(stderr, "lra-compare: %s\n", line.c_str());
}

// What people, CI runners and other programs read of it; returns the exit code.
int tell(const Flags& flags, const Answer& answer) {
  if (const char* runner = std::getenv("GITHUB_ACTIONS"); runner != nullptr && *runner != '\0')
    std::fputs(annotations_of(answer).c_str(), stderr);
  if (const char* path = std::getenv("GITHUB_STEP_SUMMARY"); path != nullptr && *path != '\0') {
    std::ofstream file(path, std::ios::app);
    file << summary_of(answer) << std::flush;
    if (!file) say(flags, fmt::format("{}: the summary cannot be written", path));
  }
  if (!flags.junit.empty()) write_file_atomically(flags.junit, junit_of(answer));
  std::fputs(flags.json ? json_text(json_of(answer)).c_str() : text_of(answer).c_str(), stdout);
  return exit_code(answer.verdict());
}

// The cells asked for, "all" being the variants of that build folder; else the usual ones.
std::vector<Cell> cells_of(const Flags& flags, const std::string& folder, const std::vector<std::string>& usual) {
  std::vector<Cell> out;
  std::set<std::string> names;
  const bool all = flags.cells == std::vector<std::string>{"all"};
  for (const auto& text : flags.cells.empty() ? usual : all ? Build(folder).variants() : flags.cells) {
    Cell cell = parse_cell(text);
    if (names.insert(cell.name()).second) out.push_back(std::move(cell));
  }
  return out;
}

int run_gate(Flags flags) {
  flags.gate.counts = !flags.no_counts;
  flags.gate.instructions = !flags.no_instructions;
  flags.gate.time = !flags.no_time;
  flags.gate.cells = cells_of(flags, flags.base, kUsualCells);
  return tell(flags, gate(flags.base, flags.head, flags.gate, [&](const std::string& line) { say(flags, line); }));
}

int run_baseline(const Flags& flags, const std::string& what) {
  const Build build(flags.build);
  BaselineSpec spec;
  spec.file = flags.file;
  spec.why = flags.why;
  spec.cells = cells_of(flags, flags.build, {});
  spec.instructions = !flags.no_instructions;
  spec.instruction_margin = flags.gate.instruction_margin;
  const auto progress = [&](const std::string& line) { say(flags, line); };
  if (what == "check") return tell(flags, check_baseline(build, spec, progress));
  const Rewritten done = rewrite_baseline(build, spec, what == "set" ? Keep::kNothing : Keep::kRowsThatHold, progress);
  if (flags.json) {
    std::fputs(json_text(json_of(done.answer)).c_str(), stdout);
  } else {
    if (!done.answer.findings.empty() || !done.answer.missing.empty()) std::fputs(text_of(done.answer).c_str(), stdout);
    std::printf("%s: %d of %zu rows written\n", flags.file.c_str(), done.changed, done.rows);
  }
  return done.answer.missing.empty() ? 0 : kNothing;
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

// Entries are appended as they come: what was measured before something failed is kept.
int add_to_history(Flags flags) {
  if (flags.paths.empty() && flags.build.empty())
    throw Error(ErrorKind::kUsage, "history add: name records, or a build to measure with --build");
  std::vector<Added> all;
  std::vector<std::string> missing;
  const auto append = [&](std::vector<Json> entries) {
    for (Added& one : append_history(flags.history, flags.machine_class, std::move(entries))) {
      const auto same = std::find_if(all.begin(), all.end(), [&](const Added& a) { return a.file == one.file; });
      if (same == all.end()) {
        all.push_back(std::move(one));
      } else {
        same->added += one.added;
        same->known += one.known;
      }
    }
  };
  if (!flags.paths.empty()) {
    const report::Collection records = report::collect(flags.paths);
    missing = records.faults;
    std::vector<Json> entries;
    for (const auto& record : records.records) {
      try {
        entries.push_back(entry_of_record(record));
      } catch (const Error& e) {
        missing.emplace_back(e.what());
      }
    }
    append(std::move(entries));
  }
  if (!flags.build.empty()) {
    const Build build(flags.build);
    MeasureSpec measure = flags.measure;
    measure.instructions = !flags.no_instructions;
    measure.time = !flags.no_time;
    for (const Cell& cell : cells_of(flags, flags.build, kUsualCells)) {
      say(flags, cell.name());
      std::vector<Json> entries;
      try {
        entries.push_back(entry_of_build(build, cell, measure));
      } catch (const Error& e) {
        missing.push_back(fmt::format("{}: {}", cell.name(), e.what()));
        continue;
      }
      append(std::move(entries));
    }
  }
  for (const auto& line : missing) say(flags, "not added: " + line);
  Json files = Json::array();
  for (const auto& one : all) {
    files.push_back({{"file", one.file}, {"added", one.added}, {"known", one.known}});
    if (!flags.json)
      print(fmt::format("{}: {} added{}\n", one.file, one.added,
                        one.known == 0 ? "" : fmt::format(", {} were there", one.known)));
  }
  if (flags.json) print(json_text({{"files", files}, {"not_added", missing}}));
  return all.empty() || !missing.empty() ? kNothing : 0;
}

// Lines that cannot be used are named, and the rest is shown all the same.
int tell_faults(const std::vector<std::string>& faults) {
  for (const auto& fault : faults) std::fprintf(stderr, "lra-compare: %s\n", fault.c_str());
  return faults.empty() ? 0 : static_cast<int>(ErrorKind::kData);
}

int show_history(Flags flags) {
  if (flags.paths.empty()) flags.paths = {flags.history};
  flags.query.since = parse_since(flags.since, utc_now());
  const HistoryIndex index(flags.paths);
  const std::vector<HistoryRow> rows = index.find(flags.query);
  const auto faults = index.faults();
  if (flags.json) {
    print(json_text({{"index", index.file()}, {"rows", json_of(rows)}, {"faults", faults}}));
  } else {
    print(text_of(rows));
  }
  if (rows.empty()) say(flags, "no entry fits");
  return std::max(tell_faults(faults), rows.empty() ? kNothing : 0);
}

int find_steps(Flags flags) {
  if (flags.paths.empty()) flags.paths = {flags.history};
  const std::string since = parse_since(flags.since, utc_now());
  const report::History history = report::read_history(flags.paths);
  const std::vector<report::Series> series = chosen_series(history, flags.query);
  const std::vector<StepLine> steps = steps_of(series, since);
  print(flags.json ? json_text(json_of(steps, series)) : text_of(steps, series));
  if (const int bad = tell_faults(history.faults); bad != 0) return bad;
  const bool decided =
      std::any_of(series.begin(), series.end(), [](const report::Series& s) { return s.judged && s.enough(); });
  if (!decided) say(flags, "no series has enough points yet");
  return !decided ? kNothing : !steps.empty() && steps.front().worse ? kWorse : 0;
}

int run_doctor(const Flags& flags) {
  say(flags, fmt::format("measuring for {}", human_seconds(flags.doctor.probe_seconds)));
  const Diagnosis found = diagnose(flags.doctor, session::environment(1));
  print(flags.json ? json_text(json_of(found, flags.doctor)) : text_of(found, flags.doctor));
  return 0;
}

constexpr const char* kFooter = R"(
Exit codes: 0 nothing got worse, 1 something did, 2 usage, 3 not everything could be measured or decided, 5 a file is
not valid, 6 a build has no programs, 7 I/O.

Examples:
  lra-compare gate --base build/before --head build/release --cells softmax@512,performer@1024 --quality
      Counts, instructions, paired CPU time and trained quality of both builds, with a verdict for each.
  lra-compare history add --build build/release && lra-compare history steps --since 7d
      Measures a build, keeps it, and says what has changed for good in the last week.
  lra-compare results/before results/runs
      What changed between two sets of records, and what differs around them.)";

int answer(int argc, char** argv) {
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
    to->add_option("--cells", flags.cells, "Variants, each with a length [512], or all")
        ->delimiter(',')
        ->type_name("V@N,...");
    to->add_flag("--no-instructions", flags.no_instructions, "Without callgrind");
    to->add_option("--instruction-margin", flags.gate.instruction_margin, "Share by which instructions may grow")
        ->capture_default_str();
  };
  const auto junit = [&](CLI::App* to) {
    to->add_option("--junit", flags.junit, "Write JUnit XML, too")->type_name("FILE");
  };
  common(&app);
  CLI::App* gate = app.add_subcommand("gate", "Two builds, measured now, side by side");
  gate->add_option("--base", flags.base, "Build folder to compare with")->type_name("DIR")->required();
  gate->add_option("--head", flags.head, "Build folder to judge")->type_name("DIR")->required();
  cells(gate);
  gate->add_flag("--no-counts", flags.no_counts, "Without parameters, FLOPs and bytes");
  gate->add_flag("--no-time", flags.no_time, "Without CPU time");
  gate->add_flag("--quality", flags.gate.quality, "Train both, too; seconds where the bits are the same");
  gate->add_option("--time-margin", flags.gate.time_margin, "Share by which CPU time may grow")->capture_default_str();
  gate->add_option("--rounds", flags.gate.rounds, "Rounds of a cell at the first look")
      ->check(CLI::Range(4, 10000).description(""))
      ->capture_default_str();
  gate->add_option("--leg-seconds", flags.gate.leg_seconds, "CPU seconds of one leg")
      ->check(CLI::Range(0.001, 60.0).description(""))
      ->capture_default_str();
  QualitySpec& training = flags.gate.training;
  gate->add_option("--quality-task", training.tasks, "Tasks to train")
      ->delimiter(',')
      ->type_name("T,...")
      ->capture_default_str();
  gate->add_option("--quality-preset", training.preset, "Preset of the training")
      ->type_name("NAME")
      ->capture_default_str();
  gate->add_option("--quality-seeds", training.seeds, "Seeds at the first look")
      ->check(CLI::Range(2, 1000).description(""))
      ->capture_default_str();
  gate->add_option("--quality-margin", training.margin, "Accuracy that may be lost, as a share of 1")
      ->capture_default_str();
  gate->add_flag("--across-toolchains", flags.gate.across_toolchains,
                 "Compare builds of different compilers, flags or C libraries");
  junit(gate);
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
    if (std::string(name) == "check") junit(verb);
    common(verb);
    verb->callback([&which, name = std::string(name)] { which = name; });
  }
  CLI::App* history = app.add_subcommand("history", "What was measured before, and where it changed");
  history->require_subcommand(1);
  CLI::App* add = history->add_subcommand("add", "Append records, or a build measured now");
  add->add_option("records", flags.paths, "Records: files or folders")->type_name("RECORDS");
  add->add_option("--build", flags.build, "Build folder to measure")->type_name("DIR");
  add->add_option("--cells", flags.cells, "Variants, each with a length [512], or all")
      ->delimiter(',')
      ->type_name("V@N,...");
  add->add_flag("--no-instructions", flags.no_instructions, "Without callgrind");
  add->add_flag("--no-time", flags.no_time, "Without CPU time");
  add->add_option("--rounds", flags.measure.rounds, "Rounds of a cell and of the calibration kernel")
      ->check(CLI::Range(1, 10000).description(""))
      ->capture_default_str();
  add->add_option("--leg-seconds", flags.measure.leg_seconds, "CPU seconds of one leg")
      ->check(CLI::Range(0.001, 60.0).description(""))
      ->capture_default_str();
  add->add_option("--history", flags.history, "Folder of the histories")->type_name("DIR")->capture_default_str();
  add->add_option("--class", flags.machine_class, "Name of the file [processor, cores and instruction set]")
      ->check(CLI::Validator(
          [](const std::string& name) {
            const bool plain = !name.empty() && name.front() != '.' && name.find('/') == std::string::npos;
            return plain ? "" : "--class: '" + name + "' is no name of a file";
          },
          ""))
      ->type_name("NAME");
  common(add);
  CLI::App* show = history->add_subcommand("show", "Entries, by time");
  CLI::App* steps =
      history->add_subcommand("steps", "Where a series has changed its level; exit code 1 if for the worse");
  for (CLI::App* one : {show, steps}) {
    one->add_option("paths", flags.paths, "Histories: files or folders [results/history]")->type_name("PATH");
    one->add_option("--variant", flags.query.variant, "Only this variant")->type_name("NAME");
    one->add_option("--task", flags.query.task, "Only this task")->type_name("NAME");
    one->add_option("--cell", flags.query.cell, "Only this cell, such as softmax@512")->type_name("NAME");
    one->add_option("--metric", flags.query.metric, "Only this metric")->type_name("NAME");
    one->add_option("--since", flags.since,
                    one == show ? "Only entries since 2026-11-02, or 30d" : "Only steps since 2026-11-02, or 30d")
        ->type_name("DATE");
    common(one);
  }
  CLI::App* doctor = app.add_subcommand("doctor", "What can be seen on this machine, and what disturbs");
  const std::map<std::string, double> units{{"s", 1}, {"m", 60}, {"h", 3600}};
  for (const auto& [name, value, help] :
       {std::tuple{"--budget", &flags.doctor.budget_seconds, "Time for a comparison, such as 60s or 5m [60s]"},
        std::tuple{"--probe", &flags.doctor.probe_seconds, "Time to measure the noise [6s]"}}) {
    doctor->add_option(name, *value, help)
        ->transform(CLI::AsNumberWithUnit(units, CLI::AsNumberWithUnit::UNIT_OPTIONAL, "TIME"))
        ->check(CLI::Range(0.1, 86400.0).description(""))
        ->type_name("TIME");
  }
  common(doctor);
  if (!take_words(app, argc, argv)) return 0;
  if (gate->parsed()) return run_gate(flags);
  if (baseline->parsed()) return run_baseline(flags, which);
  if (add->parsed()) return add_to_history(flags);
  if (show->parsed()) return show_history(flags);
  if (steps->parsed()) return find_steps(flags);
  if (doctor->parsed()) return run_doctor(flags);
  if (flags.before.empty() || flags.after.empty())
    throw Error(ErrorKind::kUsage,
                "two sets of records are wanted, or gate, baseline, history or doctor (lra-compare --help)");
  return run_records(flags);
}

}  // namespace

int main(int argc, char** argv) {
  return lra::run_program("lra-compare", [&] { return answer(argc, argv); });
}
