// lra-report: tables, a dashboard, figures and exports from records, and whether files are what they should be.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/file.h"
#include "core/json.h"
#include "core/text.h"
#include "record/schema.h"
#include "report/export.h"
#include "report/figure.h"
#include "report/history.h"
#include "report/page.h"
#include "report/run_record.h"
#include "report/summary.h"
#include "report/table.h"
#include "tools/command_line.h"
#include "tools/program.h"

namespace {

using namespace lra;

constexpr int kNothing = 3;
constexpr std::size_t kMostBytes = std::size_t{256} << 20;
constexpr const char* kVersion = LRA_VERSION;

struct Flags {
  std::vector<std::string> paths, tasks, variants, presets;
  std::string layout = "lra", format = "text", compare, what, out;
  bool fragment = false, json = false, quiet = false;
};

void say(const Flags& flags, const std::string& line) {
  if (!flags.quiet) std::fprintf(stderr, "lra-report: %s\n", line.c_str());
}

void print_or_write(const Flags& flags, const std::string& text) {
  if (flags.out.empty() || flags.out == "-") return print(text);
  write_file_atomically(flags.out, text);
  say(flags, fmt::format("wrote {} ({})", flags.out, human_bytes(static_cast<double>(text.size()))));
}

template <class Entry>
const Entry& named(const std::vector<const Entry*>& entries, const std::string& name, const char* what) {
  std::vector<std::string> names;
  for (const Entry* entry : entries) {
    if (name == entry->name) return *entry;
    names.emplace_back(entry->name);
  }
  throw Error(ErrorKind::kUsage, fmt::format("no {} is called '{}'{}", what, name, suggestion(name, names)));
}

bool is_history(const std::string& path) { return std::filesystem::path(path).extension() == ".jsonl"; }

// Keeps what --task, --variant and --preset name; a name that no record has is a slip.
void filter(report::Collection& collection, const Flags& flags) {
  const auto keep = [&](const std::vector<std::string>& wanted, std::string report::RunRecord::*field,
                        const char* what) {
    std::vector<std::string> known;
    for (const auto& record : collection.records) {
      if (std::find(known.begin(), known.end(), record.*field) == known.end()) known.push_back(record.*field);
    }
    for (const auto& name : wanted) {
      if (std::find(known.begin(), known.end(), name) == known.end())
        throw Error(ErrorKind::kUsage, fmt::format("no record has {} '{}'{}", what, name, suggestion(name, known)));
    }
    if (wanted.empty()) return;
    std::erase_if(collection.records, [&](const report::RunRecord& record) {
      return std::find(wanted.begin(), wanted.end(), record.*field) == wanted.end();
    });
  };
  keep(flags.tasks, &report::RunRecord::task, "task");
  keep(flags.variants, &report::RunRecord::variant, "variant");
  keep(flags.presets, &report::RunRecord::preset, "preset");
  if (!flags.variants.empty()) {
    std::erase_if(collection.costs, [&](const report::CostSeries& one) {
      return std::find(flags.variants.begin(), flags.variants.end(), one.variant) == flags.variants.end();
    });
  }
}

report::Collection collect(const Flags& flags) {
  report::Collection collection = report::collect(flags.paths);
  for (const auto& fault : collection.faults) say(flags, fault);
  for (const auto& note : collection.notes) say(flags, note);
  filter(collection, flags);
  return collection;
}

// What has been shown is right; files that could not be used make it incomplete.
int ending(const report::Collection& collection) {
  return collection.faults.empty() ? 0 : static_cast<int>(ErrorKind::kData);
}

int no_records(const Flags& flags) {
  say(flags, fmt::format("no record in {}; lra-run writes them", join(flags.paths)));
  return kNothing;
}

int table(const Flags& flags) {
  const auto& layout = named(report::layouts(), flags.layout, "layout");
  const auto& format = named(report::formats(), flags.format, "format");
  if (!flags.compare.empty() && flags.compare != "published")
    throw Error(ErrorKind::kUsage, fmt::format("--compare-to '{}' is not known; published is", flags.compare));
  const report::Collection collection = collect(flags);
  const auto groups = report::summarise(collection.records);
  const auto tables = layout.make({groups, collection.costs, !flags.compare.empty()});
  if (tables.empty()) return std::max(ending(collection), no_records(flags));
  print_or_write(flags, format.write(tables, flags.fragment));
  return ending(collection);
}

int dashboard(const Flags& flags) {
  report::Collection collection = collect(flags);
  const auto groups = report::summarise(collection.records);
  std::vector<std::string> with_history;
  std::copy_if(flags.paths.begin(), flags.paths.end(), std::back_inserter(with_history),
               [](const std::string& path) { return std::filesystem::is_directory(path) || is_history(path); });
  const report::History history = report::read_history(with_history);
  for (const auto& fault : history.faults) say(flags, fault);
  collection.faults.insert(collection.faults.end(), history.faults.begin(), history.faults.end());
  const Json document =
      report::dashboard(collection, groups, report::history_block(history), fmt::format("lra-report {}", kVersion));
  if (flags.json) {
    print_or_write(flags, json_text(document));
    return ending(collection);
  }
  Flags one = flags;
  if (one.out.empty()) one.out = "dashboard.html";
  print_or_write(one, report::page_of(document));
  if (one.out != "-") {
    one.out = std::filesystem::path(one.out).replace_extension(".json").string();
    print_or_write(one, json_text(document));
  }
  return ending(collection);
}

int figure(const Flags& flags) {
  const auto& chosen = named(report::figures(), flags.what, "figure");
  const auto& drawing = named(report::drawings(), flags.format, "format");
  const report::Collection collection = collect(flags);
  const auto groups = report::summarise(collection.records);
  const report::Picture picture = chosen.make({groups, collection.costs});
  if (picture.panels.empty()) {
    say(flags, fmt::format("figure {}: {}", chosen.name, picture.caption));
    return std::max(ending(collection), kNothing);
  }
  print_or_write(flags, drawing.write(picture));
  return ending(collection);
}

int export_results(const Flags& flags) {
  const auto& chosen = named(report::exports(), flags.what, "export");
  if (chosen.several && (flags.out.empty() || flags.out == "-"))
    throw Error(ErrorKind::kUsage,
                fmt::format("export {} writes several files; name a folder with --out", chosen.name));
  const report::Collection collection = collect(flags);
  const auto groups = report::summarise(collection.records);
  if (collection.records.empty()) return std::max(ending(collection), no_records(flags));
  const auto files = chosen.make(collection, groups);
  if (!chosen.several) {
    print_or_write(flags, files.front().bytes);
    return ending(collection);
  }
  for (const auto& file : files) write_file_atomically(flags.out + "/" + file.name, file.bytes);
  say(flags, fmt::format("wrote {} file(s) below {}", files.size(), flags.out));
  return ending(collection);
}

// Every *.json of the paths that says which schema of ours it has, and every line of a *.jsonl.
int validate(const Flags& flags) {
  std::vector<std::string> files;
  for (const auto& path : flags.paths) {
    if (!std::filesystem::exists(path)) throw Error(ErrorKind::kIo, fmt::format("{}: does not exist", path));
    if (!std::filesystem::is_directory(path)) {
      files.push_back(path);
      continue;
    }
    const std::size_t first = files.size();
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
      const bool ours = entry.path().extension() == ".json" || is_history(entry.path().string());
      if (ours && entry.is_regular_file()) files.push_back(entry.path().string());
    }
    std::sort(files.begin() + static_cast<std::ptrdiff_t>(first), files.end());
  }
  Json out = Json::array();
  int bad = 0, other = 0;
  for (const auto& path : files) {
    std::string fault;
    try {
      if (is_history(path)) {
        const auto faults = report::read_history({path}).faults;
        if (!faults.empty()) throw Error(ErrorKind::kData, join(faults, "; "));
        out.push_back({{"path", path}, {"valid", true}, {"fault", nullptr}});
        continue;
      }
      const Json json = parse_json(read_file(path, kMostBytes), path);
      const std::string schema = json.is_object() && json.contains("schema") && json["schema"].is_string()
                                     ? json["schema"].get<std::string>()
                                     : std::string();
      const bool named = std::find(flags.paths.begin(), flags.paths.end(), path) != flags.paths.end();
      if (schema.rfind("lra.dashboard/", 0) == 0) {
        record::require_schema(json, record::Schema::kDashboard, path);
      } else if (schema.rfind("lra.record/", 0) == 0 || named) {
        record::require_schema(json, record::Schema::kRecord, path);
      } else {
        ++other;
        continue;
      }
    } catch (const Error& error) {
      fault = error.what();
      ++bad;
    }
    out.push_back({{"path", path}, {"valid", fault.empty()}, {"fault", fault.empty() ? Json(nullptr) : Json(fault)}});
    if (!fault.empty() && !flags.json) print(fault + "\n");
  }
  if (flags.json) {
    print(json_text(out));
  } else {
    print(fmt::format("{} file(s) valid, {} not, {} of other kinds\n", out.size() - static_cast<std::size_t>(bad), bad,
                      other));
  }
  if (bad > 0) return static_cast<int>(ErrorKind::kData);
  return out.empty() ? no_records(flags) : 0;
}

// "  lra   variants by tasks..." for each entry.
template <class Entry>
std::string listed(const std::vector<const Entry*>& entries) {
  std::string out;
  for (const Entry* entry : entries) out += fmt::format("  {:<12} {}\n", entry->name, entry->summary);
  return out;
}

constexpr const char* kFooter = R"(
Examples:
  lra-report table results/runs --layout lra --format markdown --compare-to published
      Accuracy of variants by tasks, the published figures beside it, ready for a README.
  lra-report dashboard results/runs -o dashboard.html
      One page that opens without a network, and dashboard.json beside it.

Exit codes: 0 done, 2 usage, 3 no record to report on, 5 a file is not valid (the rest is reported), 7 I/O.)";

class Parser {
 public:
  explicit Parser(Flags& flags)
      : flags_(flags), app_("Turns records of lra-run into tables, a dashboard, figures and exports.", "lra-report") {
    app_.footer(kFooter);
    app_.set_help_flag("-h,--help", "Print this help and end");
    app_.set_version_flag("--version", fmt::format("lra-report {}", kVersion), "Print the version and end");
    app_.get_formatter()->column_width(34);
    app_.require_subcommand(1);

    CLI::App* one = command("table", "A table of all records", table);
    one->footer("\nLayouts:\n" + listed(report::layouts()) + "\nFormats:\n" + listed(report::formats()) + R"(
Examples:
  lra-report table results/runs --format latex > t.tex && pdflatex t.tex
  lra-report table results/runs bench.json --layout cost --task listops,image)");
    one->add_option("--layout", flags.layout, "What it shows")->type_name("NAME")->capture_default_str()->group("What");
    one->add_option("--compare-to", flags.compare, "published: what papers printed, with caveats")
        ->type_name("NAME")
        ->group("What");
    choose(one);
    one->add_option("--format", flags.format, "How it is written")
        ->type_name("NAME")
        ->capture_default_str()
        ->group("Output");
    one->add_flag("--fragment", flags.fragment, "HTML and LaTeX without what makes it a document")->group("Output");
    output(one, "File to write [standard output]");

    one = command("dashboard", "A page to explore, and dashboard.json", dashboard);
    one->footer(R"(
Accuracy, speed, memory, curves and each record in full; costs against length from files of lra-bench; the history
(*.jsonl of lra-compare history) with its steps; pictures of attention where lra-inspect attention --record put them
into records.

Examples:
  lra-report dashboard results -o dashboard.html
  lra-report dashboard results/runs bench.json --json > dashboard.json)");
    choose(one);
    one->add_flag("--json", flags.json, "dashboard.json alone, to standard output or --out")->group("Output");
    output(one, "The page; its data goes beside it as .json [dashboard.html]");

    one = command("figure", "A vector figure for a paper", figure);
    one->footer("\nFigures:\n" + listed(report::figures()) + "\nFormats:\n" + listed(report::drawings()) + R"(
Examples:
  lra-report figure bubble results/runs --task pathfinder --format pdf -o bubble.pdf
  lra-bench --benchmark_out=bench.json && lra-report figure scaling bench.json -o scaling.svg)");
    one->add_option("figure", flags.what, "Which")->required()->type_name("NAME");
    choose(one);
    one->add_option("--format", drawing_, "How it is written")
        ->type_name("NAME")
        ->capture_default_str()
        ->group("Output");
    output(one, "File to write [standard output]");

    one = command("export", "Results for other programs", export_results);
    one->footer("\nExports:\n" + listed(report::exports()) + R"(
Examples:
  lra-report export gha results/runs --out bench/
  lra-report export csv results/runs > records.csv)");
    one->add_option("export", flags.what, "Which")->required()->type_name("NAME");
    choose(one);
    output(one, "File or folder to write [standard output, where it is one file]");

    one = command("validate", "Whether files fit their schema", validate);
    one->footer(R"(
Examples:
  lra-report validate results/
  lra-report validate run.json --json)");
    one->add_flag("--json", flags.json, "One entry per file")->group("Output");

    for (CLI::App* each : app_.get_subcommands({})) {
      each->add_option("paths", flags.paths, "Records, files of lra-bench --benchmark_out, histories, or folders")
          ->required()
          ->type_name("PATH");
      each->add_flag("-q,--quiet", flags.quiet, "Say nothing but results and errors")->group("Output");
      each->set_help_flag("-h,--help", "Print this help and end");
      each->get_formatter()->column_width(34);
    }
  }

  int run(int argc, char** argv) {
    if (!take_words(app_, argc, argv)) return 0;
    for (const auto& [app, body] : commands_) {
      if (!app->parsed()) continue;
      if (app->get_name() == "figure") flags_.format = drawing_;
      return body(flags_);
    }
    LRA_ASSERT(false);
  }

 private:
  CLI::App* command(const char* name, const char* summary, int (*body)(const Flags&)) {
    CLI::App* out = app_.add_subcommand(name, summary);
    commands_.emplace_back(out, body);
    return out;
  }
  void choose(CLI::App* app) {
    const auto list = [&](const char* name, std::vector<std::string>& values, const char* help) {
      app->add_option(name, values, help)
          ->delimiter(',')
          ->type_name("A,B")
          ->allow_extra_args(false)
          ->group("Which records");
    };
    list("--task", flags_.tasks, "Only these tasks");
    list("--variant", flags_.variants, "Only these variants");
    list("--preset", flags_.presets, "Only these presets");
  }
  void output(CLI::App* app, const char* help) {
    app->add_option("-o,--out", flags_.out, help)->type_name("PATH")->group("Output");
  }

  Flags& flags_;
  CLI::App app_;
  std::string drawing_ = "svg";
  std::vector<std::pair<CLI::App*, int (*)(const Flags&)>> commands_;
};

}  // namespace

int main(int argc, char** argv) {
  return run_program("lra-report", [&] {
    Flags flags;
    return Parser(flags).run(argc, argv);
  });
}
