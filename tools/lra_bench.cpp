// lra-bench: what a variant costs at each length, on Google Benchmark; --kernels for the mathematics alone, --step for
// one training step.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bench_kernels.h"
#include "core/error.h"
#include "core/options.h"
#include "core/parallel.h"
#include "core/text.h"
#include "plugin/registry.h"
#include "session/build_info.h"
#include "tools/bench/growth.h"
#include "tools/bench/remote.h"
#include "tools/bench/subject.h"
#include "tools/command_line.h"
#include "tools/program.h"
#include "tools/run/table.h"

namespace {

using namespace lra;

constexpr int64_t kMostLength = int64_t{1} << 24;

struct Flags {
  std::vector<std::string> variants{"all"};
  std::vector<std::string> lengths{"256..4096"};
  int64_t batch = 1, layers = 2, dim = 64, heads = 0, mlp = 0;
  int threads = 0, steps = 7, warmup = 2;
  bool causal = false, kernels = false, step = false, json = false;
  std::vector<std::string> set, plugin_path;
  std::vector<std::string> rest;  // --benchmark_*
};

// Cost of one variant, by length.
struct Costs {
  const Variant* variant;
  std::map<int64_t, double> mixer, saved, planned;      // seconds, bytes
  std::map<int64_t, std::vector<double>> step_seconds;  // of every step
};

// "512" or "512..16384", which doubles. Throws Error(kUsage).
std::vector<int64_t> parse_lengths(const std::vector<std::string>& texts) {
  std::vector<int64_t> out;
  for (const auto& text : texts) {
    const auto bad = [&] {
      throw Error(
          ErrorKind::kUsage,
          fmt::format("--lengths: '{}' is no length; write 1024, or 512..16384 for 512, 1024, ..., 16384", text));
    };
    const auto number = [&](const std::string& word) {
      int64_t value = 0;
      const char* const end = word.data() + word.size();
      const auto [stop, error] = std::from_chars(word.data(), end, value);
      if (error != std::errc() || stop != end || value < 1 || value > kMostLength) bad();
      return value;
    };
    const std::size_t dots = text.find("..");
    const int64_t first = number(text.substr(0, dots));
    const int64_t last = dots == std::string::npos ? first : number(text.substr(dots + 2));
    if (last < first) bad();
    for (int64_t n = first; n <= last; n *= 2) out.push_back(n);
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

bench::Setting setting_of(const Flags& flags, const Variant& variant, int64_t length) {
  bench::Setting out;
  out.library = variant.path;
  for (const auto& [key, value] : parse_settings(flags.set, "--set")) {
    const std::size_t dot = key.find('.');
    if (dot == std::string::npos || key.substr(0, dot) == variant.id)
      out.options[key.substr(dot == std::string::npos ? 0 : dot + 1)] = value;
  }
  out.length = length;
  out.batch = flags.batch;
  out.threads = flags.threads > 0 ? flags.threads : available_cores();
  out.model = {{"layers", flags.layers},
               {"dim", flags.dim},
               {"heads", flags.heads > 0 ? flags.heads : std::max<int64_t>(1, flags.dim / 32)},
               {"mlp", flags.mlp > 0 ? flags.mlp : 2 * flags.dim},
               {"causal", flags.causal}};
  return out;
}

void keep_least(std::map<int64_t, double>& values, int64_t length, double value) {
  const auto [at, added] = values.emplace(length, value);
  if (!added) at->second = std::min(at->second, value);
}

// The child that is measured now: kept for the passes and repetitions of one variant at one length.
struct Current {
  std::string key;
  std::unique_ptr<bench::RemoteSubject> subject;

  bench::RemoteSubject& of(const Variant& variant, const bench::Setting& setting) {
    const std::string wanted = fmt::format("{}/{}", variant.id, setting.length);
    if (key != wanted) {
      subject.reset();
      subject = std::make_unique<bench::RemoteSubject>(setting);
      key = wanted;
    }
    return *subject;
  }
};

enum class Which { kForward, kStep };

void run_benchmark(benchmark::State& state, Which which, const bench::Setting& setting, Costs& costs,
                   Current& current) {
  try {
    bench::RemoteSubject& subject = current.of(*costs.variant, setting);
    const auto pass = [&] { return which == Which::kForward ? subject.forward() : subject.step(); };
    const auto keep_mixer = [&](const bench::Pass& one) {
      if (which == Which::kStep)
        keep_least(costs.mixer, setting.length, one.cpu_seconds * one.mixer_seconds / one.seconds);
    };
    keep_mixer(pass());  // caches and pages are cold: the least of all steps is kept, and this is hardly it
    double least = 1e300, flops = 0;
    for ([[maybe_unused]] auto _ : state) {
      const bench::Pass one = pass();
      state.SetIterationTime(one.seconds);
      least = std::min(least, one.seconds);
      flops = one.flops;
      keep_mixer(one);
      if (which == Which::kStep) costs.step_seconds[setting.length].push_back(one.seconds);
    }
    const Json facts = subject.facts();
    costs.planned[setting.length] = facts.at("planned_bytes").get<double>();
    costs.saved[setting.length] = facts.at("saved_per_sequence").get<double>();
    state.counters["tokens/s"] = static_cast<double>(setting.length * setting.batch) / least;
    state.counters["GFLOP/s"] = flops / least * 1e-9;
    state.counters["of_peak"] = flops / least * 1e-9 / facts.at("peak_gflops").get<double>();
    state.counters["planned"] = facts.at("planned_bytes").get<double>();
    state.counters["VmHWM"] = facts.at("peak_rss_bytes").get<double>();
  } catch (const Error& error) {
    current.key.clear();
    current.subject.reset();
    state.SkipWithError(error.what());
  }
}

std::vector<const Variant*> chosen(const Flags& flags, const PluginRegistry& registry) {
  std::vector<const Variant*> out;
  for (const auto& id : flags.variants) {
    if (id != "all") {
      out.push_back(&registry.find(id));
      continue;
    }
    for (const auto& variant : registry.variants()) {
      if (flags.causal ? variant.causal : variant.bidirectional) out.push_back(&variant);
    }
  }
  return out;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : 0.5 * (values[half - 1] + values[half]);
}

// The growth of each variant beside the declared one.
std::string growth_text(const std::vector<std::unique_ptr<Costs>>& all) {
  const auto points = [](const std::map<int64_t, double>& values) {
    std::vector<std::pair<double, double>> out;
    for (const auto& [length, value] : values) {
      if (value > 0) out.emplace_back(static_cast<double>(length), value);
    }
    return out;
  };
  std::string out;
  for (const auto& costs : all) {
    const Variant& v = *costs->variant;
    if (costs->step_seconds.size() < 3) continue;
    out += fmt::format("{}\n  CPU time of the mixers ~ N^{}\n  bytes kept by a sequence ~ N^{}\n", v.id,
                       bench::judge_exponent(points(costs->mixer), v.time_exponent, v.time),
                       bench::judge_exponent(points(costs->saved), v.memory_exponent, v.memory));
  }
  return out;
}

// Training steps a second, how many times as many as softmax does, and planned memory, as in table 2 of the Long Range
// Arena paper; nothing for a single variant.
std::string table_text(const Flags& flags, const std::vector<int64_t>& lengths,
                       const std::vector<std::unique_ptr<Costs>>& all) {
  const auto rate = [](const Costs& costs, int64_t length) {
    const auto at = costs.step_seconds.find(length);
    return at == costs.step_seconds.end() ? 0 : 1 / median(at->second);
  };
  if (all.size() < 2) return "";
  const auto reference =
      std::find_if(all.begin(), all.end(), [](const auto& costs) { return costs->variant->id == "softmax"; });
  const auto measured =
      std::count_if(all.begin(), all.end(), [](const auto& costs) { return !costs->step_seconds.empty(); });
  if (measured < 2) return "";
  std::vector<std::string> header{"variant"};
  for (const char* what : {"steps/s", "planned"}) {
    for (const int64_t length : lengths)
      header.push_back(
          fmt::format("{} {}", what, length % 1024 == 0 ? fmt::format("{}K", length / 1024) : std::to_string(length)));
  }
  run::Table table(header);
  for (const auto& costs : all) {
    std::vector<std::string> row{costs->variant->id};
    for (const int64_t length : lengths) {
      const double mine = rate(*costs, length), its = reference == all.end() ? 0 : rate(**reference, length);
      row.push_back(mine <= 0                                     ? "-"
                    : its <= 0 || reference->get() == costs.get() ? fmt::format("{:.3g}", mine)
                                                                  : fmt::format("{:.3g} ({:.1f}x)", mine, mine / its));
    }
    for (const int64_t length : lengths) {
      const auto at = costs->planned.find(length);
      row.push_back(at == costs->planned.end() ? "-" : human_bytes(at->second));
    }
    table.row(row);
  }
  return fmt::format("Training steps of {} sequence{}: median steps/s{}; memory planned for them\n{}", flags.batch,
                     flags.batch == 1 ? "" : "s",
                     reference == all.end() ? "" : " (times those of softmax at the same length)", table.text("  "));
}

int run_benchmarks(const Flags& flags, const char* program) {
  std::vector<std::string> words{program};
  words.insert(words.end(), flags.rest.begin(), flags.rest.end());
  std::vector<char*> arguments;
  arguments.reserve(words.size());
  for (auto& word : words) arguments.push_back(word.data());
  int count = static_cast<int>(arguments.size());
  benchmark::Initialize(&count, arguments.data());
  if (count > 1)
    throw Error(ErrorKind::kUsage, fmt::format("no flag is called '{}'; lra-bench --help shows all", arguments[1]));

  if (flags.kernels) {
    register_kernel_benchmarks();
    benchmark::RunSpecifiedBenchmarks();
    return 0;
  }
  const PluginRegistry registry(plugin_search_path(flags.plugin_path));
  const std::vector<int64_t> lengths = parse_lengths(flags.lengths);
  std::vector<std::unique_ptr<Costs>> all;
  Current current;
  for (const Variant* variant : chosen(flags, registry)) {
    all.push_back(std::make_unique<Costs>());
    Costs& costs = *all.back();
    costs.variant = variant;
    for (const int64_t length : lengths) {
      const bench::Setting setting = setting_of(flags, *variant, length);
      // A wrong --set is refused before anything runs.
      [[maybe_unused]] const Options checked(variant->id, variant->options, setting.options);
      for (const Which which : {Which::kForward, Which::kStep}) {
        const std::string name =
            fmt::format("{}/{}/{}", variant->id, which == Which::kForward ? "forward" : "step", length);
        benchmark::RegisterBenchmark(
            name.c_str(),
            [=, &costs, &current](benchmark::State& state) { run_benchmark(state, which, setting, costs, current); })
            ->UseManualTime()
            ->Unit(benchmark::kMillisecond);
      }
    }
  }
  benchmark::RunSpecifiedBenchmarks();
  // Another format of Google Benchmark has standard output for itself.
  const bool alone = std::any_of(flags.rest.begin(), flags.rest.end(),
                                 [](const std::string& word) { return word.rfind("--benchmark_format=", 0) == 0; });
  const std::string table = table_text(flags, lengths, all);
  std::fputs((table + (table.empty() ? "" : "\n") + growth_text(all)).c_str(), alone ? stderr : stdout);
  return 0;
}

// Training steps one after the other in this process, as an outside program would time them.
int time_steps(const Flags& flags) {
  const PluginRegistry registry(plugin_search_path(flags.plugin_path));
  const std::vector<int64_t> lengths = parse_lengths(flags.lengths);
  for (const Variant* variant : chosen(flags, registry)) {
    for (const int64_t length : lengths) {
      const bench::Setting setting = setting_of(flags, *variant, length);
      bench::RemoteSubject subject(setting);
      for (int i = 0; i < flags.warmup; ++i) subject.step();
      std::vector<double> seconds;
      double flops = 0, mixer = 0;
      for (int i = 0; i < flags.steps; ++i) {
        const bench::Pass pass = subject.step();
        seconds.push_back(pass.seconds);
        flops = pass.flops;
        mixer += pass.mixer_seconds / pass.seconds / flags.steps;
      }
      const double middle = median(seconds), least = *std::min_element(seconds.begin(), seconds.end());
      Json out = subject.facts();
      out["steps"] = flags.steps;
      out["step_s_median"] = middle;
      out["step_s_min"] = least;
      out["steps_per_s"] = 1 / middle;
      out["tokens_per_s"] = static_cast<double>(setting.length * setting.batch) / middle;
      out["mixer_share"] = mixer;
      out["gflops"] = flops / middle * 1e-9;
      out["share_of_peak"] = flops / middle * 1e-9 / out.at("peak_gflops").get<double>();
      out["peak_rss_mb"] = out.at("peak_rss_bytes").get<double>() / (1 << 20);
      if (flags.json) {
        std::printf("%s\n", out.dump().c_str());
      } else {
        std::printf("%-12s N %6lld  step %.4f s (best %.4f)  %.0f tokens/s  %.1f GFLOP/s (%.1f %% of peak)  %.1f MB\n",
                    variant->id.c_str(), static_cast<long long>(length), middle, least,
                    out["tokens_per_s"].get<double>(), out["gflops"].get<double>(),
                    100 * out["share_of_peak"].get<double>(), out["peak_rss_mb"].get<double>());
      }
      std::fflush(stdout);
    }
  }
  return 0;
}

constexpr const char* kFooter = R"(
All flags of Google Benchmark work too: --benchmark_filter=REGEX, --benchmark_min_time=SECONDS, --benchmark_repetitions=N,
--benchmark_format=json, --benchmark_out=FILE. Each variant runs in a process of its own at each length.

Examples:
  lra-bench --variant softmax,linear --lengths 512..16384
      Time, tokens/s, share of the machine's peak and memory; then the growth with N beside the declared one.
  lra-bench --variant all --batch 32 --lengths 1024,2048,3072,4096 --benchmark_filter=step
      Steps/s, speed-up over softmax and memory: table 2 of the Long Range Arena paper on this machine.
  lra-bench --step --variant softmax --lengths 1024 --batch 32 --json
      The median training step, to be compared with another program's.)";

int answer(int argc, char** argv) {
  Flags flags;
  CLI::App app("Measures what attention variants cost against length.", "lra-bench");
  app.footer(kFooter);
  app.set_help_flag("-h,--help", "Print this help and end");
  app.set_version_flag("--version", fmt::format("lra-bench {}", session::kVersion), "Print the version and end");
  const std::string what = "What to measure";
  app.add_option("--variant", flags.variants, "Variants, or all")
      ->delimiter(',')
      ->type_name("A,B|all")
      ->allow_extra_args(false)
      ->group(what);
  app.add_option("--lengths", flags.lengths, "Tokens of a sequence; 512..16384 doubles [256..4096]")
      ->delimiter(',')
      ->type_name("N,N..M")
      ->allow_extra_args(false)
      ->group(what);
  app.add_flag("--kernels", flags.kernels, "The kernels of the math room instead")->group(what);
  app.add_flag("--step", flags.step, "Training steps only, plainly timed")->group(what);
  const std::string model = "Model";
  for (const auto& [name, value, help] : std::initializer_list<std::tuple<const char*, int64_t*, const char*>>{
           {"--batch", &flags.batch, "Sequences of a pass"},
           {"--layers", &flags.layers, "Encoder layers"},
           {"--dim", &flags.dim, "Model width"},
           {"--heads", &flags.heads, "Attention heads [dim / 32]"},
           {"--mlp", &flags.mlp, "Width inside the feed-forward layers [2 dim]"}}) {
    auto* option = app.add_option(name, *value, help)
                       ->type_name("N")
                       ->check(CLI::Range(int64_t{1}, int64_t{1} << 24).description(""))
                       ->group(model);
    if (*value > 0) option->capture_default_str();
  }
  app.add_flag("--causal", flags.causal, "Rows see only rows before them and themselves")->group(model);
  app.add_option("--set", flags.set, "Option of the variant; performer.features=64 where several run")
      ->type_name("K=V")
      ->allow_extra_args(false)
      ->group(model);
  const std::string how = "How";
  app.add_option("--threads", flags.threads, "Cores [all]")
      ->type_name("N")
      ->check(CLI::Range(1, 1024).description(""))
      ->group(how);
  app.add_option("--steps", flags.steps, "Timed steps (--step)")
      ->type_name("N")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 24).description(""))
      ->capture_default_str()
      ->group(how);
  app.add_option("--warmup", flags.warmup, "Steps before them (--step)")
      ->type_name("N")
      ->check(CLI::Range(0, 1 << 20).description(""))
      ->capture_default_str()
      ->group(how);
  app.add_flag("--json", flags.json, "One JSON object a line (--step)")->group(how);
  app.add_option("--plugin-path", flags.plugin_path, "More folders or libraries with variants")
      ->type_name("PATH")
      ->allow_extra_args(false)
      ->group(how);
  if (!take_words(app, argc, argv, "--benchmark_")) return 0;
  flags.rest = app.remaining();
  return flags.step ? time_steps(flags) : run_benchmarks(flags, argv[0]);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::string(argv[1]) == lra::bench::kSubjectFlag) return lra::bench::subject_main();
  return run_program("lra-bench", [&] { return answer(argc, argv); });
}
