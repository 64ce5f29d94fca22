// The flags of lra-run, declared once: CLI11 reads them from argv and from the words that a --config file stands for.
#include "tools/run/flags.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <sstream>

#include "core/error.h"
#include "core/file.h"
#include "core/json.h"
#include "core/options.h"
#include "core/text.h"
#include "session/build_info.h"
#include "tools/program.h"

namespace lra::run {
namespace {

constexpr std::size_t kMostSeeds = 10000;

constexpr const char* kFooter = R"(
Examples:
  lra-run --variant performer --task pathfinder
      Trains one cell with preset "small" and prints its accuracy, speed and memory.
  lra-run --variant softmax,performer --task listops --seeds 0..2 --set performer.features=128 --resume
      Six cells, each in a process of its own; those whose record is there already are skipped.

Exit codes: 0 done, 2 usage, 4 some cells failed, 5 bad data file, 6 plugin, 7 I/O, 130/143 interrupted (go on with --resume).)";

// Flags that are short for --model k=v and --train k=v.
struct Shorthand {
  const char* flag;
  const char* field;
  const char* type;
  const char* help;
};
constexpr Shorthand kModelFlags[] = {
    {"--layers", "layers", "N", "Encoder layers"},
    {"--dim", "dim", "D", "Model width"},
    {"--heads", "heads", "H", "Attention heads"},
    {"--mlp", "mlp", "N", "Width inside the feed-forward layers"},
    {"--dropout", "dropout", "P", "After the embedding, the mixer and the feed-forward layers"},
    {"--pool", "pool", "NAME", "mean, cls or last"},
    {"--positions", "positions", "NAME", "learned, sinusoidal, sinusoidal2d, axial or none"},
    {"--residual", "residual", "NAME", "plain, or reversible: memory for one layer only"},
};
constexpr Shorthand kTrainFlags[] = {
    {"--batch", "batch", "N", "Examples of one update"},
    {"--steps", "steps", "N", "Updates"},
    {"--lr", "lr", "X", "Learning rate at the top of the schedule"},
    {"--eval-every", "eval_every", "N", "Updates between two validations (0: twenty in all)"},
    {"--eval-examples", "eval_examples", "N", "Validation examples each time (0: all)"},
};

// Text that CLI11 fills before it is checked and converted.
struct Words {
  std::vector<std::string> variants, tasks, seeds, set, task_set, model, train, plugin_path;
  std::map<std::string, std::string> model_fields, train_fields;
  bool causal = false;
  std::string memory_limit, timeout, checkpoint_every, list, config;
};

class Parser {
 public:
  Parser()
      : app_(
            "Trains and measures attention variants on Long Range Arena tasks: same model, same data, only the token "
            "mixer changes.",
            "lra-run") {
    app_.set_help_flag("-h,--help", "Print this help and end");
    app_.set_version_flag("--version", fmt::format("lra-run {}", session::kVersion), "Print the version and end");
    app_.get_formatter()->column_width(34);
    app_.footer(kFooter);
    declare_what();
    declare_settings();
    declare_how();
    declare_questions();
    declare_manners();
  }

  // argv-like words, in order.
  void parse(std::vector<std::string> words) {
    std::reverse(words.begin(), words.end());
    app_.parse(words);
    convert();
  }

  std::string help() const { return app_.help(); }
  const std::string& config() const { return words_.config; }
  const Flags& flags() const { return flags_; }

  void require_nothing_twice() const {
    if (!twice_.empty()) refuse(twice_);
  }

  // The first argument that no flag takes, with the flag that was perhaps meant.
  std::string unexpected() const {
    for (const auto& word : app_.remaining()) {
      const std::string name = word.substr(0, word.find('='));
      if (name.rfind("--", 0) != 0) return fmt::format("'{}' belongs to no flag", word);
      const std::string near = nearest_name(name.substr(2), names());
      return fmt::format("no flag is called '{}'{}", name,
                         near.empty() ? "" : fmt::format("; did you mean '--{}'?", near));
    }
    return "an argument belongs to no flag";
  }

  // Long names without "--".
  std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const CLI::Option* option : app_.get_options()) {
      for (const auto& name : option->get_lnames()) out.push_back(name);
    }
    return out;
  }
  // The first of a flag's names: "seeds" is "seed".
  std::string first_name(const std::string& name) const { return app_.get_option("--" + name)->get_lnames().front(); }
  bool is_switch(const std::string& name) const { return app_.get_option("--" + name)->get_items_expected_max() == 0; }

  // Which flags were given, the four kinds of settings by their name.
  std::set<std::string> given() const {
    std::set<std::string> out;
    for (const CLI::Option* option : app_.get_options()) {
      if (option->count() > 0 && !option->get_lnames().empty()) out.insert(option->get_lnames().front());
    }
    const std::pair<const char*, const Settings*> groups[] = {{"set", &flags_.variant_set},
                                                              {"task-set", &flags_.task_set},
                                                              {"model", &flags_.model},
                                                              {"train", &flags_.train}};
    for (const auto& [group, settings] : groups) {
      for (const auto& [name, value] : *settings) out.insert(fmt::format("{}.{}", group, name));
    }
    return out;
  }

 private:
  void declare_what() {
    const std::string group = "What to run";
    list("--variant", words_.variants, "A,B|all", "Attention variants")->group(group);
    list("--task", words_.tasks, "T,U|all", "Tasks; all: those of the preset")->group(group);
    app_.add_option("--preset", flags_.preset, "Model, training and task sizes")
        ->type_name("NAME")
        ->capture_default_str()
        ->group(group);
    list("--seed,--seeds", words_.seeds, "0,1|0..4", "Seeds; several make a sweep [0]")->group(group);
  }

  void declare_settings() {
    const std::string group = "Change the preset";
    app_.add_option("--set", words_.set, "Option of the variant; performer.features=64 where several run")
        ->type_name("K=V")
        ->allow_extra_args(false)
        ->group(group);
    app_.add_option("--task-set", words_.task_set, "Option of the task; listops.max_args=5 where several run")
        ->type_name("K=V")
        ->allow_extra_args(false)
        ->group(group);
    app_.add_option("--length", flags_.length, "Most tokens of a sequence, for tasks that have such an option")
        ->type_name("N")
        ->group(group);
    for (const auto& one : kModelFlags) shorthand(one, words_.model_fields)->group(group);
    app_.add_flag("--causal", words_.causal, "Rows see only rows before them and themselves")->group(group);
    for (const auto& one : kTrainFlags) shorthand(one, words_.train_fields)->group(group);
    app_.add_option("--model", words_.model, "Any other field of the model")
        ->type_name("K=V")
        ->allow_extra_args(false)
        ->group(group);
    app_.add_option("--train", words_.train, "Any other field of training")
        ->type_name("K=V")
        ->allow_extra_args(false)
        ->group(group);
  }

  void declare_how() {
    const std::string group = "How to run it (changes no result)";
    app_.add_option("--threads", flags_.threads, "Cores of one cell [all]")
        ->type_name("N")
        ->check(CLI::Range(1, 1024).description(""))
        ->group(group);
    app_.add_option("--jobs", flags_.jobs, "Cells at the same time")
        ->type_name("N")
        ->check(CLI::Range(1, 256).description(""))
        ->capture_default_str()
        ->group(group);
    app_.add_option("--memory-limit", words_.memory_limit, "Refuse a cell that plans more, e.g. 8G")
        ->type_name("SIZE")
        ->group(group);
    app_.add_option("--timeout", words_.timeout, "End a cell after this time, e.g. 30m")
        ->type_name("TIME")
        ->group(group);
    app_.add_option("--checkpoint-every", words_.checkpoint_every, "Time between checkpoints [30s]")
        ->type_name("TIME")
        ->group(group);
    app_.add_option("--init-from", flags_.init_from, "Start from the weights of a .ckpt, where names and shapes agree")
        ->type_name("FILE")
        ->group("Change the preset");
    app_.add_option("-o,--out", flags_.out, "Folder of the records")
        ->type_name("DIR")
        ->capture_default_str()
        ->group(group);
    app_.add_option("--cache", flags_.cache, "Folder of generated data [$LRA_CACHE or ~/.cache/lra]")
        ->type_name("DIR")
        ->group(group);
    app_.add_option("--presets", flags_.presets, "Presets of your own instead of the built-in ones")
        ->type_name("FILE")
        ->group(group);
    app_.add_option("--plugin-path", words_.plugin_path, "More folders or libraries with variants")
        ->type_name("PATH")
        ->allow_extra_args(false)
        ->group(group);
    app_.add_flag("--resume", flags_.resume, "Skip finished cells, go on from checkpoints")->group(group);
    app_.add_option("--config", words_.config, "Flags from a JSON or TOML file; argv wins")
        ->type_name("FILE")
        ->group(group);
  }

  void declare_questions() {
    const std::string group = "Ask, run nothing";
    app_.add_option("--list", words_.list, "variants, tasks, presets, or all of them")
        ->type_name("[WHAT]")
        ->expected(0, 1)
        ->group(group);
    app_.add_option("--describe", flags_.describe, "All about a variant, task or preset")
        ->type_name("NAME")
        ->group(group);
    app_.add_flag("-n,--dry-run", flags_.dry_run, "The cells with parameters, memory, work and time")->group(group);
    app_.add_flag("--status", flags_.status, "The cells and the state of each record")->group(group);
    app_.add_flag("--print-config", flags_.print_config, "Every setting, its value and who set it")->group(group);
  }

  void declare_manners() {
    const std::string group = "Output";
    app_.add_flag("--json", flags_.json, "Records or answers as JSON on stdout")->group(group);
    app_.add_flag("-q,--quiet", flags_.quiet, "No progress on stderr")->group(group);
    app_.add_flag("-v,--verbose", flags_.verbose, "A line for each validation")->group(group);
  }

  CLI::Option* list(const std::string& names, std::vector<std::string>& into, const std::string& type,
                    const std::string& help) {
    return app_.add_option(names, into, help)->delimiter(',')->type_name(type)->allow_extra_args(false);
  }

  CLI::Option* shorthand(const Shorthand& one, Settings& into) {
    return app_
        .add_option_function<std::string>(
            one.flag, [&into, &one](const std::string& value) { into[one.field] = value; }, one.help)
        ->type_name(one.type);
  }

  void merge(const Settings& fields, Settings& settings, const std::string& flag) {
    for (const auto& [name, value] : fields) {
      if (!settings.emplace(name, value).second && twice_.empty())
        twice_ = fmt::format("{} is given by {} and by its own flag; leave one out", name, flag);
    }
  }

  void convert() {
    flags_.variants = words_.variants;
    flags_.tasks = words_.tasks;
    if (!words_.seeds.empty()) flags_.seeds = parse_seeds(join(words_.seeds, ","), "--seeds");
    flags_.variant_set = parse_settings(words_.set, "--set");
    flags_.task_set = parse_settings(words_.task_set, "--task-set");
    flags_.model = parse_settings(words_.model, "--model");
    flags_.train = parse_settings(words_.train, "--train");
    if (app_.get_option("--causal")->count() > 0) words_.model_fields["causal"] = words_.causal ? "true" : "false";
    merge(words_.model_fields, flags_.model, "--model");
    merge(words_.train_fields, flags_.train, "--train");
    if (!words_.memory_limit.empty()) flags_.memory_limit = parse_bytes(words_.memory_limit, "--memory-limit");
    if (!words_.timeout.empty()) flags_.timeout = parse_duration(words_.timeout, "--timeout");
    if (!words_.checkpoint_every.empty())
      flags_.checkpoint_seconds = parse_duration(words_.checkpoint_every, "--checkpoint-every");
    flags_.plugin_path = words_.plugin_path;
    if (app_.get_option("--list")->count() > 0) {
      const std::vector<std::string> known{"all", "variants", "tasks", "presets"};
      flags_.list = words_.list.empty() ? "all" : words_.list;
      if (std::find(known.begin(), known.end(), *flags_.list) == known.end()) {
        refuse(fmt::format("--list: nothing is called '{}'{}", *flags_.list, suggestion(*flags_.list, known)));
      }
    }
  }

  CLI::App app_;
  Words words_;
  Flags flags_;
  std::string twice_;
};

// A config file as the JSON object it is, or stands for: {"variant": "performer", "set": {"features": 64}}.
Json read_config(const std::string& path) {
  try {
    const std::string text = read_file(path, std::size_t{1} << 20);
    if (!is_utf8(text)) refuse(path + ": not a text in UTF-8");
    const std::size_t first = text.find_first_not_of(" \t\r\n");
    if (first == std::string::npos) return Json::object();
    if (text[first] == '{') return parse_json(text, path);
    Json out = Json::object();
    std::istringstream stream(text);
    for (const auto& item : CLI::ConfigTOML().from_config(stream)) {
      if (item.name == "++" || item.name == "--") continue;  // CLI11's marks around a section
      if (item.inputs.empty()) refuse(fmt::format("{}: '{}' has no value", path, item.name));
      Json& into = item.parents.empty() ? out : out[item.parents.back()];
      into[item.name] = item.inputs.size() == 1 ? Json(item.inputs.front()) : Json(item.inputs);
    }
    return out;
  } catch (const Error& error) {
    refuse(fmt::format("--config {}", error.what()));
  } catch (const CLI::Error& error) {
    refuse(fmt::format("--config {}: {}", path, error.what()));
  }
}

// A config file as the flags it stands for, without those that argv has.
std::vector<std::string> words_of(const Json& config, const std::string& path, const Parser& parser,
                                  const std::set<std::string>& taken) {
  if (!config.is_object()) refuse(fmt::format("--config {}: an object of flags is wanted", path));
  const std::vector<std::string> names = parser.names();
  std::vector<std::string> out;
  for (const auto& [key, value] : config.items()) {
    std::string name = key;
    std::replace(name.begin(), name.end(), '_', '-');
    if (std::find(names.begin(), names.end(), name) == names.end() || name == "config") {
      refuse(fmt::format("--config {}: no flag is called '{}'{}", path, key, suggestion(name, names)));
    }
    if (value.is_object()) {  // settings: argv is merged over them later
      for (const auto& [setting, text] : value.items()) {
        out.push_back("--" + name);
        out.push_back(fmt::format("{}={}", setting, plain_word(text)));
      }
      continue;
    }
    if (taken.contains(parser.first_name(name))) continue;
    if (parser.is_switch(name)) {
      const std::string text = plain_word(value);
      if (text != "true" && text != "false")
        refuse(fmt::format("--config {}: {} is {}; true or false is wanted", path, key, value.dump()));
      if (text == "true") out.push_back("--" + name);
      continue;
    }
    for (const Json& one : value.is_array() ? value : Json::array({value})) {
      out.push_back("--" + name);
      out.push_back(plain_word(one));
    }
  }
  return out;
}

// `over` wins.
Settings overlay(Settings under, const Settings& over) {
  for (const auto& [name, value] : over) under[name] = value;
  return under;
}

void parse_or_refuse(Parser& parser, const std::vector<std::string>& words) {
  try {
    parser.parse(words);
  } catch (const CLI::ExtrasError&) {
    refuse(parser.unexpected() + " (lra-run --help shows all flags)");
  } catch (const CLI::Success&) {
    throw;
  } catch (const CLI::ParseError& error) {
    std::string message = error.what();
    std::replace(message.begin(), message.end(), '\n', ' ');
    refuse(message + " (lra-run --help shows all flags)");
  }
}

}  // namespace

std::string Flags::source(const std::string& name) const {
  return from_argv.contains(name) ? "flag" : from_config.contains(name) ? "config" : "";
}

int64_t parse_bytes(const std::string& text, const std::string& flag) {
  const std::size_t end = text.find_first_not_of("0123456789.");
  std::string unit = end == std::string::npos ? "" : text.substr(end);
  std::transform(unit.begin(), unit.end(), unit.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  const std::map<std::string, int> powers{{"", 0},    {"B", 0},  {"K", 1},   {"KB", 1}, {"KIB", 1},
                                          {"M", 2},   {"MB", 2}, {"MIB", 2}, {"G", 3},  {"GB", 3},
                                          {"GIB", 3}, {"T", 4},  {"TB", 4},  {"TIB", 4}};
  const auto power = powers.find(unit);
  if (end == 0 || power == powers.end()) refuse(fmt::format("{}: '{}' is not a size; write 512M or 8G", flag, text));
  const double bytes = parse_number(text.substr(0, end), flag) * std::pow(1024.0, power->second);
  if (bytes < 1 || bytes > 9e15) refuse(fmt::format("{}: '{}' is out of range", flag, text));
  return static_cast<int64_t>(bytes);
}

double parse_duration(const std::string& text, const std::string& flag) {
  const std::size_t end = text.find_first_not_of("0123456789.");
  const std::map<std::string, double> units{{"", 1}, {"s", 1}, {"m", 60}, {"min", 60}, {"h", 3600}};
  const auto unit = units.find(end == std::string::npos ? "" : text.substr(end));
  if (end == 0 || unit == units.end()) refuse(fmt::format("{}: '{}' is not a time; write 90s, 30m or 2h", flag, text));
  return parse_number(text.substr(0, end), flag) * unit->second;
}

std::vector<uint64_t> parse_seeds(const std::string& text, const std::string& flag) {
  const auto number = [&](const std::string& digits) {
    uint64_t value = 0;
    const auto [stop, code] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (code != std::errc{} || stop != digits.data() + digits.size()) {
      refuse(fmt::format("{}: '{}' is not a seed; write 3 or 0,1,2 or 0..4", flag, digits));
    }
    return value;
  };
  std::vector<uint64_t> seeds;
  const auto add = [&](uint64_t seed) {
    if (std::find(seeds.begin(), seeds.end(), seed) == seeds.end()) seeds.push_back(seed);
    if (seeds.size() > kMostSeeds) refuse(fmt::format("{}: more than {} seeds", flag, kMostSeeds));
  };
  for (const auto& part : split(text, ',')) {
    const std::size_t dots = part.find("..");
    const uint64_t first = number(part.substr(0, dots));
    const uint64_t last = dots == std::string::npos ? first : number(part.substr(dots + 2));
    if (last < first) refuse(fmt::format("{}: '{}' counts down", flag, part));
    for (uint64_t offset = 0; offset <= last - first; ++offset) add(first + offset);
  }
  return seeds;
}

std::optional<Flags> parse_flags(const std::vector<std::string>& arguments, std::string& answer) {
  Parser typed;
  try {
    parse_or_refuse(typed, arguments);
  } catch (const CLI::CallForHelp&) {
    answer = typed.help();
    return std::nullopt;
  } catch (const CLI::CallForVersion& version) {
    answer = std::string(version.what()) + "\n";
    return std::nullopt;
  }
  typed.require_nothing_twice();
  Flags flags = typed.flags();
  flags.from_argv = typed.given();
  if (typed.config().empty()) return flags;

  const std::vector<std::string> words = words_of(read_config(typed.config()), typed.config(), typed, flags.from_argv);
  Parser filed;
  Parser both;
  std::vector<std::string> all = words;
  all.insert(all.end(), arguments.begin(), arguments.end());
  try {
    parse_or_refuse(filed, words);
    filed.require_nothing_twice();
  } catch (const Error& error) {
    refuse(fmt::format("--config {}: {}", typed.config(), error.what()));
  }
  parse_or_refuse(both, all);
  Flags merged = both.flags();
  merged.variant_set = overlay(filed.flags().variant_set, flags.variant_set);
  merged.task_set = overlay(filed.flags().task_set, flags.task_set);
  merged.model = overlay(filed.flags().model, flags.model);
  merged.train = overlay(filed.flags().train, flags.train);
  merged.from_argv = flags.from_argv;
  merged.from_config = filed.given();
  return merged;
}

}  // namespace lra::run
