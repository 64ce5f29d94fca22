// Walks paths, reads what is a record or a benchmark, and says what could not be used.
#include "report/run_record.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <map>
#include <tuple>

#include "core/error.h"
#include "core/file.h"
#include "core/text.h"
#include "record/record.h"
#include "record/schema.h"

namespace lra::report {
namespace {

const Json kNull;

std::string text_or(const Json& json, const char* key, const char* otherwise) {
  const auto at = json.is_object() ? json.find(key) : json.end();
  return json.is_object() && at != json.end() && at->is_string() ? at->get<std::string>() : otherwise;
}

// All *.json below a folder, in the order of their names.
std::vector<std::string> json_files(const std::string& folder) {
  std::vector<std::string> out;
  std::error_code trouble;
  for (auto at = std::filesystem::recursive_directory_iterator(
           folder, std::filesystem::directory_options::skip_permission_denied, trouble);
       at != std::filesystem::recursive_directory_iterator(); at.increment(trouble)) {
    if (trouble) throw Error(ErrorKind::kIo, fmt::format("{}: {}", folder, trouble.message()));
    if (at->path().extension() == ".json" && at->is_regular_file(trouble)) out.push_back(at->path().string());
  }
  if (trouble) throw Error(ErrorKind::kIo, fmt::format("{}: {}", folder, trouble.message()));
  std::sort(out.begin(), out.end());
  return out;
}

bool is_benchmark(const Json& json) {
  return json.is_object() && json.contains("context") && json.contains("benchmarks") && json["benchmarks"].is_array();
}

// "softmax/step/1024/manual_time" with its counters -> points of the variant.
void add_benchmark(const Json& run, std::map<std::tuple<std::string, std::string>, CostSeries>& series) {
  const std::vector<std::string> words = split(text_or(run, "name", ""), '/');
  if (text_or(run, "run_type", "iteration") != "iteration" || run.contains("error_occurred") || words.size() < 3)
    return;
  if (words[1] != "step" && words[1] != "forward") return;
  double length = 0;
  const char* end = words[2].data() + words[2].size();
  if (std::from_chars(words[2].data(), end, length).ptr != end || length <= 0) return;
  const std::string unit = text_or(run, "time_unit", "ns");
  const double scale = unit == "s" ? 1 : unit == "ms" ? 1e-3 : unit == "us" ? 1e-6 : 1e-9;
  const auto add = [&](const char* quantity, const char* what, const char* key, double factor) {
    const auto at = run.find(key);
    if (at == run.end() || !at->is_number() || !(at->get<double>() > 0)) return;
    CostSeries& one = series[{words[0], quantity}];
    one.variant = words[0];
    one.quantity = quantity;
    one.unit = what;
    const double value = at->get<double>() * factor;
    const auto same =
        std::find_if(one.points.begin(), one.points.end(), [&](const auto& p) { return p.first == length; });
    if (same == one.points.end()) {
      one.points.emplace_back(length, value);
    } else {
      same->second = std::min(same->second, value);  // of repetitions the least disturbed
    }
  };
  if (words[1] == "forward") {
    add("forward pass", "s", "real_time", scale);
  } else {
    add("training step", "s", "real_time", scale);
    add("planned memory", "B", "planned", 1);
    add("peak memory of the process", "B", "VmHWM", 1);
  }
}

}  // namespace

bool better(const std::string& metric, double a, double b) { return metric == "accuracy" ? a > b : a < b; }

RunRecord::RunRecord(std::string from, Json document) : path(std::move(from)), json(std::move(document)) {
  const auto text = [&](const char* key) { return json.at(key).get<std::string>(); };
  variant = text("variant");
  task = text("task");
  preset = text("preset");
  spec_hash = text("spec_hash");
  status = text("status");
  seed = json.at("seed").get<uint64_t>();
  preset_version = json.at("spec").at("preset_version").get<int>();
  error = text_or(json.at("error"), "message", "");
  started = text_or(json.at("environment"), "started", "");
  quality = number({"quality", "test"});
  if (quality) {
    metric = json["quality"]["metric"].get<std::string>();
    quality_low = json["quality"]["test_ci95"][0].get<double>();
    quality_high = json["quality"]["test_ci95"][1].get<double>();
    test_examples = json["quality"]["test_examples"].get<int64_t>();
    chance = number({"quality", "chance"});
    for (const auto& [name, value] : json["quality"]["baselines"].items()) {
      const bool stronger = !baseline_quality || better(metric, value.get<double>(), *baseline_quality);
      if (!stronger) continue;
      baseline = name;
      baseline_quality = value.get<double>();
    }
  }
  steps_per_s = number({"speed", "train_steps_per_s", "median"});
  tokens_per_s = number({"speed", "train_tokens_per_s", "median"});
  examples_per_s = number({"speed", "train_examples_per_s", "median"});
  mixer_share = number({"speed", "mixer_share"});
  share_of_peak = number({"speed", "share_of_peak"});
  total_seconds = number({"speed", "phases", "total_s"});
  threads = static_cast<int>(number({"speed", "threads"}).value_or(0));
  parameters = number({"model", "parameters"});
  mixer_parameters = number({"model", "mixer_parameters"});
  mean_tokens = number({"model", "mean_tokens"});
  planned = number({"memory", "planned", "total"});
  saved_per_sequence = number({"memory", "saved_per_sequence"});
  arena_high_water = number({"memory", "arena_high_water"});
  peak_rss = number({"memory", "peak_rss"});
}

const Json& RunRecord::part(const std::vector<const char*>& keys) const {
  const Json* at = &json;
  for (const char* key : keys) {
    if (!at->is_object()) return kNull;
    const auto next = at->find(key);
    if (next == at->end()) return kNull;
    at = &*next;
  }
  return *at;
}

std::optional<double> RunRecord::number(const std::vector<const char*>& keys) const {
  const Json& value = part(keys);
  return value.is_number() ? std::optional<double>(value.get<double>()) : std::nullopt;
}

Collection collect(const std::vector<std::string>& paths) {
  Collection out;
  std::map<std::tuple<std::string, std::string>, CostSeries> series;
  const auto take = [&](const std::string& path, bool named) {
    try {
      ++out.files;
      Json json = parse_json(read_file(path, kMostBytesOfJson), path);
      const std::string schema = text_or(json, "schema", "");
      if (is_benchmark(json)) {
        for (const auto& run : json["benchmarks"]) add_benchmark(run, series);
      } else if (named || schema.rfind(record::schema_name(record::Schema::kRecord), 0) == 0) {
        record::require_schema(json, record::Schema::kRecord, path);
        out.records.emplace_back(path, std::move(json));
      }
    } catch (const Error& error) {
      out.faults.emplace_back(error.what());
    }
  };
  for (const auto& path : paths) {
    if (std::filesystem::is_directory(path)) {
      for (const auto& file : json_files(path)) take(file, false);
    } else if (std::filesystem::exists(path)) {
      if (std::filesystem::path(path).extension() != ".jsonl") take(path, true);  // a history holds no record
    } else {
      throw Error(ErrorKind::kIo, fmt::format("{}: does not exist; give a record or a folder of records", path));
    }
  }
  const auto cell = [](const RunRecord& r) { return std::tie(r.task, r.variant, r.preset, r.spec_hash, r.seed); };
  std::stable_sort(out.records.begin(), out.records.end(), [&](const RunRecord& a, const RunRecord& b) {
    return cell(a) != cell(b) ? cell(a) < cell(b) : a.started > b.started;
  });
  const auto same = [&](const RunRecord& a, const RunRecord& b) { return cell(a) == cell(b); };
  const auto kept = std::unique(out.records.begin(), out.records.end(), same);
  if (kept != out.records.end()) {
    out.notes.push_back(fmt::format("{} older record(s) of cells that have a newer one are left out",
                                    std::distance(kept, out.records.end())));
    out.records.erase(kept, out.records.end());
  }
  for (auto& [key, one] : series) {
    std::sort(one.points.begin(), one.points.end());
    out.costs.push_back(std::move(one));
  }
  return out;
}

}  // namespace lra::report
