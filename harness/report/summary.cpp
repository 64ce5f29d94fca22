// Grouping by configuration, means over seeds, and names that tell configurations apart.
#include "report/summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <tuple>

#include "core/share.h"
#include "core/text.h"
#include "report/statistics.h"

namespace lra::report {
namespace {

using Settings = std::map<std::string, std::string>;

// The spec's values under short names: options of the variant bare, others with their part.
Settings settings_of(const RunRecord& record) {
  Settings out;
  const Json& spec = record.json.at("spec");
  for (const auto& [part, prefix] : std::array<std::pair<const char*, const char*>, 4>{
           {{"variant_options", ""}, {"task_options", "task."}, {"model", "model."}, {"train", "train."}}}) {
    for (const auto& [name, value] : spec.at(part).items()) out[prefix + name] = plain_word(value);
  }
  if (spec.contains("init_from")) out["init_from"] = plain_word(spec["init_from"]);
  return out;
}

// Settings in which configurations of one variant differ on one task.
std::set<std::string> differing(const std::vector<const Settings*>& all) {
  std::set<std::string> out;
  for (const Settings* one : all) {
    for (const auto& [name, value] : *one) {
      for (const Settings* other : all) {
        const auto at = other->find(name);
        if (at == other->end() || at->second != value) out.insert(name);
      }
    }
  }
  return out;
}

void name_groups(std::vector<Group>& groups) {
  using Key = std::tuple<std::string, int, std::string>;  // preset, version, variant
  std::map<Key, std::map<std::string, std::vector<Settings>>> by_task;
  for (const Group& g : groups) {
    by_task[{g.preset, g.preset_version, g.variant}][g.task].push_back(settings_of(*g.runs.front()));
  }
  std::map<Key, std::set<std::string>> telling;
  for (const auto& [key, tasks] : by_task) {
    for (const auto& [task, all] : tasks) {
      std::vector<const Settings*> pointers;
      for (const auto& one : all) pointers.push_back(&one);
      telling[key].merge(differing(pointers));
    }
  }
  for (Group& g : groups) {
    std::vector<std::string> words;
    const Settings settings = settings_of(*g.runs.front());
    for (const auto& name : telling[{g.preset, g.preset_version, g.variant}]) {
      const auto at = settings.find(name);
      if (at != settings.end()) words.push_back(fmt::format("{}={}", name, at->second));
    }
    g.label = words.empty() ? g.variant : fmt::format("{} ({})", g.variant, join(words));
  }
}

template <class Field>
std::optional<double> mean_of(const std::vector<const RunRecord*>& runs, Field field) {
  std::vector<double> values;
  for (const RunRecord* run : runs) {
    if (run->*field) values.push_back(*(run->*field));
  }
  return values.empty() ? std::nullopt : std::optional<double>(mean(values));
}

Estimate estimate(const std::vector<const RunRecord*>& runs, const std::string& metric) {
  Estimate out;
  int64_t examples = 0;
  std::vector<double> reaches;
  const RunRecord* last = nullptr;
  for (const RunRecord* run : runs) {
    if (!run->quality) continue;
    out.values.push_back(*run->quality);
    reaches.push_back((*run->quality_high - *run->quality_low) / 2);
    examples = std::max(examples, run->test_examples);
    last = run;
  }
  out.mean = mean(out.values);
  out.min = *std::min_element(out.values.begin(), out.values.end());
  out.max = *std::max_element(out.values.begin(), out.values.end());
  const bool share = metric == "accuracy";
  const Interval items = wilson(out.mean, static_cast<double>(examples));
  out.examples_reach = share ? (items.high - items.low) / 2 : mean(reaches);
  out.seeds_reach = mean_reach(out.values);
  if (out.seeds_reach) {
    const double reach = std::hypot(*out.seeds_reach, out.examples_reach);
    out.low = std::max(0.0, out.mean - reach);
    out.high = share ? std::min(1.0, out.mean + reach) : out.mean + reach;
  } else {
    out.low = *last->quality_low;
    out.high = *last->quality_high;
  }
  return out;
}

// Stopped or refused before it could fail: says nothing against the variant's quality.
bool is_bad(const std::string& status) { return status != "ok" && status != "interrupted" && status != "skipped"; }

Verdict judge(const Group& group) {
  if (!group.quality) return Verdict::kNone;
  bool all_at_chance = true, any_bad = false;
  for (const RunRecord* run : group.runs) {
    if (run->quality && run->status != "at_chance") all_at_chance = false;
    any_bad = any_bad || is_bad(run->status);
  }
  return all_at_chance ? Verdict::kAtChance : any_bad ? Verdict::kMixed : Verdict::kOk;
}

void fill(Group& g) {
  for (const RunRecord* run : g.runs) {
    ++g.statuses[run->status];
    if (run->threads > 0 && std::find(g.threads.begin(), g.threads.end(), run->threads) == g.threads.end())
      g.threads.push_back(run->threads);
    if (!run->metric.empty()) g.metric = run->metric;
    if (run->baseline_quality &&
        !(g.baseline_quality && !better(g.metric, *run->baseline_quality, *g.baseline_quality))) {
      g.baseline = run->baseline;
      g.baseline_quality = run->baseline_quality;
    }
  }
  std::sort(g.threads.begin(), g.threads.end());
  const bool has_result =
      std::any_of(g.runs.begin(), g.runs.end(), [](const RunRecord* r) { return r->quality.has_value(); });
  if (has_result) g.quality = estimate(g.runs, g.metric);
  g.verdict = judge(g);
  g.chance = mean_of(g.runs, &RunRecord::chance);
  g.steps_per_s = mean_of(g.runs, &RunRecord::steps_per_s);
  g.tokens_per_s = mean_of(g.runs, &RunRecord::tokens_per_s);
  g.examples_per_s = mean_of(g.runs, &RunRecord::examples_per_s);
  g.mixer_share = mean_of(g.runs, &RunRecord::mixer_share);
  g.share_of_peak = mean_of(g.runs, &RunRecord::share_of_peak);
  g.parameters = mean_of(g.runs, &RunRecord::parameters);
  g.mixer_parameters = mean_of(g.runs, &RunRecord::mixer_parameters);
  g.mean_tokens = mean_of(g.runs, &RunRecord::mean_tokens);
  g.planned = mean_of(g.runs, &RunRecord::planned);
  g.saved_per_sequence = mean_of(g.runs, &RunRecord::saved_per_sequence);
  g.arena_high_water = mean_of(g.runs, &RunRecord::arena_high_water);
  g.peak_rss = mean_of(g.runs, &RunRecord::peak_rss);
}

}  // namespace

const char* verdict_name(Verdict verdict) {
  constexpr std::array<const char*, 4> kNames{"ok", "mixed", "at_chance", "none"};
  return kNames[static_cast<std::size_t>(verdict)];
}

std::vector<uint64_t> Group::seeds() const {
  std::vector<uint64_t> out;
  out.reserve(runs.size());
  for (const RunRecord* run : runs) out.push_back(run->seed);
  return out;
}

std::string Group::trouble() const {
  std::vector<std::string> words;
  for (const auto& [status, count] : statuses) {
    if (status == "ok") continue;
    std::string name = status == "at_chance" ? "at chance" : status;
    if (runs.size() == 1) return name;
    words.push_back(words.empty()
                        ? fmt::format("{} of {} seed{} {}", count, runs.size(), runs.size() == 1 ? "" : "s", name)
                        : fmt::format("{} {}", count, name));
  }
  return join(words);
}

std::size_t task_place(const std::string& task) {
  constexpr std::array<const char*, 6> kOrder{"listops", "text", "retrieval", "image", "pathfinder", "pathx"};
  return static_cast<std::size_t>(std::find(kOrder.begin(), kOrder.end(), task) - kOrder.begin());
}

bool variant_before(const std::string& a, const std::string& b) {
  return std::make_pair(a != "softmax", a) < std::make_pair(b != "softmax", b);
}

std::vector<Group> summarise(const std::vector<RunRecord>& records) {
  std::map<std::tuple<std::string, std::string, std::string, int, std::string>, Group> by_configuration;
  for (const RunRecord& record : records) {
    Group& g = by_configuration[{record.preset, record.task, record.variant, record.preset_version, record.spec_hash}];
    g.task = record.task;
    g.variant = record.variant;
    g.preset = record.preset;
    g.preset_version = record.preset_version;
    g.spec_hash = record.spec_hash;
    g.runs.push_back(&record);
  }
  std::vector<Group> groups;
  for (auto& [key, group] : by_configuration) {
    std::sort(group.runs.begin(), group.runs.end(), [](const auto* a, const auto* b) { return a->seed < b->seed; });
    fill(group);
    groups.push_back(std::move(group));
  }
  name_groups(groups);
  const auto key = [](const Group& g) {
    return std::make_tuple(g.preset, g.preset_version, task_place(g.task), g.task, g.variant != "softmax", g.label,
                           g.spec_hash);
  };
  std::sort(groups.begin(), groups.end(), [&](const Group& a, const Group& b) { return key(a) < key(b); });
  return groups;
}

}  // namespace lra::report
