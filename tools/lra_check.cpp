// lra-check: is this plugin a variant? Runs every check of harness/check on libraries, each in a process of its own.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <string>
#include <vector>

#include "check/checks.h"
#include "check/module.h"
#include "core/error.h"
#include "core/file.h"
#include "plugin/registry.h"
#include "session/build_info.h"
#include "tools/check/child.h"
#include "tools/check/plugins.h"
#include "tools/check/show.h"
#include "tools/command_line.h"
#include "tools/program.h"

namespace {

using namespace lra;

struct Flags {
  std::vector<std::string> plugins, variants, checks, plugin_path;
  std::string dump, compare;
  double timeout = 120;
  bool all = false, list = false, json = false, quiet = false, verbose = false;
};

constexpr const char* kFooter = R"(
Examples:
  lra-check --all
      Every check on every variant that can be found.
  lra-check build/my_variant.so --checks gradients,guards
      Two checks on a library of your own.
  f64/bin/lra-check --all --dump outputs.json && release/bin/lra-check --all --checks precision --compare outputs.json
      Whether the float build computes what the double build computes.

docs/checks.md says what each check allows. Exit codes: 0 all conform, 2 usage, 6 a plugin does not conform, 7 I/O.)";

void declare(CLI::App& app, Flags& flags) {
  const std::string what = "What to check";
  app.add_option("PLUGIN", flags.plugins, "Libraries of variants")->type_name("FILE.so")->group(what);
  app.add_flag("--all", flags.all, "Every variant that can be found")->group(what);
  app.add_option("--variant", flags.variants, "Variants by name")
      ->delimiter(',')
      ->type_name("A,B")
      ->allow_extra_args(false)
      ->group(what);
  app.add_option("--plugin-path", flags.plugin_path, "More folders or libraries with variants")
      ->type_name("PATH")
      ->allow_extra_args(false)
      ->group(what);
  const std::string how = "How";
  app.add_option("--checks", flags.checks, "These checks only")
      ->delimiter(',')
      ->type_name("ID,ID")
      ->allow_extra_args(false)
      ->group(how);
  app.add_option("--timeout", flags.timeout, "Seconds of one check")
      ->type_name("S")
      ->check(CLI::PositiveNumber.description(""))
      ->capture_default_str()
      ->group(how);
  app.add_option("--compare", flags.compare, "Outputs of a double build, for the check precision")
      ->type_name("FILE")
      ->group(how);
  const std::string output = "Output";
  app.add_flag("--list", flags.list, "The checks; runs nothing")->group(output);
  app.add_option("--dump", flags.dump, "Write the outputs of the variants for --compare; checks nothing")
      ->type_name("FILE")
      ->group(output);
  app.add_flag("--json", flags.json, "The result as JSON")->group(output);
  app.add_flag("-v,--verbose", flags.verbose, "A line for each check, not only for those that fail")->group(output);
  app.add_flag("-q,--quiet", flags.quiet, "No progress on stderr")->group(output);
}

std::vector<check::Plugin> chosen(const Flags& flags) {
  std::vector<check::Plugin> out;
  for (const auto& path : flags.plugins) out.push_back(check::plugin_at(path));
  if (!flags.variants.empty() || flags.all) {
    const auto known = check::find_plugins(plugin_search_path(flags.plugin_path));
    for (const auto& name : flags.variants) out.push_back(check::plugin_called(name, known));
    if (flags.all) out.insert(out.end(), known.begin(), known.end());
  }
  if (out.empty()) {
    throw Error(ErrorKind::kUsage, flags.all ? "no variant was found; name a folder with --plugin-path"
                                             : "nothing to check; name a library, --variant A,B or --all");
  }
  return out;
}

int dump_outputs(const Flags& flags, const std::vector<check::Plugin>& plugins) {
  Json variants = Json::object();
  check::Progress progress(flags.quiet);
  for (const auto& plugin : plugins) {
    progress.show(plugin.name);
    const Json one = check::collect_outputs(plugin.path, flags.timeout);
    variants[one.at("id").get<std::string>()] = one.at("outputs");
  }
  const Json all = {{"schema", "lra.outputs/1"}, {"real_bytes", sizeof(Real)}, {"variants", variants}};
  write_file_atomically(flags.dump, all.dump() + "\n");
  return 0;
}

int answer(int argc, char** argv) {
  Flags flags;
  CLI::App app("Checks whether libraries are attention variants that can be trusted.", "lra-check");
  app.footer(kFooter);
  app.set_help_flag("-h,--help", "Print this help and end");
  app.set_version_flag("--version", fmt::format("lra-check {}", session::kVersion), "Print the version and end");
  declare(app, flags);
  if (!take_words(app, argc, argv)) return 0;
  if (flags.list) {
    print(flags.json ? json_text(check::list_json()) : check::list_text());
    return 0;
  }
  check::Job job{.reference = flags.compare, .timeout = flags.timeout};
  for (const auto& id : flags.checks) job.checks.emplace_back(check::find_check(id).id);
  if (flags.checks.empty()) {
    for (const auto& one : check::checks()) job.checks.emplace_back(one.id);
  }
  if (!flags.compare.empty() && read_json(flags.compare).value("schema", "") != "lra.outputs/1")
    throw Error(ErrorKind::kData, fmt::format("{} is not a file that --dump wrote", flags.compare));
  const auto plugins = chosen(flags);
  if (!flags.dump.empty()) return dump_outputs(flags, plugins);

  const bool all_lines = flags.verbose || plugins.size() == 1;
  std::size_t conforming = 0;
  Json results = Json::array();
  for (std::size_t i = 0; i < plugins.size(); ++i) {
    job.library = plugins[i].path;
    check::Progress progress(flags.quiet);
    const check::Outcome outcome = check::run_checks(job, [&](const std::string& id) {
      progress.show(fmt::format("{} ({} of {}): {}", plugins[i].name, i + 1, plugins.size(), id));
    });
    progress.clear();
    conforming += outcome.conforms() ? 1 : 0;
    if (flags.json) {
      results.push_back(check::outcome_json(plugins[i], outcome));
    } else {
      print(check::outcome_text(plugins[i], outcome, all_lines ? check::Detail::kAll : check::Detail::kFailures));
    }
  }
  if (flags.json) {
    print(json_text({{"schema", "lra.check/1"}, {"real_bytes", sizeof(Real)}, {"plugins", results}}));
  } else if (plugins.size() > 1) {
    print(fmt::format("{} of {} plugins conform\n", conforming, plugins.size()));
  }
  return conforming == plugins.size() ? 0 : static_cast<int>(ErrorKind::kPlugin);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::string(argv[1]) == lra::check::kChildFlag) return lra::check::child_main();
  return lra::run_program("lra-check", [&] { return answer(argc, argv); });
}
