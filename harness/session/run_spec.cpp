// From a preset and what a user changes to one complete, checked RunSpec:
//   defaults  <-  preset "common"  <-  preset task entry  <-  its entry for the data source  <-  overrides
#include "session/run_spec.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "core/file.h"
#include "core/text.h"

namespace lra::session {
namespace {

constexpr const char* kSchema = "lra.presets/1";

[[noreturn]] void refuse(const std::string& message) { throw Error(ErrorKind::kUsage, message); }

std::vector<std::string> keys(const Json& object) {
  std::vector<std::string> names;
  for (const auto& [name, value] : object.items()) names.push_back(name);
  return names;
}

// An object that holds nothing but objects and numbers under the names allowed.
void require_keys(const Json& object, const std::vector<std::string>& allowed, const std::string& where) {
  if (!object.is_object()) refuse(where + ": an object is wanted");
  for (const auto& [name, value] : object.items()) {
    if (std::find(allowed.begin(), allowed.end(), name) == allowed.end()) {
      refuse(fmt::format("{}: no entry '{}'{}", where, name, suggestion(name, allowed)));
    }
  }
}

void require_settings(const Json& entry, const char* name, const std::string& where) {
  const auto at = entry.find(name);
  if (at != entry.end() && !at->is_object()) refuse(fmt::format("{}: '{}' must be an object of settings", where, name));
}

// The part of an entry, or nothing.
Json part_of(const Json& entry, const std::string& name) {
  const auto at = entry.find(name);
  return at == entry.end() ? Json::object() : *at;
}

void check_preset(const Json& preset, const std::string& where) {
  require_keys(preset, {"version", "summary", "common", "tasks"}, where);
  if (!preset.contains("version") || !preset["version"].is_number_integer())
    refuse(where + ": 'version' must be a whole number");
  if (!preset.contains("summary") || !preset["summary"].is_string()) refuse(where + ": 'summary' must be text");
  if (!preset.contains("tasks") || !preset["tasks"].is_object()) refuse(where + ": 'tasks' must be an object");
  if (preset.contains("common")) {
    require_keys(preset["common"], {"model", "train"}, where + ": common");
    for (const char* part : {"model", "train"}) require_settings(preset["common"], part, where + ": common");
  }
  for (const auto& [task, entry] : preset["tasks"].items()) {
    const std::string at = fmt::format("{}: task '{}'", where, task);
    require_keys(entry, {"task", "model", "train", "variants", "sources"}, at);
    for (const char* part : {"task", "model", "train", "variants", "sources"}) require_settings(entry, part, at);
    const Json variants = part_of(entry, "variants"), sources = part_of(entry, "sources");
    for (const auto& [variant, options] : variants.items()) {
      if (!options.is_object()) refuse(fmt::format("{}: variant '{}' must be an object of options", at, variant));
    }
    for (const auto& [source, settings] : sources.items()) {
      const std::string of_source = fmt::format("{}: source '{}'", at, source);
      require_keys(settings, {"task", "model", "train"}, of_source);
      for (const char* part : {"task", "model", "train"}) require_settings(settings, part, of_source);
    }
  }
}

// Option values as --set would give them.
void add_settings(const Json& options, std::map<std::string, std::string>& set) {
  for (const auto& [name, value] : options.items()) set[name] = plain_word(value);
}

// Rules between the parts of a spec.
void check(const RunSpec& spec, const Variant& variant, const data::Task& task) {
  const data::Shape shape = task.shape(spec.task_options);
  nn::validate(spec.model, input_of(shape));
  train::validate(spec.train);
  if (spec.model.causal && !variant.causal) {
    refuse(shape.next_token ? fmt::format("{}: it has no causal form, which task '{}' needs; choose another variant "
                                          "(lra-run --list variants shows which have one)",
                                          variant.id, spec.task)
                            : fmt::format("{}: it has no causal form; leave causal off", variant.id));
  }
  if (!spec.model.causal && !variant.bidirectional)
    refuse(fmt::format("{}: it is causal only; add --causal", variant.id));
}

}  // namespace

nn::Input input_of(const data::Shape& shape) {
  return {.vocab = shape.vocab,
          .classes = shape.classes,
          .max_len = shape.max_len,
          .height = shape.height,
          .width = shape.width,
          .pair = shape.pair,
          .next_token = shape.next_token};
}

Json RunSpec::json() const {
  Json out = {{"variant", variant},
              {"task", task},
              {"preset", preset},
              {"preset_version", preset_version},
              {"seed", seed},
              {"variant_options", variant_options.json()},
              {"task_options", task_options.json()},
              {"model", nn::to_json(model)},
              {"train", train::to_json(train)}};
  if (!init_from.empty()) out["init_from"] = init_from;
  return out;
}

std::string RunSpec::hash() const {
  Json one = json();
  one.erase("seed");
  const std::string text = one.dump();
  return fmt::format("{:016x}", hash64(text.data(), text.size()));
}

std::string RunSpec::record_name() const { return fmt::format("{}/{}/{}-s{}.json", task, variant, hash(), seed); }

RunSpec RunSpec::from_json(const Json& json, const Variant& variant, const data::Task& task) {
  RunSpec spec;
  try {
    spec.variant = json.at("variant").get<std::string>();
    spec.task = json.at("task").get<std::string>();
    spec.preset = json.at("preset").get<std::string>();
    spec.preset_version = json.at("preset_version").get<int>();
    spec.seed = json.at("seed").get<uint64_t>();
    std::map<std::string, std::string> variant_set, task_set;
    add_settings(json.at("variant_options"), variant_set);
    add_settings(json.at("task_options"), task_set);
    spec.variant_options = Options(variant.id, variant.options, variant_set);
    spec.task_options = Options(task.info().id, task.info().options, task_set);
    nn::from_json(json.at("model"), spec.model);
    train::from_json(json.at("train"), spec.train);
    spec.init_from = json.value("init_from", "");
  } catch (const Json::exception& error) {
    refuse(fmt::format("a spec is not complete: {}", error.what()));
  }
  if (spec.variant != variant.id || spec.task != task.info().id) {
    refuse(fmt::format("a spec of {} on {} cannot run {} on {}", spec.variant, spec.task, variant.id, task.info().id));
  }
  check(spec, variant, task);
  return spec;
}

Presets::Presets(const std::string& path) : origin_(path.empty() ? "presets" : path) {
  Json file;
  try {
    file = path.empty() ? parse_json(builtin_presets(), origin_) : read_json(path);
  } catch (const Error& error) {
    refuse(error.what());
  }
  require_keys(file, {"schema", "presets"}, origin_);
  if (file.value("schema", Json()) != kSchema) refuse(fmt::format("{}: 'schema' must be \"{}\"", origin_, kSchema));
  if (!file.contains("presets") || !file["presets"].is_object()) refuse(origin_ + ": 'presets' must be an object");
  presets_ = file["presets"];
  for (const auto& [name, preset] : presets_.items())
    check_preset(preset, fmt::format("{}: preset '{}'", origin_, name));
}

const Json& Presets::find(const std::string& preset) const {
  const auto at = presets_.find(preset);
  if (at == presets_.end()) refuse(fmt::format("no preset is called '{}'{}", preset, suggestion(preset, names())));
  return *at;
}

std::vector<std::string> Presets::names() const { return keys(presets_); }

std::string Presets::summary(const std::string& preset) const { return find(preset)["summary"].get<std::string>(); }

std::vector<std::string> Presets::tasks(const std::string& preset) const { return keys(find(preset)["tasks"]); }

Json Presets::settings(const std::string& preset, const std::string& task, const std::string& variant,
                       const std::string& source) const {
  const Json& found = find(preset);
  const auto entry = found["tasks"].find(task);
  if (entry == found["tasks"].end()) {
    std::vector<std::string> able;
    for (const auto& [name, other] : presets_.items()) {
      if (other["tasks"].contains(task)) able.push_back(name);
    }
    refuse(fmt::format("preset '{}' has no settings for task '{}' (it covers {}){}", preset, task, join(tasks(preset)),
                       able.empty() ? "" : "; choose --preset " + join(able, " or ")));
  }
  const Json common = part_of(found, "common"), of_source = part_of(part_of(*entry, "sources"), source);
  Json out = {{"variant", part_of(part_of(*entry, "variants"), variant)}};
  for (const char* part : {"task", "model", "train"}) {
    out[part] = part_of(common, part);
    out[part].update(part_of(*entry, part));
    out[part].update(part_of(of_source, part));
  }
  return out;
}

RunSpec Presets::resolve(const std::string& preset, const Variant& variant, const data::Task& task, uint64_t seed,
                         const Overrides& overrides) const {
  RunSpec spec;
  spec.variant = variant.id;
  spec.task = task.info().id;
  spec.preset = preset;
  spec.preset_version = find(preset)["version"].get<int>();
  spec.seed = seed;
  const auto source = overrides.task_set.find("source");
  const Json given =
      settings(preset, spec.task, spec.variant, source == overrides.task_set.end() ? "" : source->second);

  std::map<std::string, std::string> variant_set, task_set;
  add_settings(given["variant"], variant_set);
  add_settings(given["task"], task_set);
  try {
    spec.variant_options = Options(variant.id, variant.options, variant_set);
    spec.task_options = Options(spec.task, task.info().options, task_set);
    nn::from_json(given["model"], spec.model);
    train::from_json(given["train"], spec.train);
  } catch (const Error& error) {
    refuse(fmt::format("{}: preset '{}', task '{}': {}", origin_, preset, spec.task, error.what()));
  }
  for (const auto& [name, value] : overrides.variant_set) variant_set[name] = value;
  for (const auto& [name, value] : overrides.task_set) task_set[name] = value;
  spec.variant_options = Options(variant.id, variant.options, variant_set);
  spec.task_options = Options(spec.task, task.info().options, task_set);
  nn::from_json(overrides.model, spec.model);
  train::from_json(overrides.train, spec.train);
  check(spec, variant, task);
  return spec;
}

}  // namespace lra::session
