// The shape of Long Range Arena's Table 2: training steps per second, speed-up over softmax, memory. From records a
// column pair per task at its length; from lra-bench one per length.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "core/text.h"
#include "report/published.h"
#include "report/show.h"
#include "report/table.h"

namespace lra::report {
namespace {

std::string with_speed_up(double rate, double yardstick) {
  return fmt::format("{} ({}x)", short_number(rate), short_number(rate / yardstick));
}

std::string threads_text(const Group& group) {
  std::vector<std::string> words;
  for (const int threads : group.threads) words.push_back(std::to_string(threads));
  return join(words, " and ") + (words == std::vector<std::string>{"1"} ? " thread" : " threads");
}

// Marks the numbers of one column, which are exact as they stand.
void mark_column(Table& table, std::size_t column, std::size_t rows, Better better) {
  std::vector<Contender> contenders;
  for (std::size_t r = 0; r < rows; ++r) {
    Cell& cell = table.rows[r].cells[column];
    if (cell.value) contenders.push_back({&cell, *cell.value, *cell.value, *cell.value});
  }
  mark_best(contenders, better);
}

Table of_records(const std::vector<const Group*>& groups) {
  Table table;
  table.id = "lra-cost";
  table.title = fmt::format("Cost of training, preset {}", preset_name(*groups.front()));
  const std::vector<std::string> tasks = tasks_of(groups);
  const std::vector<std::string> labels = labels_of(groups);
  table.columns.push_back({"variant", Align::kLeft});
  for (const auto& task : tasks) table.columns.push_back({task + " steps/s", Align::kRight});
  for (const auto& task : tasks) table.columns.push_back({task + " kept/seq", Align::kRight});
  for (const auto& task : tasks) table.columns.push_back({task + " peak RSS", Align::kRight});
  table.columns.push_back({"mixer parameters", Align::kRight});
  // Of all speeds in a column only those with the same number of threads can be compared.
  std::map<std::string, const Group*> yardstick;
  for (const Group* group : groups) {
    if (group->variant == "softmax" && group->steps_per_s) yardstick.emplace(group->task, group);
  }
  std::map<std::string, std::set<std::vector<int>>> threads;
  for (const Group* group : groups) {
    if (group->steps_per_s) threads[group->task].insert(group->threads);
  }
  for (const auto& label : labels) {
    Row row{{Cell{label, {}, {}, {}}}, ""};
    const Group* any = nullptr;
    for (const auto& task : tasks) {
      const Group* group = find_group(groups, label, task);
      Cell cell;
      if (group != nullptr && group->steps_per_s) {
        const auto base = yardstick.find(task);
        const bool comparable = base != yardstick.end() && base->second->threads == group->threads;
        cell = {comparable ? with_speed_up(*group->steps_per_s, *base->second->steps_per_s)
                           : short_number(*group->steps_per_s),
                group->steps_per_s,
                Mark::kNone,
                {}};
        if (threads[task].size() > 1) cell.notes.push_back(table.note(threads_text(*group)));
      } else if (group != nullptr) {
        cell.text = "–";
        if (!group->trouble().empty()) cell.notes.push_back(table.note(group->trouble()));
      }
      row.cells.push_back(cell);
      if (group != nullptr) any = group;
    }
    for (const auto& field : {&Group::saved_per_sequence, &Group::peak_rss}) {
      for (const auto& task : tasks) {
        const Group* group = find_group(groups, label, task);
        row.cells.push_back(group == nullptr ? Cell{} : cell_of(group->*field, human_bytes));
      }
    }
    row.cells.push_back(any == nullptr ? Cell{} : cell_of(any->mixer_parameters, short_number));
    table.rows.push_back(std::move(row));
  }
  for (std::size_t t = 0; t < tasks.size(); ++t) {
    if (threads[tasks[t]].size() < 2) mark_column(table, 1 + t, labels.size(), Better::kHigher);
    mark_column(table, 1 + tasks.size() + t, labels.size(), Better::kLower);
  }
  std::vector<std::string> lengths;
  for (const auto& task : tasks) {
    for (const Group* group : groups) {
      if (group->task != task || !group->mean_tokens) continue;
      lengths.push_back(fmt::format("{} {:.0f} x {}", task, *group->mean_tokens,
                                    group->runs.front()->part({"spec", "train", "batch"}).dump()));
      break;
    }
  }
  table.remarks.emplace_back(
      "Median training steps per second without evaluation, data and warm-up, mean over seeds; (x): against softmax "
      "with as many threads.");
  table.remarks.emplace_back(
      "kept/seq: bytes that one sequence keeps for its backward pass; peak RSS: largest resident set of the process.");
  if (!lengths.empty()) table.remarks.push_back(fmt::format("Mean tokens x sequences of a step: {}.", join(lengths)));
  for (auto& line : conditions(groups)) table.remarks.push_back(std::move(line));
  table.remarks.push_back(hashes_of(groups));
  return table;
}

const CostSeries* series_of(const std::vector<CostSeries>& costs, const std::string& variant,
                            const std::string& quantity) {
  for (const CostSeries& one : costs) {
    if (one.variant == variant && one.quantity == quantity) return &one;
  }
  return nullptr;
}

std::optional<double> cost_at(const CostSeries* series, double length) {
  if (series == nullptr) return std::nullopt;
  for (const auto& [n, value] : series->points) {
    if (n == length) return value;
  }
  return std::nullopt;
}

Table of_benchmarks(const std::vector<CostSeries>& costs) {
  Table table;
  table.id = "lra-cost-length";
  table.title = "Cost of a training step against length";
  std::set<double> lengths;
  std::vector<std::string> variants;
  for (const CostSeries& one : costs) {
    if (one.quantity != "training step") continue;
    variants.push_back(one.variant);
    for (const auto& [n, value] : one.points) lengths.insert(n);
  }
  std::sort(variants.begin(), variants.end(), variant_before);
  table.columns.push_back({"variant", Align::kLeft});
  for (const double n : lengths) table.columns.push_back({fmt::format("steps/s {:.0f}", n), Align::kRight});
  for (const double n : lengths) table.columns.push_back({fmt::format("memory {:.0f}", n), Align::kRight});
  for (const auto& variant : variants) {
    Row row{{Cell{variant, {}, {}, {}}}, ""};
    for (const double n : lengths) {
      const auto seconds = cost_at(series_of(costs, variant, "training step"), n);
      const auto base = cost_at(series_of(costs, "softmax", "training step"), n);
      row.cells.push_back(
          !seconds
              ? Cell{}
              : Cell{base ? with_speed_up(1 / *seconds, 1 / *base) : short_number(1 / *seconds), 1 / *seconds, {}, {}});
    }
    for (const double n : lengths)
      row.cells.push_back(cell_of(cost_at(series_of(costs, variant, "planned memory"), n), human_bytes));
    table.rows.push_back(std::move(row));
  }
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    mark_column(table, 1 + i, variants.size(), Better::kHigher);
    mark_column(table, 1 + lengths.size() + i, variants.size(), Better::kLower);
  }
  table.remarks.emplace_back(
      "Measured by lra-bench; best of its repetitions. (x): against softmax. memory: planned bytes, all categories.");
  return table;
}

Table of_publication(const std::vector<Group>& groups) {
  const Json& cost = published().at("cost");
  Table table;
  table.id = "lra-cost-published";
  table.title = cost.at("title").get<std::string>();
  table.columns.push_back({"model", Align::kLeft});
  for (const auto& n : cost.at("lengths")) table.columns.push_back({"steps/s " + n.dump(), Align::kRight});
  for (const auto& n : cost.at("lengths")) table.columns.push_back({"GB " + n.dump(), Align::kRight});
  const Json& first = cost.at("rows").front().at("steps_per_s");
  for (const Json& entry : cost.at("rows")) {
    const std::string variant = entry.at("variant").get<std::string>();
    if (std::none_of(groups.begin(), groups.end(), [&](const Group& g) { return g.variant == variant; })) continue;
    Row row{{Cell{entry.at("name").get<std::string>(), {}, {}, {}}}, ""};
    for (std::size_t i = 0; i < first.size(); ++i) {
      const double rate = entry.at("steps_per_s")[i].get<double>();
      row.cells.push_back({fmt::format("{:.1f} ({:.1f}x)", rate, rate / first[i].get<double>()), rate, {}, {}});
    }
    for (const auto& size : entry.at("gigabytes"))
      row.cells.push_back({fmt::format("{:.2f}", size.get<double>()), size.get<double>(), {}, {}});
    table.rows.push_back(std::move(row));
  }
  for (const Json& caveat : cost.at("caveats")) table.remarks.push_back(caveat.get<std::string>() + ".");
  return table;
}

std::vector<Table> make_cost(const LayoutInput& input) {
  std::vector<Table> out;
  for (const auto& groups : by_preset(input.groups)) {
    out.push_back(of_records(groups));
    if (out.size() > 1) out.back().id += fmt::format("-{}", out.size());
  }
  if (!input.costs.empty()) out.push_back(of_benchmarks(input.costs));
  if (input.published) out.push_back(of_publication(input.groups));
  return out;
}

}  // namespace

extern const Layout layout_cost{"cost", "steps/s, speed-up and memory (Long Range Arena's Table 2)", make_cost};

}  // namespace lra::report
