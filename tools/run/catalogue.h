// What there is: variants, tasks, presets, as a list or one of them in full.
#ifndef LRA_TOOLS_RUN_CATALOGUE_H
#define LRA_TOOLS_RUN_CATALOGUE_H

#include <string>

#include "core/json.h"
#include "plugin/registry.h"
#include "session/run_spec.h"

namespace lra::run {

// `what`: "all", "variants", "tasks" or "presets". {"variants": [...], "refused": [...], "tasks": [...], "presets":
// [...]}
Json list_json(const std::string& what, const PluginRegistry& registry, const session::Presets& presets);
std::string list_text(const Json& list);

// {"kind": "variant", ...}. Throws Error(kUsage) with the nearest name if nothing has it.
Json describe_json(const std::string& name, const PluginRegistry& registry, const session::Presets& presets);
std::string describe_text(const Json& description);

}  // namespace lra::run

#endif  // LRA_TOOLS_RUN_CATALOGUE_H
