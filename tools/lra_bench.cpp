// lra-bench: what a variant costs at each length, on Google Benchmark; --kernels for the mathematics alone, --step for
// one training step.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
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

namespace {

using namespace lra;

struct Flags {
  std::vector<std::string> variants{"all"};
  std::vector<int64_t> lengths{256, 512, 1024, 2048, 4096};
  int64_t batch = 1, layers = 2, dim = 64, heads = 0, mlp = 0;
  int threads = 0, steps = 7, warmup = 2;
  bool causal = false, kernels = false, step = false, json = false;
  std::vector<std::string> set, plugin_path;
  std::vector<std::string> rest;  // --benchmark_*
};

// Cost of one variant, by length.
struct Costs {
  const Variant* variant;
  std::map<int64_t, double> forward, step, mixer, saved;  // seconds, bytes
};

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
    pass();  // caches and pages are cold
    double least = 1e300, flops = 0;
    for ([[maybe_unused]] auto _ : state) {
      const bench::Pass one = pass();
      state.SetIterationTime(one.seconds);
      least = std::min(least, one.seconds);
      flops = one.flops;
      if (which == Which::kStep) keep_least(costs.mixer, setting.length, one.mixer_seconds);
    }
    const Json facts = subject.facts();
    keep_least(which == Which::kForward ? costs.forward : costs.step, setting.length, least);
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

// One line on stderr per variant, so that --benchmark_format=json stays JSON.
void judge(const std::vector<std::unique_ptr<Costs>>& all) {
  const auto points = [](const std::map<int64_t, double>& values) {
    std::vector<std::pair<double, double>> out;
    for (const auto& [length, value] : values) {
      if (value > 0) out.emplace_back(static_cast<double>(length), value);
    }
    return out;
  };
  for (const auto& costs : all) {
    const Variant& v = *costs->variant;
    if (costs->step.size() < 3) continue;
    std::fprintf(stderr, "%s\n  time of the mixers ~ N^%s\n  bytes kept by a sequence ~ N^%s\n", v.id.c_str(),
                 bench::judge_exponent(points(costs->mixer), v.time_exponent, v.time).c_str(),
                 bench::judge_exponent(points(costs->saved), v.memory_exponent, v.memory).c_str());
  }
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
  std::vector<std::unique_ptr<Costs>> all;
  Current current;
  for (const Variant* variant : chosen(flags, registry)) {
    all.push_back(std::make_unique<Costs>());
    Costs& costs = *all.back();
    costs.variant = variant;
    for (const int64_t length : flags.lengths) {
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
  judge(all);
  return 0;
}

// Training steps one after the other in this process, as an outside program would time them.
int time_steps(const Flags& flags) {
  const PluginRegistry registry(plugin_search_path(flags.plugin_path));
  for (const Variant* variant : chosen(flags, registry)) {
    for (const int64_t length : flags.lengths) {
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
      std::sort(seconds.begin(), seconds.end());
      const std::size_t half = seconds.size() / 2;
      const double median = seconds.size() % 2 == 1 ? seconds[half] : 0.5 * (seconds[half - 1] + seconds[half]);
      Json out = subject.facts();
      out["steps"] = flags.steps;
      out["step_s_median"] = median;
      out["step_s_min"] = seconds.front();
      out["steps_per_s"] = 1 / median;
      out["tokens_per_s"] = static_cast<double>(setting.length * setting.batch) / median;
      out["mixer_share"] = mixer;
      out["gflops"] = flops / median * 1e-9;
      out["share_of_peak"] = flops / median * 1e-9 / out.at("peak_gflops").get<double>();
      out["peak_rss_mb"] = out.at("peak_rss_bytes").get<double>() / (1 << 20);
      if (flags.json) {
        std::printf("%s\n", out.dump().c_str());
      } else {
        std::printf("%-12s N %6lld  step %.4f s (best %.4f)  %.0f tokens/s  %.1f GFLOP/s (%.1f %% of peak)  %.1f MB\n",
                    variant->id.c_str(), static_cast<long long>(length), median, seconds.front(),
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
  lra-bench --variant softmax,linear --lengths 1024,2048,4096,8192
      Time, tokens/s, share of the machine's peak and memory; then the growth with N beside the declared one.
  lra-bench --step --variant softmax --lengths 1024 --batch 32 --json
      The median training step, to be compared with another program's.)";

int run_program(int argc, char** argv) {
  Flags flags;
  CLI::App app("Measures what attention variants cost against length.", "lra-bench");
  app.footer(kFooter);
  app.set_help_flag("-h,--help", "Print this help and end");
  app.set_version_flag("--version", fmt::format("lra-bench {}", session::kVersion), "Print the version and end");
  app.allow_extras();
  const std::string what = "What to measure";
  app.add_option("--variant", flags.variants, "Variants, or all")
      ->delimiter(',')
      ->type_name("A,B|all")
      ->allow_extra_args(false)
      ->group(what);
  app.add_option("--lengths", flags.lengths, "Tokens of a sequence")
      ->delimiter(',')
      ->type_name("N,M")
      ->allow_extra_args(false)
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 24).description(""))
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
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& asked) {
    app.exit(asked);
    return 0;
  } catch (const CLI::ParseError& error) {
    throw Error(ErrorKind::kUsage, fmt::format("{} (lra-bench --help shows all flags)", error.what()));
  }
  flags.rest = app.remaining();
  for (const auto& word : flags.rest) {
    if (word.rfind("--benchmark_", 0) != 0) {
      throw Error(ErrorKind::kUsage, fmt::format("no flag is called '{}' (lra-bench --help shows all flags)", word));
    }
  }
  return flags.step ? time_steps(flags) : run_benchmarks(flags, argv[0]);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::string(argv[1]) == lra::bench::kSubjectFlag) return lra::bench::subject_main();
  try {
    return run_program(argc, argv);
  } catch (const Error& error) {
    std::fprintf(stderr, "lra-bench: %s\n", error.what());
    return error.exit_code();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "lra-bench: %s\n", error.what());
    return static_cast<int>(ErrorKind::kIo);
  }
}
