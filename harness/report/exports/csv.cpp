// One line per record with everything that is a number: shares of 1, bytes, seconds. An empty field is unknown.
#include <fmt/format.h>

#include "core/text.h"
#include "report/export.h"
#include "report/quote.h"

namespace lra::report {
namespace {

struct Figure {
  const char* name;
  std::vector<const char*> keys;
};

std::vector<OutputFile> make_csv(const Collection& collection, const std::vector<Group>&) {
  const std::vector<Figure> figures{
      {"test", {"quality", "test"}},
      {"test_last_weights", {"quality", "test_last_weights"}},
      {"test_loss", {"quality", "test_loss"}},
      {"test_examples", {"quality", "test_examples"}},
      {"validation_best", {"quality", "validation_best"}},
      {"best_step", {"quality", "best_step"}},
      {"train_at_end", {"quality", "train_at_end"}},
      {"chance", {"quality", "chance"}},
      {"majority", {"quality", "majority"}},
      {"steps_per_s", {"speed", "train_steps_per_s", "median"}},
      {"tokens_per_s", {"speed", "train_tokens_per_s", "median"}},
      {"examples_per_s", {"speed", "train_examples_per_s", "median"}},
      {"eval_examples_per_s", {"speed", "eval_examples_per_s"}},
      {"threads", {"speed", "threads"}},
      {"mixer_share", {"speed", "mixer_share"}},
      {"gflops", {"speed", "gflops"}},
      {"peak_gflops", {"speed", "peak_gflops"}},
      {"share_of_peak", {"speed", "share_of_peak"}},
      {"train_s", {"speed", "phases", "train_s"}},
      {"total_s", {"speed", "phases", "total_s"}},
      {"parameters", {"model", "parameters"}},
      {"mixer_parameters", {"model", "mixer_parameters"}},
      {"mean_tokens", {"model", "mean_tokens"}},
      {"flops_per_step", {"model", "flops_per_step"}},
      {"planned_bytes", {"memory", "planned", "total"}},
      {"saved_per_sequence_bytes", {"memory", "saved_per_sequence"}},
      {"arena_high_water_bytes", {"memory", "arena_high_water"}},
      {"peak_rss_bytes", {"memory", "peak_rss"}},
  };
  std::vector<std::string> fields{"task",
                                  "variant",
                                  "preset",
                                  "preset_version",
                                  "seed",
                                  "status",
                                  "spec_hash",
                                  "started",
                                  "metric",
                                  "test_ci95_low",
                                  "test_ci95_high",
                                  "strongest_baseline",
                                  "strongest_baseline_quality"};
  for (const auto& figure : figures) fields.emplace_back(figure.name);
  fields.insert(fields.end(), {"error", "path"});
  std::string out = join(fields, ",") + "\r\n";
  const auto number = [](const std::optional<double>& value) {
    return value ? fmt::format("{}", *value) : std::string();
  };
  for (const RunRecord& r : collection.records) {
    fields = {csv_field(r.task),
              csv_field(r.variant),
              csv_field(r.preset),
              std::to_string(r.preset_version),
              std::to_string(r.seed),
              r.status,
              r.spec_hash,
              csv_field(r.started),
              csv_field(r.metric),
              number(r.quality_low),
              number(r.quality_high),
              csv_field(r.baseline),
              number(r.baseline_quality)};
    for (const auto& figure : figures) fields.push_back(number(r.number(figure.keys)));
    fields.push_back(csv_field(r.error));
    fields.push_back(csv_field(r.path));
    out += join(fields, ",") + "\r\n";
  }
  return {{"records.csv", out}};
}

}  // namespace

extern const Export export_csv{"csv", "one line per record with all its numbers", false, make_csv};

}  // namespace lra::report
