// Lists and descriptions are made as JSON once; the text is a view of it.
#include "tools/run/catalogue.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "core/json.h"
#include "core/text.h"
#include "data/task.h"
#include "tools/run/table.h"

namespace lra::run {
namespace {

Json option_json(const OptionSpec& spec) {
  Json out = {{"name", spec.name}};
  switch (spec.kind) {
    case OptionKind::kNumber:
    case OptionKind::kInteger:
      out["type"] = spec.kind == OptionKind::kInteger ? "integer" : "number";
      out["default"] = spec.value;
      out["min"] = spec.min;
      out["max"] = spec.max;
      if (spec.kind == OptionKind::kInteger) {
        for (const char* field : {"default", "min", "max"}) out[field] = static_cast<int64_t>(out[field].get<double>());
      }
      break;
    case OptionKind::kChoice:
      out["type"] = "choice";
      out["default"] = spec.choices[static_cast<std::size_t>(spec.value)];
      out["choices"] = spec.choices;
      break;
    case OptionKind::kText:
      out["type"] = "text";
      out["default"] = spec.text;
      break;
  }
  out["help"] = spec.help;
  return out;
}

Json options_json(const std::vector<OptionSpec>& specs) {
  Json out = Json::array();
  for (const auto& spec : specs) out.push_back(option_json(spec));
  return out;
}

Json variant_json(const Variant& v) {
  Json modes = Json::array();
  if (v.bidirectional) modes.push_back("bidirectional");
  if (v.causal) modes.push_back("causal");
  return {{"kind", "variant"},
          {"id", v.id},
          {"title", v.title},
          {"formula", v.formula},
          {"paper", v.paper},
          {"notes", v.notes},
          {"time", v.time},
          {"time_exponent", v.time_exponent},
          {"memory", v.memory},
          {"memory_exponent", v.memory_exponent},
          {"modes", modes},
          {"own_positions", v.own_positions},
          {"options", options_json(v.options)},
          {"library", v.path},
          {"build", v.build},
          {"hash", v.hash}};
}

Json task_json(const data::Task& task, const session::Presets& presets) {
  const data::TaskInfo& info = task.info();
  Json covered = Json::array();
  for (const auto& preset : presets.names()) {
    const auto tasks = presets.tasks(preset);
    if (std::find(tasks.begin(), tasks.end(), info.id) != tasks.end()) covered.push_back(preset);
  }
  return {{"kind", "task"},        {"id", info.id},
          {"title", info.title},   {"summary", info.summary},
          {"source", info.source}, {"version", info.version},
          {"presets", covered},    {"options", options_json(info.options)}};
}

Json preset_json(const std::string& name, const session::Presets& presets) {
  Json tasks = Json::object();
  for (const auto& task : presets.tasks(name)) {
    Json settings = presets.settings(name, task, "");
    settings.erase("variant");
    tasks[task] = settings;
  }
  return {{"kind", "preset"}, {"id", name}, {"summary", presets.summary(name)}, {"tasks", tasks}};
}

std::string words(const Json& list) {
  std::vector<std::string> out;
  for (const auto& one : list) out.push_back(plain_word(one));
  return join(out);
}

// Every line of `text` after the first is indented like the first.
std::string indented(const std::string& text, std::size_t by) {
  return join(split(text, '\n'), fmt::format("\n{:{}}", "", by));
}

std::string bounds(const Json& option) {
  if (option.contains("choices")) return join(option["choices"].get<std::vector<std::string>>(), "|");
  if (option.contains("min")) return fmt::format("{}..{}", plain_word(option["min"]), plain_word(option["max"]));
  return "text";
}

std::string options_text(const Json& options, const std::string& flag) {
  if (options.empty()) return "no options\n";
  Table table({"option", "default", "values", "meaning"});
  for (const auto& option : options) {
    table.row({option["name"].get<std::string>(), plain_word(option["default"]), bounds(option),
               option["help"].get<std::string>()});
  }
  return fmt::format("options ({} name=value)\n{}", flag, table.text("  "));
}

std::string field(const std::string& name, const std::string& text) {
  constexpr std::size_t kWidth = 10;
  return text.empty() ? "" : fmt::format("  {:<{}}{}\n", name, kWidth, indented(text, kWidth + 2));
}

}  // namespace

Json list_json(const std::string& what, const PluginRegistry& registry, const session::Presets& presets) {
  const auto wanted = [&](const char* name) { return what == "all" || what == name; };
  Json out = Json::object();
  if (wanted("variants")) {
    out["variants"] = Json::array();
    for (const auto& variant : registry.variants()) out["variants"].push_back(variant_json(variant));
    out["refused"] = Json::array();
    for (const auto& plugin : registry.refused())
      out["refused"].push_back({{"library", plugin.path}, {"reason", plugin.reason}});
  }
  if (wanted("tasks")) {
    out["tasks"] = Json::array();
    for (const data::Task* task : data::tasks()) out["tasks"].push_back(task_json(*task, presets));
  }
  if (wanted("presets")) {
    out["presets"] = Json::array();
    for (const auto& name : presets.names()) out["presets"].push_back(preset_json(name, presets));
  }
  return out;
}

std::string list_text(const Json& list) {
  std::string out;
  if (list.contains("variants")) {
    Table table({"variant", "title", "time", "memory", "modes", "options"});
    for (const auto& v : list["variants"]) {
      std::vector<std::string> names;
      for (const auto& option : v["options"]) names.push_back(option["name"].get<std::string>());
      table.row({plain_word(v["id"]), plain_word(v["title"]), plain_word(v["time"]), plain_word(v["memory"]),
                 words(v["modes"]), join(names)});
    }
    out += table.text("");
    for (const auto& plugin : list["refused"])
      out += fmt::format("not usable: {}: {}\n", plain_word(plugin["library"]), plain_word(plugin["reason"]));
  }
  if (list.contains("tasks")) {
    Table table({"task", "title", "presets"});
    for (const auto& t : list["tasks"]) table.row({plain_word(t["id"]), plain_word(t["title"]), words(t["presets"])});
    out += fmt::format("{}{}", out.empty() ? "" : "\n", table.text(""));
  }
  if (list.contains("presets")) {
    Table table({"preset", "tasks", "summary"});
    for (const auto& p : list["presets"]) {
      std::vector<std::string> tasks;
      for (const auto& [task, settings] : p["tasks"].items()) tasks.push_back(task);
      table.row({plain_word(p["id"]), join(tasks), plain_word(p["summary"])});
    }
    out += fmt::format("{}{}", out.empty() ? "" : "\n", table.text(""));
  }
  return out + "\nlra-run --describe NAME tells all about one of them.\n";
}

Json describe_json(const std::string& name, const PluginRegistry& registry, const session::Presets& presets) {
  std::vector<std::string> known = registry.ids();
  if (std::find(known.begin(), known.end(), name) != known.end()) return variant_json(registry.find(name));
  for (const data::Task* task : data::tasks()) {
    if (task->info().id == name) return task_json(*task, presets);
    known.push_back(task->info().id);
  }
  const auto names = presets.names();
  if (std::find(names.begin(), names.end(), name) != names.end()) return preset_json(name, presets);
  known.insert(known.end(), names.begin(), names.end());
  throw Error(ErrorKind::kUsage,
              fmt::format("no variant, task or preset is called '{}'{}", name, suggestion(name, known)));
}

std::string describe_text(const Json& d) {
  const std::string kind = plain_word(d["kind"]);
  std::string out = fmt::format("{} '{}'", kind, plain_word(d["id"]));
  if (d.contains("title")) out += fmt::format(": {}", plain_word(d["title"]));
  out += "\n";
  if (kind == "variant") {
    out += field("computes", plain_word(d["formula"]));
    out += field("paper", plain_word(d["paper"]));
    out += field("notes", plain_word(d["notes"]));
    out += field("time", fmt::format("{}  (exponent of N: {})", plain_word(d["time"]), plain_word(d["time_exponent"])));
    out += field("memory",
                 fmt::format("{}  (exponent of N: {})", plain_word(d["memory"]), plain_word(d["memory_exponent"])));
    out += field("modes", words(d["modes"]) + (d["own_positions"] == true ? "; encodes positions itself" : ""));
    out += field("library", fmt::format("{} ({})", plain_word(d["library"]), plain_word(d["build"])));
    return out + options_text(d["options"], "--set");
  }
  if (kind == "task") {
    out += field("learn", plain_word(d["summary"]));
    out += field("source", plain_word(d["source"]));
    out += field("presets", words(d["presets"]));
    return out + options_text(d["options"], "--task-set");
  }
  out += field("purpose", plain_word(d["summary"]));
  for (const auto& [task, settings] : d["tasks"].items()) {
    out += fmt::format("  {}\n", task);
    for (const auto& [part, values] : settings.items()) {
      std::vector<std::string> pairs;
      for (const auto& [name, value] : values.items()) pairs.push_back(fmt::format("{}={}", name, plain_word(value)));
      if (!pairs.empty()) out += fmt::format("    {:<6} {}\n", part, join(pairs, " "));
    }
  }
  return out;
}

}  // namespace lra::run
