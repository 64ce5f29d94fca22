// Which cells the flags mean: names -> variants and tasks, settings -> the cells they are for.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <set>

#include "core/error.h"
#include "core/parallel.h"
#include "core/text.h"
#include "data/task.h"
#include "session/checkpoint.h"
#include "tools/program.h"
#include "tools/run/sweep.h"

namespace lra::run {
namespace {

// One of the things that a setting may be for: a chosen variant or task.
struct Owner {
  std::string id;
  const std::vector<OptionSpec>* options;
  bool has(const std::string& name) const {
    return std::any_of(options->begin(), options->end(), [&](const OptionSpec& o) { return o.name == name; });
  }
};

// "features=64" is for every owner that has it, "performer.features=64" for that one. Returns the settings of each
// owner; throws for a setting that nobody takes.
std::map<std::string, Settings> share_out(const Settings& given, const std::vector<Owner>& owners,
                                          const std::string& flag) {
  std::map<std::string, Settings> out;
  for (const auto& [key, value] : given) {
    const std::size_t dot = key.find('.');
    const std::string name = dot == std::string::npos ? key : key.substr(dot + 1);
    const std::string owner = dot == std::string::npos ? "" : key.substr(0, dot);
    std::vector<std::string> ids;
    for (const Owner& one : owners) ids.push_back(one.id);
    if (!owner.empty() && std::find(ids.begin(), ids.end(), owner) == ids.end()) {
      refuse(fmt::format("{} {}: '{}' is not among those that run{}", flag, key, owner, suggestion(owner, ids)));
    }
    bool taken = false;
    for (const Owner& one : owners) {
      // A single owner gets everything: its own message names its options.
      const bool mine = owner.empty() ? owners.size() == 1 || one.has(name) : owner == one.id;
      if (mine) out[one.id][name] = value;
      taken = taken || mine;
    }
    if (taken) continue;
    std::vector<std::string> known, described;
    for (const Owner& one : owners) {
      std::vector<std::string> names;
      for (const auto& option : *one.options) names.push_back(option.name);
      known.insert(known.end(), names.begin(), names.end());
      described.push_back(fmt::format("{}: {}", one.id, names.empty() ? "none" : join(names)));
    }
    const std::string near = nearest_name(name, known);
    refuse(fmt::format("{}: none of those that run has an option '{}'{} (options of {})", flag, name,
                       near.empty() ? "" : fmt::format("; did you mean '{}'?", near), join(described, "; of ")));
  }
  return out;
}

// "3" -> 3, "true" -> true, "cls" -> "cls".
Json typed(const Settings& settings) {
  Json out = Json::object();
  for (const auto& [name, text] : settings) {
    const Json value = Json::parse(text, nullptr, false);
    out[name] = value.is_number() || value.is_boolean() ? value : Json(text);
  }
  return out;
}

std::vector<const Variant*> chosen_variants(const Flags& flags, const PluginRegistry& registry) {
  std::vector<const Variant*> out;
  for (const auto& id : flags.variants) {
    if (id == "all") {
      for (const auto& variant : registry.variants()) out.push_back(&variant);
    } else {
      out.push_back(&registry.find(id));
    }
  }
  return out;
}

// Of "all" variants, those that cannot run a task as it is set are left out; one that was named is refused later.
bool is_left_out(const Flags& flags, const session::Presets& presets, const Variant& variant, const data::Task& task) {
  if (std::find(flags.variants.begin(), flags.variants.end(), variant.id) != flags.variants.end()) return false;
  const Json settings = presets.settings(flags.preset, task.info().id, variant.id);
  const Json model = settings.value("model", Json::object());
  const auto own = flags.model.find("causal");
  const bool causal = own != flags.model.end() ? own->second == "true" : model.value("causal", false);
  if (causal ? variant.causal : variant.bidirectional) return false;
  std::fprintf(stderr, "lra-run: %s on %s left out: it has no %s form\n", variant.id.c_str(), task.info().id.c_str(),
               causal ? "causal" : "bidirectional");
  return true;
}

std::vector<const data::Task*> chosen_tasks(const Flags& flags, const session::Presets& presets) {
  std::vector<const data::Task*> out;
  for (const auto& id : flags.tasks) {
    if (id == "all") {
      for (const auto& covered : presets.tasks(flags.preset)) out.push_back(&data::find_task(covered));
    } else {
      out.push_back(&data::find_task(id));
    }
  }
  return out;
}

template <class T>
void drop_repeats(std::vector<T>& items) {
  std::set<T> seen;
  std::erase_if(items, [&](const T& item) { return !seen.insert(item).second; });
}

void set_length(const std::string& length, const data::Task& task, Settings& settings) {
  std::vector<std::string> names;
  for (const auto& option : task.info().options) {
    if (option.name == "max_length" || option.name == "length") {
      settings[option.name] = length;
      return;
    }
    names.push_back(option.name);
  }
  refuse(
      fmt::format("--length: task '{}' has no option max_length or length; its length follows from its own options: "
                  "--task-set {}=...",
                  task.info().id, join(names, "|")));
}

}  // namespace

void print(const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    throw Error(ErrorKind::kIo, "standard output cannot be written to");
  }
}

session::Execution execution_of(const Flags& flags) {
  session::Execution out;
  out.threads = flags.threads > 0 ? flags.threads : std::max(1, available_cores() / flags.jobs);
  out.out = flags.out;
  out.cache = flags.cache;
  out.resume = flags.resume;
  out.checkpoint_seconds = flags.checkpoint_seconds;
  out.memory_limit = flags.memory_limit;
  out.timeout = flags.timeout;
  out.init_from = flags.init_from;
  return out;
}

std::vector<Cell> cells_of(const Flags& flags, const PluginRegistry& registry, const session::Presets& presets) {
  if (flags.variants.empty())
    refuse(fmt::format("--variant is missing (known: {}); lra-run --list tells more", join(registry.ids())));
  presets.summary(flags.preset);  // an unknown preset is named before an unknown task
  if (flags.tasks.empty())
    refuse(fmt::format("--task is missing (preset '{}' covers {})", flags.preset, join(presets.tasks(flags.preset))));
  std::vector<const Variant*> variants = chosen_variants(flags, registry);
  std::vector<const data::Task*> tasks = chosen_tasks(flags, presets);
  drop_repeats(variants);
  drop_repeats(tasks);

  std::vector<Owner> variant_owners, task_owners;
  for (const Variant* variant : variants) variant_owners.push_back({variant->id, &variant->options});
  for (const data::Task* task : tasks) task_owners.push_back({task->info().id, &task->info().options});
  const auto variant_settings = share_out(flags.variant_set, variant_owners, "--set");
  auto task_settings = share_out(flags.task_set, task_owners, "--task-set");
  if (!flags.length.empty()) {
    for (const data::Task* task : tasks) set_length(flags.length, *task, task_settings[task->info().id]);
  }

  const std::string start = flags.init_from.empty() ? "" : session::checkpoint_hash(flags.init_from);
  std::vector<Cell> cells;
  std::size_t round = 0;
  for (const uint64_t seed : flags.seeds) {
    for (const data::Task* task : tasks) {
      for (std::size_t i = 0; i < variants.size(); ++i) {
        const Variant& variant = *variants[(i + round) % variants.size()];
        if (is_left_out(flags, presets, variant, *task)) continue;
        session::Overrides overrides;
        if (const auto at = variant_settings.find(variant.id); at != variant_settings.end())
          overrides.variant_set = at->second;
        if (const auto at = task_settings.find(task->info().id); at != task_settings.end())
          overrides.task_set = at->second;
        overrides.model = typed(flags.model);
        overrides.train = typed(flags.train);
        cells.push_back({&variant, presets.resolve(flags.preset, variant, *task, seed, overrides)});
        cells.back().spec.init_from = start;
      }
      ++round;
    }
  }
  if (cells.empty()) refuse("no variant is left to run");
  return cells;
}

}  // namespace lra::run
