// What the user typed: argv and --config FILE in one structure, and which of the two said what.
#ifndef LRA_TOOLS_RUN_FLAGS_H
#define LRA_TOOLS_RUN_FLAGS_H

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace lra::run {

using Settings = std::map<std::string, std::string>;  // name -> value as typed

struct Flags {
  std::vector<std::string> variants, tasks;  // ids, or "all"
  std::string preset = "small";
  std::vector<uint64_t> seeds{0};
  Settings variant_set, task_set, model, train;
  std::string length;  // "": as the preset says

  int threads = 0;           // 0: the cores this process may use
  int jobs = 1;              // cells at the same time
  int64_t memory_limit = 0;  // bytes; 0: none
  double timeout = 0;        // seconds of one cell; 0: none
  double checkpoint_seconds = 30;
  std::string out = "results/runs";
  std::string cache;    // "": the default folder
  std::string presets;  // file; "": the built-in ones
  std::vector<std::string> plugin_path;
  bool resume = false;
  std::string init_from;  // checkpoint whose weights a run starts from

  bool status = false, dry_run = false, print_config = false;
  std::optional<std::string> list;  // "all", "variants", "tasks" or "presets"
  std::string describe;
  bool json = false, quiet = false, verbose = false;

  // Names of what was typed ("threads", "model.layers", "set.features"), by its source.
  std::set<std::string> from_argv, from_config;
  // "flag", "config" or "".
  std::string source(const std::string& name) const;
};

// Throws Error(kUsage) in one line. For --help and --version: returns nothing and fills `answer` with the text to
// print.
std::optional<Flags> parse_flags(const std::vector<std::string>& arguments, std::string& answer);

// "8G", "512M", "1.5GiB", "1000": bytes. "30m", "1h", "90s", "90": seconds. "0,2,5..7": seeds. Throw Error(kUsage)
// naming `flag`.
int64_t parse_bytes(const std::string& text, const std::string& flag);
double parse_duration(const std::string& text, const std::string& flag);
std::vector<uint64_t> parse_seeds(const std::string& text, const std::string& flag);

}  // namespace lra::run

#endif  // LRA_TOOLS_RUN_FLAGS_H
