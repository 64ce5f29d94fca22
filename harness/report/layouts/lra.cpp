// The shape of Long Range Arena's Table 1: variants by tasks, test accuracy in percent (or bits per token), and the
// average.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "core/text.h"
#include "report/published.h"
#include "report/show.h"
#include "report/statistics.h"
#include "report/table.h"

namespace lra::report {
namespace {

// The number of seeds that most cells have.
std::size_t usual_seeds(const std::vector<const Group*>& groups) {
  std::map<std::size_t, int> counts;
  for (const Group* group : groups) ++counts[group->runs.size()];
  return std::max_element(counts.begin(), counts.end(), [](auto& a, auto& b) { return a.second < b.second; })->first;
}

std::string seeds_text(const Group& group) {
  std::vector<std::string> words;
  for (const uint64_t seed : group.seeds()) words.push_back(std::to_string(seed));
  return fmt::format("{} {}", words.size() == 1 ? "seed" : "seeds", join(words));
}

Cell quality_cell(const Group& group, std::size_t usual, Table& table) {
  Cell cell;
  if (group.quality) cell.value = group.quality->mean;
  switch (group.verdict) {
    case Verdict::kNone:
      cell.text = "–";
      break;
    case Verdict::kAtChance:
      cell.text = "FAIL";
      break;
    case Verdict::kMixed:
      cell.text = quality_text(group.metric, group.quality->mean);
      break;
    default:
      cell.text = quality_with_reach(group);
  }
  if (group.verdict == Verdict::kAtChance) {
    cell.notes.push_back(table.note(fmt::format("no better than guessing: {}", quality_with_reach(group))));
  }
  const std::string trouble = group.trouble();
  if (!trouble.empty() && !(group.verdict == Verdict::kAtChance && group.statuses.size() == 1)) {
    cell.notes.push_back(table.note(group.verdict == Verdict::kMixed
                                        ? fmt::format("{}; from {} to {} over the seeds with a result, not ranked",
                                                      trouble, quality_text(group.metric, group.quality->min),
                                                      quality_text(group.metric, group.quality->max))
                                        : trouble));
  }
  if (group.runs.size() != usual) cell.notes.push_back(table.note(seeds_text(group)));
  return cell;
}

// Unweighted over the tasks given; nothing if one has no result.
struct Average {
  double mean = 0, reach = 0;
  bool rankable = true;
};
std::optional<Average> average(const std::vector<const Group*>& groups, const std::string& label,
                               const std::vector<std::string>& tasks) {
  Average out;
  for (const auto& task : tasks) {
    const Group* group = find_group(groups, label, task);
    if (group == nullptr || !group->quality) return std::nullopt;
    out.mean += group->quality->mean / static_cast<double>(tasks.size());
    out.reach = std::hypot(out.reach, group->quality->reach() / static_cast<double>(tasks.size()));
    out.rankable = out.rankable && group->verdict == Verdict::kOk;
  }
  return out;
}

// Whether columns can be averaged: bits cannot be added to percentages.
std::vector<std::string> averaged(const std::vector<const Group*>& groups) {
  std::vector<std::string> out = tasks_of(groups);
  std::erase_if(out, [&](const std::string& task) { return metric_of(groups, task) != "accuracy"; });
  return out.size() > 1 ? out : std::vector<std::string>{};
}

void add_baselines(const std::vector<const Group*>& groups, const std::vector<std::string>& tasks, Table& table) {
  Row strongest{{Cell{"strongest shortcut", {}, {}, {}}}, "without a model"};
  Row chance{{Cell{"chance", {}, {}, {}}}, "without a model"};
  const std::vector<std::string> in_average = averaged(groups);
  std::vector<double> shortcuts, guesses;
  for (const auto& task : tasks) {
    const std::string metric = metric_of(groups, task);
    const Group* best = nullptr;
    std::optional<double> guess;
    for (const Group* group : groups) {
      if (group->task != task) continue;
      if (group->baseline_quality &&
          (best == nullptr || better(metric, *group->baseline_quality, *best->baseline_quality)))
        best = group;
      if (group->chance) guess = group->chance;
    }
    const auto cell = [&](const std::optional<double>& value) {
      return value ? Cell{quality_text(metric, *value), value, Mark::kNone, {}} : Cell{};
    };
    strongest.cells.push_back(cell(best == nullptr ? std::nullopt : best->baseline_quality));
    if (best != nullptr) strongest.cells.back().notes.push_back(table.note(best->baseline));
    chance.cells.push_back(cell(guess));
    if (metric != "accuracy") continue;
    if (best != nullptr) shortcuts.push_back(*best->baseline_quality);
    if (guess) guesses.push_back(*guess);
  }
  if (!in_average.empty()) {
    const auto cell = [&](const std::vector<double>& values) {
      return values.size() == in_average.size() ? cell_of(mean(values), percent) : Cell{};
    };
    strongest.cells.push_back(cell(shortcuts));
    chance.cells.push_back(cell(guesses));
  }
  table.rows.push_back(strongest);
  table.rows.push_back(chance);
}

// Published rows of the variants that the table shows.
void add_published(const std::vector<const Group*>& groups, const std::vector<std::string>& tasks, Table& table) {
  bool warned = false;
  for (const Json& source : published().at("sources")) {
    const std::string section = source.at("title").get<std::string>();
    bool any = false;
    for (const Json& entry : source.at("rows")) {
      const std::string variant = entry.at("variant").get<std::string>();
      if (std::none_of(groups.begin(), groups.end(), [&](const Group* g) { return g->variant == variant; })) continue;
      any = true;
      Row row{{Cell{entry.at("name").get<std::string>(), {}, {}, {}}}, section};
      if (entry.contains("caveat")) row.cells[0].notes.push_back(table.note(entry["caveat"].get<std::string>()));
      for (const auto& task : tasks) {
        const Json& accuracy = entry.at("accuracy");
        if (!accuracy.contains(task)) {
          row.cells.emplace_back();
        } else if (accuracy[task].is_null()) {
          row.cells.push_back(Cell{"FAIL", {}, {}, {}});
        } else {
          const double share = accuracy[task].get<double>() / 100;
          row.cells.push_back(Cell{fmt::format("{:.2f}", 100 * share), share, {}, {}});
        }
      }
      if (!averaged(groups).empty()) {
        const double share = entry.at("average").get<double>() / 100;
        row.cells.push_back(
            Cell{fmt::format("{:.2f}", 100 * share), share, {}, {table.note("over all its own tasks")}});
      }
      table.rows.push_back(row);
    }
    if (!any) continue;
    if (!warned) {
      table.remarks.emplace_back(
          "Published rows are of other lengths, other samples of the data and other models than ours: compare how "
          "variants are ordered, not the numbers.");
      warned = true;
    }
    for (const Json& caveat : source.at("caveats"))
      table.remarks.push_back(fmt::format("{}: {}.", section, caveat.get<std::string>()));
    std::vector<std::string> lengths;
    for (const auto& task : tasks) {
      if (source.contains("task_caveats") && source["task_caveats"].contains(task))
        table.remarks.push_back(
            fmt::format("{}: {}: {}.", section, task, source["task_caveats"][task].get<std::string>()));
      if (source.at("lengths").contains(task))
        lengths.push_back(fmt::format("{} {}", task, source["lengths"][task].dump()));
    }
    if (!lengths.empty()) table.remarks.push_back(fmt::format("{}: most tokens: {}.", section, join(lengths)));
  }
}

Table one_table(const std::vector<const Group*>& groups, bool with_published) {
  const Group& first = *groups.front();
  Table table;
  table.id = "lra-accuracy";
  const std::vector<std::string> tasks = tasks_of(groups);
  const std::vector<std::string> in_average = averaged(groups);
  const bool all_accuracy =
      std::all_of(tasks.begin(), tasks.end(), [&](const auto& task) { return metric_of(groups, task) == "accuracy"; });
  table.title =
      fmt::format("{}, preset {}", all_accuracy ? "Test accuracy in percent" : "Test results", preset_name(first));
  table.columns.push_back({"variant", Align::kLeft});
  for (const auto& task : tasks) {
    const std::string unit = quality_unit(metric_of(groups, task));
    table.columns.push_back({all_accuracy ? task : fmt::format("{}, {}", task, unit), Align::kRight});
  }
  if (!in_average.empty()) table.columns.push_back({"average", Align::kRight});

  const std::size_t usual = usual_seeds(groups);
  const std::vector<std::string> labels = labels_of(groups);
  for (const auto& label : labels) {
    Row row{{Cell{label, {}, {}, {}}}, ""};
    for (const auto& task : tasks) {
      const Group* group = find_group(groups, label, task);
      row.cells.push_back(group == nullptr ? Cell{} : quality_cell(*group, usual, table));
    }
    if (!in_average.empty()) {
      const auto value = average(groups, label, in_average);
      Cell cell{"–", {}, {}, {}};
      if (value) {
        cell.text = percent(value->mean);
        if (value->rankable) cell.text += " ± " + percent(value->reach);
        cell.value = value->mean;
      }
      row.cells.push_back(cell);
    }
    table.rows.push_back(std::move(row));
  }
  for (std::size_t c = 1; c < table.columns.size(); ++c) {
    std::vector<Contender> contenders;
    for (std::size_t r = 0; r < labels.size(); ++r) {
      Cell& cell = table.rows[r].cells[c];
      if (c <= tasks.size()) {
        const Group* group = find_group(groups, labels[r], tasks[c - 1]);
        if (group != nullptr && group->verdict == Verdict::kOk)
          contenders.push_back({&cell, group->quality->mean, group->quality->low, group->quality->high});
      } else if (const auto value = average(groups, labels[r], in_average); value && value->rankable) {
        contenders.push_back({&cell, value->mean, value->mean - value->reach, value->mean + value->reach});
      }
    }
    const bool bits = c <= tasks.size() && metric_of(groups, tasks[c - 1]) != "accuracy";
    mark_best(contenders, bits ? Better::kLower : Better::kHigher);
  }
  add_baselines(groups, tasks, table);
  if (with_published) add_published(groups, tasks, table);

  const auto usual_group =
      std::find_if(groups.begin(), groups.end(), [&](const Group* g) { return g->runs.size() == usual; });
  std::vector<std::string> own;
  own.push_back(fmt::format(
      "Mean over seeds ({} unless marked), weights best on validation. ± is half a 95 % interval: "
      "Student's t over seeds and Wilson's over test examples in quadrature; with one seed the second alone.",
      seeds_text(**usual_group)));
  if (!all_accuracy) own.emplace_back("Bits per token: less is better; they are not in the average.");
  if (!in_average.empty())
    own.emplace_back(
        "The average is unweighted and counts a FAIL as what was measured; it is left out where a task has no result.");
  std::vector<std::string> lengths;
  for (const auto& task : tasks) {
    for (const Group* group : groups) {
      if (group->task != task || !group->mean_tokens) continue;
      lengths.push_back(fmt::format("{} {:.0f}", task, *group->mean_tokens));
      break;
    }
  }
  if (!lengths.empty()) own.push_back(fmt::format("Mean tokens of a sequence: {}.", join(lengths)));
  own.push_back(hashes_of(groups));
  table.remarks.insert(table.remarks.begin(), own.begin(), own.end());
  return table;
}

std::vector<Table> make_lra(const LayoutInput& input) {
  std::vector<Table> out;
  for (const auto& groups : by_preset(input.groups)) {
    out.push_back(one_table(groups, input.published));
    if (out.size() > 1) out.back().id += fmt::format("-{}", out.size());
  }
  return out;
}

}  // namespace

extern const Layout layout_lra{"lra", "variants by tasks, accuracy and average (Long Range Arena's Table 1)", make_lra};

}  // namespace lra::report
