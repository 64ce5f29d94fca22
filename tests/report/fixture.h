// Records made up for tests: valid, small, with what a test changes.
#ifndef LRA_TESTS_REPORT_FIXTURE_H
#define LRA_TESTS_REPORT_FIXTURE_H

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <vector>

#include "core/file.h"
#include "core/json.h"
#include "report/run_record.h"

namespace lra::report_test {

struct Made {
  std::string variant = "softmax", task = "listops", status = "ok";
  uint64_t seed = 0;
  double accuracy = 0.5, steps_per_s = 10;
  std::string preset = "small";
  int features = 64;  // an option of the variant
  int threads = 2;
};

inline bool has_result(const std::string& status) { return status == "ok" || status == "at_chance"; }

inline Json made_record(const Made& made) {
  Json spec = {{"variant", made.variant},
               {"task", made.task},
               {"preset", made.preset},
               {"preset_version", 1},
               {"seed", made.seed},
               {"variant_options", {{"features", made.features}}},
               {"task_options", {{"max_length", 64}}},
               {"model", {{"layers", 2}, {"dim", 64}}},
               {"train", {{"steps", 100}, {"batch", 32}}}};
  Json plain = spec;
  plain.erase("seed");
  const std::string text = plain.dump();
  const auto rate = [](double median) {
    return Json{{"median", median}, {"iqr", {median * 0.9, median * 1.1}}, {"n", 97}};
  };
  Json record = {{"schema", "lra.record/1"},
                 {"status", made.status},
                 {"error", nullptr},
                 {"variant", made.variant},
                 {"task", made.task},
                 {"preset", made.preset},
                 {"seed", made.seed},
                 {"spec_hash", fmt::format("{:016x}", hash64(text.data(), text.size()))},
                 {"spec", spec},
                 {"environment",
                  {{"cpu", "Test CPU"},
                   {"isa", "x86-64-v3 (AVX2)"},
                   {"cores_available", 4},
                   {"cores_used", made.threads},
                   {"memory_bytes", 1 << 30},
                   {"kernel", "Linux 6"},
                   {"compiler", "GNU 12.2.0"},
                   {"flags", "-O3"},
                   {"build_type", "Release"},
                   {"real", "float"},
                   {"sanitizer", ""},
                   {"versions", {{"lra", "0.1.0"}}},
                   {"commit", nullptr},
                   {"dirty", nullptr},
                   {"load_at_start", 0.5},
                   {"started", "2026-11-02T10:11:12Z"},
                   {"variant_build", "Release GNU 12.2.0"}}},
                 {"model",
                  {{"parameters", 68226},
                   {"mixer_parameters", 33280},
                   {"mean_tokens", 144.0},
                   {"flops_per_token_forward", 198657.5},
                   {"flops_per_step", 2746245120.0},
                   {"mixer_pairs_per_sequence", 0.0}}},
                 {"data", {{"source", "made up"}}},
                 {"memory",
                  {{"planned", {{"saved", 1335552}, {"total", 2097152}}},
                   {"saved_per_sequence", 667776},
                   {"arena_high_water", 1048576},
                   {"peak_rss", 77185024}}},
                 {"quality", nullptr},
                 {"speed", nullptr}};
  if (has_result(made.status)) {
    record["quality"] = {{"metric", "accuracy"},
                         {"test", made.accuracy},
                         {"test_ci95", {made.accuracy - 0.02, made.accuracy + 0.02}},
                         {"test_loss", 0.7},
                         {"test_examples", 2000},
                         {"test_last_weights", made.accuracy},
                         {"validation_best", made.accuracy},
                         {"best_step", 75},
                         {"train_at_end", made.accuracy},
                         {"chance", 0.1},
                         {"majority", 0.12},
                         {"baselines", {{"majority", 0.12}, {"root operator", 0.36}}}};
    record["speed"] = {{"threads", made.threads},
                       {"train_steps_per_s", rate(made.steps_per_s)},
                       {"train_tokens_per_s", rate(made.steps_per_s * 144 * 32)},
                       {"train_examples_per_s", rate(made.steps_per_s * 32)},
                       {"eval_examples_per_s", 900.0},
                       {"mixer_share", 0.5},
                       {"gflops", 30.0},
                       {"peak_gflops", 120.0},
                       {"share_of_peak", 0.25},
                       {"resumed", 0},
                       {"phases", {{"data_s", 0.1}, {"train_s", 10.0}, {"evaluation_s", 1.0}, {"total_s", 11.5}}}};
  } else {
    record["error"] = {{"where", "training"}, {"code", made.status}, {"message", "loss is nan at step 7"}};
  }
  record["curve"] = Json::array();
  for (int step = 0; step <= 100; step += 50) {
    record["curve"].push_back({{"step", step},
                               {"seconds", 0.1 * step},
                               {"train_loss", step == 0 ? Json(nullptr) : Json(1.0 / step)},
                               {"validation_loss", 0.9},
                               {"validation_quality", made.accuracy * step / 100},
                               {"lr", 0.001},
                               {"grad_norm", 1.5}});
  }
  record["hashes"] = {{"data", "d0"}, {"plugin", "p0"}};
  return record;
}

inline report::RunRecord made_run(const Made& made) {
  return {fmt::format("runs/{}-s{}.json", made.seed, made.seed), made_record(made)};
}

// A name with everything that some format would obey.
inline std::string odd_name() {
  return "q\"uo'te</script><b>x</b> %_&#$~^{}\\|`*[a](b) \xF0\x9F\xA6\x8A \xC3\xA9\n=1+1;\x1B[31m\xE2\x80\xAE";
}
inline std::string long_name() { return std::string(299, 'n') + "!"; }

// The fixed records that golden files show: three seeds, one seed, ties, a mixed group, one at chance, one that
// diverged, two configurations of one variant, odd names.
inline std::vector<report::RunRecord> golden_runs() {
  std::vector<report::RunRecord> out;
  for (const uint64_t seed : {0, 1, 2}) {
    const double drift = 0.004 * static_cast<double>(seed);
    out.push_back(made_run({.variant = "softmax", .task = "listops", .seed = seed, .accuracy = 0.55 + drift}));
    out.push_back(
        made_run({.variant = "softmax", .task = "image", .seed = seed, .accuracy = 0.8 + drift, .steps_per_s = 4}));
    out.push_back(made_run({.variant = "linear",
                            .task = "listops",
                            .status = seed == 2 ? "at_chance" : "ok",
                            .seed = seed,
                            .accuracy = seed == 2 ? 0.11 : 0.56,
                            .steps_per_s = 20}));
    out.push_back(
        made_run({.variant = "linear", .task = "image", .seed = seed, .accuracy = 0.7 + drift, .steps_per_s = 8}));
    out.push_back(made_run({.variant = "identity",
                            .task = "listops",
                            .status = "at_chance",
                            .seed = seed,
                            .accuracy = 0.1,
                            .steps_per_s = 40}));
  }
  out.push_back(
      made_run({.variant = "performer", .task = "listops", .accuracy = 0.53, .steps_per_s = 15, .features = 64}));
  out.push_back(
      made_run({.variant = "performer", .task = "listops", .accuracy = 0.45, .steps_per_s = 12, .features = 128}));
  out.push_back(made_run({.variant = "performer", .task = "image", .status = "diverged", .features = 64}));
  out.push_back(made_run({.variant = odd_name(), .task = "image", .accuracy = 0.6, .steps_per_s = 5, .threads = 1}));
  out.push_back(made_run({.variant = long_name(), .task = "image", .accuracy = 0.5, .steps_per_s = 3}));
  return out;
}

}  // namespace lra::report_test

#endif  // LRA_TESTS_REPORT_FIXTURE_H
