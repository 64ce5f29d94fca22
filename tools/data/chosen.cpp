// --task-set over the preset, then the task's own check.
#include "tools/data/chosen.h"

#include <fmt/format.h>

#include "core/error.h"
#include "core/text.h"
#include "session/run_spec.h"

namespace lra::datatool {

Chosen choose(const Choice& choice) {
  Chosen out;
  if (choice.task.empty()) {
    std::vector<std::string> ids;
    for (const data::Task* task : data::tasks()) ids.push_back(task->info().id);
    throw Error(ErrorKind::kUsage, fmt::format("--task is missing; choose one of {}", join(ids)));
  }
  out.task = &data::find_task(choice.task);
  out.preset = choice.preset;
  std::map<std::string, std::string> set;
  for (const auto& [key, value] : parse_settings(choice.task_set, "--task-set")) {
    const std::size_t dot = key.find('.');
    if (dot != std::string::npos && key.substr(0, dot) != choice.task) {
      throw Error(ErrorKind::kUsage, fmt::format("--task-set {}={}: the task is '{}', not '{}'", key, value,
                                                 choice.task, key.substr(0, dot)));
    }
    set[dot == std::string::npos ? key : key.substr(dot + 1)] = value;
  }
  if (!choice.preset.empty()) {
    const session::Presets presets(choice.presets_file);
    const auto source = set.find("source");
    const Json given =
        presets.settings(choice.preset, choice.task, "", source == set.end() ? "" : source->second).at("task");
    for (const auto& [name, value] : given.items()) set.insert({name, plain_word(value)});
  }
  if (choice.preset.empty()) set.insert(choice.instead_of_defaults.begin(), choice.instead_of_defaults.end());
  out.options = Options(choice.task, out.task->info().options, set);
  return out;
}

Json json_of(const data::Shape& shape) {
  return {{"vocab", shape.vocab}, {"classes", shape.classes}, {"max_len", shape.max_len},      {"height", shape.height},
          {"width", shape.width}, {"pair", shape.pair},       {"next_token", shape.next_token}};
}

}  // namespace lra::datatool
