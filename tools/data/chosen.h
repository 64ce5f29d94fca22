// Which data: a task with its options, from a preset or from the task's own defaults, and what the user changed.
#ifndef LRA_TOOLS_DATA_CHOSEN_H
#define LRA_TOOLS_DATA_CHOSEN_H

#include <map>
#include <string>
#include <vector>

#include "core/json.h"
#include "core/options.h"
#include "data/task.h"

namespace lra::datatool {

struct Choice {
  std::string task, preset, presets_file;  // preset "": the defaults of the task; presets_file "": the built-in ones
  std::vector<std::string> task_set;       // "name=value" or "task.name=value"
  std::map<std::string, std::string> instead_of_defaults{};  // where neither the preset nor the user says anything
};

struct Chosen {
  const data::Task* task = nullptr;
  std::string preset;
  Options options;
};

// Throws Error(kUsage) with the nearest name.
Chosen choose(const Choice& choice);

Json json_of(const data::Shape& shape);

}  // namespace lra::datatool

#endif  // LRA_TOOLS_DATA_CHOSEN_H
