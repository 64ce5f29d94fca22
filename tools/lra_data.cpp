// lra-data: tasks without training. What a data set is made of, what its examples look like, and its files in the
// published formats.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "core/file.h"
#include "core/json.h"
#include "core/parallel.h"
#include "core/text.h"
#include "data/dataset.h"
#include "session/build_info.h"
#include "tools/command_line.h"
#include "tools/data/chosen.h"
#include "tools/data/export.h"
#include "tools/data/forms.h"
#include "tools/data/show.h"
#include "tools/data/stats.h"
#include "tools/inspect/picture.h"
#include "tools/program.h"

namespace {

using namespace lra;
using data::SplitName;

constexpr SplitName kSplits[] = {SplitName::kTrain, SplitName::kValidation, SplitName::kTest};
constexpr int64_t kMostShown = 10'000;

struct Flags {
  datatool::Choice choice;
  std::string cache, split = "test", out, format, folder;
  int threads = 0;
  int64_t count = 8, first = 0, tokens = 600;
  bool json = false, quiet = false, no_baselines = false;
};

void remark(const Flags& flags, const std::string& text) {
  if (!flags.quiet) std::fprintf(stderr, "lra-data: %s\n", text.c_str());
}

// https://no-color.org: set to anything, it says no.
datatool::Colours colours() {
  const char* no = std::getenv("NO_COLOR");
  const bool wanted = (no == nullptr || *no == '\0') && isatty(STDOUT_FILENO) == 1;
  return wanted ? datatool::Colours::kYes : datatool::Colours::kNo;
}

// "train", "validation", "test", or "all".
std::vector<SplitName> splits_of(const std::string& name) {
  std::vector<std::string> known{"all"};
  for (const SplitName split : kSplits) {
    if (name == data::split_name(split)) return {split};
    known.emplace_back(data::split_name(split));
  }
  if (name == "all") return {std::begin(kSplits), std::end(kSplits)};
  refuse(fmt::format("no split is called '{}'{}", name, suggestion(name, known)));
}

// A task's data, and who made it.
struct Opened {
  explicit Opened(const Flags& flags)
      : chosen(datatool::choose(flags.choice)),
        workers(flags.threads > 0 ? flags.threads : available_cores()),
        cache(flags.cache.empty() ? cache_folder() : flags.cache),
        data(data::Dataset::open(*chosen.task, chosen.options, workers, cache)) {
    remark(flags, fmt::format("{}: {} {} in {}", chosen.task->info().id, human_bytes(static_cast<double>(data.bytes())),
                              data.from_cache() ? "from the cache" : "made", human_seconds(data.seconds())));
  }

  datatool::Chosen chosen;
  Workers workers;
  std::string cache;
  data::Dataset data;
};

int stats(const Flags& flags) {
  Opened of(flags);
  std::vector<data::Baseline> baselines;
  if (!flags.no_baselines)
    baselines = data::baselines(*of.chosen.task, of.chosen.options, of.data, of.workers, of.cache);
  const Json json = datatool::stats_json(of.chosen, of.data, baselines);
  print(flags.json ? json_text(json) : datatool::stats_text(json));
  return 0;
}

int show(Flags flags) {
  const std::vector<SplitName> splits = splits_of(flags.split);
  if (splits.size() > 1) refuse("--split all: show takes one split");
  if (!flags.out.empty() && !flags.out.ends_with(".png"))
    refuse(fmt::format("-o is '{}'; name a file that ends in .png", flags.out));
  // Without a preset a few examples of the task are wanted, not its data set.
  const std::string needed = fmt::format("{}", flags.first + flags.count);
  for (const SplitName split : kSplits)
    flags.choice.instead_of_defaults[data::split_name(split)] = split == splits[0] ? needed : "1";
  Opened of(flags);
  const datatool::Window window{splits[0], flags.first, flags.count};
  const std::string& task = of.chosen.task->info().id;
  if (!flags.out.empty()) {
    if (of.data.shape().height == 0)
      refuse(fmt::format("{}: its examples are no pictures; leave -o out to see them as text", task));
    inspect::write_png(flags.out, datatool::sheet_of(of.data, window));
    remark(flags, fmt::format("wrote {}", flags.out));
    return 0;
  }
  print(flags.json ? json_text(datatool::examples_json(task, of.data, window))
                   : datatool::examples_text(task, of.data, window, flags.tokens, colours()));
  return 0;
}

int export_task(const Flags& flags) {
  const std::vector<SplitName> splits = splits_of(flags.split);
  if (flags.out.empty()) refuse("--out is missing; name the folder for the files");
  if (!flags.format.empty() && flags.format != "tokens-tsv" && flags.format != "published")
    refuse(
        fmt::format("no format is called '{}'{}", flags.format, suggestion(flags.format, {"published", "tokens-tsv"})));
  Opened of(flags);
  const datatool::Form& form = flags.format == "tokens-tsv"
                                   ? datatool::tokens_tsv()
                                   : datatool::form_of(of.chosen.task->info().id, of.data.shape());
  Json out = Json::array();
  for (const SplitName split : splits)
    out.push_back(datatool::export_split({of.chosen, of.data, split, of.workers}, form, flags.out));
  if (flags.json) {
    print(json_text(out));
    return 0;
  }
  for (const Json& one : out) {
    print(fmt::format("{}: {} examples of {} {} as {}\n", flags.out, one.at("examples").dump(),
                      one.at("task").get<std::string>(), one.at("split").get<std::string>(),
                      one.at("form").get<std::string>()));
  }
  return 0;
}

int verify(const Flags& flags) {
  const std::vector<Json> manifests = datatool::verify(flags.folder);
  if (flags.json) {
    print(json_text(Json(manifests)));
    return 0;
  }
  for (const Json& one : manifests) {
    print(fmt::format("{}: {} {}, {} examples as exported; data hash {}\n", flags.folder,
                      one.at("task").get<std::string>(), one.at("split").get<std::string>(), one.at("examples").dump(),
                      one.at("data_hash").get<std::string>()));
  }
  return 0;
}

constexpr const char* kFooter = R"(
Examples:
  lra-data stats --task listops --preset lra
      Class shares, lengths, overlaps, baselines and the hash that a record of this data carries.
  lra-data show --task pathfinder --task-set resolution=32 -n 32 -o sheet.png
      A sheet of pictures; tasks of text are printed.
  lra-data export --task listops --split test -o d && lra-data verify d
      The published file format, and whether the files are still what was written.

Without --preset a task has its own defaults, the published sizes.
Exit codes: 0 done, 2 usage, 5 a file is not valid, 7 I/O.)";

class Parser {
 public:
  explicit Parser(Flags& flags)
      : flags_(flags), app_("Tasks without training: statistics, examples, files.", "lra-data") {
    app_.footer(kFooter);
    app_.set_help_flag("-h,--help", "Print this help and end");
    app_.set_version_flag("--version", fmt::format("lra-data {}", session::kVersion), "Print the version and end");
    app_.get_formatter()->column_width(34);
    app_.require_subcommand(1);

    CLI::App* one =
        command("stats", "Class shares, lengths, overlaps, baselines, hash", [](const Flags& f) { return stats(f); });
    choose(one);
    one->add_flag("--no-baselines", flags.no_baselines, "Leave the baselines out, which may take minutes")->group(kHow);
    one->footer(R"(
Examples:
  lra-data stats --task listops --preset lra
  lra-data stats --task text --task-set source=imdb --task-set path=/data/aclImdb --json)");

    one = command("show", "Examples as text, or as a sheet of pictures", [](const Flags& f) { return show(f); });
    choose(one);
    split(one, "train, validation or test");
    one->add_option("-n,--count", flags.count, "How many examples")
        ->type_name("N")
        ->check(CLI::Range(int64_t{1}, kMostShown).description(""))
        ->capture_default_str()
        ->group(kWhat);
    one->add_option("--first", flags.first, "From which on")
        ->type_name("I")
        ->check(CLI::Range(int64_t{0}, int64_t{900'000}).description(""))
        ->capture_default_str()
        ->group(kWhat);
    one->add_option("--tokens", flags.tokens, "Most tokens printed of a sequence; 0: all")
        ->type_name("N")
        ->check(CLI::Range(int64_t{0}, int64_t{1} << 24).description(""))
        ->capture_default_str()
        ->group(kHow);
    one->add_option("-o,--out", flags.out, "A .png for pictures [text on standard output]")
        ->type_name("FILE")
        ->group(kHow);
    one->footer(R"(
Without --preset only as many examples are made as are shown; a run with more training examples may have others in its
validation and test splits.

Examples:
  lra-data show --task pathfinder --task-set resolution=32 -n 32 -o sheet.png
  NO_COLOR=1 lra-data show --task listops --preset small -n 3)");

    one = command("export", "Files in the published formats", [](const Flags& f) { return export_task(f); });
    choose(one);
    split(one, "train, validation, test or all");
    one->add_option("--format", flags.format, "published, or tokens-tsv: numbers, for any task [published]")
        ->type_name("NAME")
        ->group(kWhat);
    one->add_option("-o,--out", flags.out, "Folder of the files")->type_name("DIR")->group(kHow);
    one->footer(R"(
Formats: listops basic_*.tsv; pathfinder and pathx folders of PNG and metadata; image idx.gz; text imdb_*.tsv; retrieval
new_aan_pairs.*.tsv; the others tokens-tsv. Splits of one data set may share a folder.

Examples:
  lra-data export --task listops --split all -o listops-1000
  lra-data export --task pathx --task-set train=1000 --split train -o pathx)");

    one = command("verify", "Whether exported files are what was written", [](const Flags& f) { return verify(f); });
    one->add_option("folder", flags.folder, "Folder that export wrote")->required()->type_name("DIR");
    one->footer(R"(
Examples:
  lra-data verify listops-1000
  lra-data verify pathx --json)");

    for (CLI::App* each : app_.get_subcommands({})) {
      each->add_flag("--json", flags.json, "The answer as JSON")->group(kHow);
      each->add_flag("-q,--quiet", flags.quiet, "Say nothing but results and errors")->group(kHow);
      each->set_help_flag("-h,--help", "Print this help and end");
      each->get_formatter()->column_width(34);
    }
  }

  int run(int argc, char** argv) {
    if (!take_words(app_, argc, argv)) return 0;
    const auto chosen =
        std::find_if(commands_.begin(), commands_.end(), [](const auto& c) { return c.first->parsed(); });
    return chosen->second(flags_);
  }

 private:
  static constexpr const char* kWhat = "Which data";
  static constexpr const char* kHow = "How";

  CLI::App* command(const char* name, const char* summary, int (*body)(const Flags&)) {
    CLI::App* out = app_.add_subcommand(name, summary);
    commands_.emplace_back(out, body);
    return out;
  }
  void choose(CLI::App* app) {
    app->add_option("--task", flags_.choice.task, "The task")->type_name("NAME")->group(kWhat);
    app->add_option("--preset", flags_.choice.preset, "Its options as of this preset [its own defaults]")
        ->type_name("NAME")
        ->group(kWhat);
    app->add_option("--presets", flags_.choice.presets_file, "A file of presets instead of the built-in ones")
        ->type_name("FILE")
        ->group(kWhat);
    app->add_option("--task-set", flags_.choice.task_set, "An option of the task")
        ->type_name("K=V")
        ->allow_extra_args(false)
        ->group(kWhat);
    app->add_option("--cache", flags_.cache, "Folder of generated data [$LRA_CACHE or ~/.cache/lra]")
        ->type_name("DIR")
        ->group(kHow);
    app->add_option("--threads", flags_.threads, "Cores [all]")
        ->type_name("N")
        ->check(CLI::Range(1, 1024).description(""))
        ->group(kHow);
  }
  void split(CLI::App* app, const char* help) {
    app->add_option("--split", flags_.split, help)->type_name("NAME")->capture_default_str()->group(kWhat);
  }

  Flags& flags_;
  CLI::App app_;
  std::vector<std::pair<CLI::App*, int (*)(const Flags&)>> commands_;
};

}  // namespace

int main(int argc, char** argv) {
  return run_program("lra-data", [&] {
    Flags flags;
    return Parser(flags).run(argc, argv);
  });
}
