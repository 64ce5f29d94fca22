// What can be said about cells without running them: forecast, state of their records, settings and their sources.
#include <fmt/format.h>

#include <filesystem>

#include "core/error.h"
#include "core/file.h"
#include "core/json.h"
#include "core/real.h"
#include "core/text.h"
#include "math/peak.h"
#include "tools/run/display.h"
#include "tools/run/sweep.h"
#include "tools/run/table.h"

namespace lra::run {
namespace {

constexpr double kPeakSeconds = 0.2;  // spent measuring the FMA peak
constexpr double kPeakShare = 0.4;    // of it that training steps reach, roughly

// "ok", ..., or "interrupted at a checkpoint", "absent", "unreadable".
std::string state_of(const Cell& cell, const session::Execution& execution) {
  namespace fs = std::filesystem;
  const fs::path path = session::record_path(cell.spec, execution);
  const std::string saved = fs::path(path).replace_extension(".ckpt").string();
  const bool checkpoint = fs::exists(saved) || fs::exists(saved + ".prev");
  if (!fs::exists(path)) return checkpoint ? "unfinished" : "absent";
  try {
    const Json record = read_json(path.string());
    if (record.value("spec", Json()) != cell.spec.json()) return "other spec";
    return record.value("status", "unreadable");
  } catch (const Error&) {
    return "unreadable";
  } catch (const Json::exception&) {
    return "unreadable";
  }
}

}  // namespace

int print_forecast(const std::vector<Cell>& cells, const Flags& flags) {
  const session::Execution execution = execution_of(flags);
  const double rate = math::measure_fma_peak<Real>(kPeakSeconds) * execution.threads * kPeakShare * 1e9;
  Table table(
      {"variant", "task", "seed", "parameters", "in mixers", "planned", "per sequence", "FLOP/step", "steps", "time"});
  Json out = Json::array();
  double total = 0;
  bool fits = true;
  for (const Cell& cell : cells) {
    const session::Forecast f = session::forecast(cell.spec, *cell.variant, execution);
    const double seconds = f.flops_per_step * static_cast<double>(cell.spec.train.steps) / rate;
    const bool too_large = execution.memory_limit > 0 && f.planned_bytes > execution.memory_limit;
    fits = fits && !too_large;
    total += seconds;
    table.row({cell.spec.variant, cell.spec.task, fmt::format("{}", cell.spec.seed), fmt::format("{}", f.parameters),
               fmt::format("{}", f.mixer_parameters),
               human_bytes(double(f.planned_bytes)) + (too_large ? " (too large)" : ""),
               human_bytes(double(f.saved_per_sequence)), short_count(f.flops_per_step),
               fmt::format("{}", cell.spec.train.steps), human_seconds(seconds)});
    out.push_back({{"variant", cell.spec.variant},
                   {"task", cell.spec.task},
                   {"seed", cell.spec.seed},
                   {"spec_hash", cell.spec.hash()},
                   {"parameters", f.parameters},
                   {"mixer_parameters", f.mixer_parameters},
                   {"planned", f.planned_memory},
                   {"saved_per_sequence", f.saved_per_sequence},
                   {"fits", !too_large},
                   {"flops_per_step", f.flops_per_step},
                   {"steps", cell.spec.train.steps},
                   {"seconds", seconds},
                   {"record", session::record_path(cell.spec, execution)}});
  }
  if (flags.json) {
    print(json_text(out));
    return 0;
  }
  print(table.text(""));
  print(
      fmt::format("\n{} cell(s), about {} with {} thread(s) a cell, {} at a time, at {:.0f} % of the FMA peak just "
                  "measured and the longest\n"
                  "sequences; evaluation and data come on top. Memory is the plan without the data set.{}\n",
                  cells.size(), human_seconds(total / flags.jobs), execution.threads, flags.jobs, 100 * kPeakShare,
                  fits ? ""
                       : fmt::format(" Above --memory-limit {}: those cells would be skipped.",
                                     human_bytes(double(execution.memory_limit)))));
  return 0;
}

int print_status(const std::vector<Cell>& cells, const Flags& flags) {
  const session::Execution execution = execution_of(flags);
  Table table({"variant", "task", "seed", "state", "record"});
  Json out = Json::array();
  std::size_t done = 0;
  for (const Cell& cell : cells) {
    const std::string state = state_of(cell, execution);
    const std::string path = session::record_path(cell.spec, execution);
    const bool finished = session::is_done(cell.spec, execution);
    done += finished ? 1 : 0;
    table.row({cell.spec.variant, cell.spec.task, fmt::format("{}", cell.spec.seed), state, path});
    out.push_back({{"variant", cell.spec.variant},
                   {"task", cell.spec.task},
                   {"seed", cell.spec.seed},
                   {"state", state},
                   {"done", finished},
                   {"record", path}});
  }
  print(flags.json ? json_text(out) : fmt::format("{}\n{} of {} done\n", table.text(""), done, cells.size()));
  return 0;
}

int print_settings(const std::vector<Cell>& cells, const Flags& flags, const session::Presets& presets) {
  Json out = Json::array();
  const auto source = [&](std::initializer_list<std::string> names, const std::string& otherwise) {
    for (const char* kind : {"flag", "config"}) {
      for (const auto& name : names) {
        if (flags.source(name) == kind) return std::string(kind);
      }
    }
    return otherwise;
  };
  const session::Execution execution = execution_of(flags);
  std::string text;
  for (const Cell& cell : cells) {
    const session::RunSpec& spec = cell.spec;
    if (spec.seed != flags.seeds.front()) continue;  // settings do not differ by seed
    const Json preset =
        presets.settings(spec.preset, spec.task, spec.variant, spec.task_options.json().value("source", ""));
    Json settings = Json::object();
    Table table({"setting", "value", "source"});
    const auto add = [&](const std::string& name, const Json& value, const std::string& from) {
      table.row({name, plain_word(value), from});
      settings[name] = {{"value", value}, {"source", from}};
    };
    add("variant", spec.variant, source({"variant"}, "default"));
    add("task", spec.task, source({"task"}, "default"));
    add("preset", fmt::format("{} v{}", spec.preset, spec.preset_version), source({"preset"}, "default"));
    add("seeds", Json(flags.seeds), source({"seed"}, "default"));
    const auto part = [&](const char* name, const Json& values, const char* flag, const std::string& owner) {
      for (const auto& [key, value] : values.items()) {
        const std::string otherwise = preset[name].contains(key) ? "preset" : "default";
        const bool length = std::string(name) == "task" && key == "max_length";
        add(fmt::format("{}.{}", name, key), value,
            source({fmt::format("{}.{}", flag, key), fmt::format("{}.{}.{}", flag, owner, key), length ? "length" : ""},
                   otherwise));
      }
    };
    part("variant", spec.variant_options.json(), "set", spec.variant);
    part("task", spec.task_options.json(), "task-set", spec.task);
    part("model", nn::to_json(spec.model), "model", "");
    part("train", train::to_json(spec.train), "train", "");
    add("threads", execution.threads, source({"threads"}, "default"));
    add("jobs", flags.jobs, source({"jobs"}, "default"));
    add("memory-limit", execution.memory_limit > 0 ? Json(execution.memory_limit) : Json("none"),
        source({"memory-limit"}, "default"));
    add("timeout", execution.timeout > 0 ? Json(execution.timeout) : Json("none"), source({"timeout"}, "default"));
    add("checkpoint-every", execution.checkpoint_seconds, source({"checkpoint-every"}, "default"));
    add("out", execution.out, source({"out"}, "default"));
    add("cache", execution.cache.empty() ? cache_folder() : execution.cache, source({"cache"}, "default"));
    add("presets", flags.presets.empty() ? "built-in" : flags.presets, source({"presets"}, "default"));
    add("record", session::record_path(spec, execution), "all of the above");
    text += fmt::format("{}{}", text.empty() ? "" : "\n", table.text(""));
    out.push_back(settings);
  }
  print(flags.json ? json_text(out) : text);
  return 0;
}

}  // namespace lra::run
