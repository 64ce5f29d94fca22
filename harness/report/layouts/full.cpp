// One row per configuration with everything: seeds, intervals, parameters, cost, how each run ended.
#include <fmt/format.h>

#include "core/text.h"
#include "report/show.h"
#include "report/table.h"

namespace lra::report {
namespace {

std::string statuses_text(const Group& group) {
  std::vector<std::string> words;
  for (const auto& [status, count] : group.statuses) words.push_back(fmt::format("{} {}", count, status));
  return join(words);
}

Table one_table(const std::vector<const Group*>& groups) {
  Table table;
  table.id = "lra-full";
  table.title = fmt::format("All configurations, preset {}", preset_name(*groups.front()));
  table.columns = {{"task", Align::kLeft},        {"variant", Align::kLeft},     {"runs", Align::kLeft},
                   {"test", Align::kRight},       {"lowest", Align::kRight},     {"highest", Align::kRight},
                   {"± seeds", Align::kRight},    {"± examples", Align::kRight}, {"best shortcut", Align::kRight},
                   {"parameters", Align::kRight}, {"in mixers", Align::kRight},  {"tokens", Align::kRight},
                   {"steps/s", Align::kRight},    {"tokens/s", Align::kRight},   {"threads", Align::kRight},
                   {"% in mixer", Align::kRight}, {"% of peak", Align::kRight},  {"kept/seq", Align::kRight},
                   {"planned", Align::kRight},    {"peak RSS", Align::kRight},   {"configuration", Align::kLeft}};
  for (const Group* g : groups) {
    std::vector<std::string> threads;
    for (const int n : g->threads) threads.push_back(std::to_string(n));
    Row row;
    const auto text = [&](const std::string& word) { row.cells.push_back({word, {}, {}, {}}); };
    const auto number = [&](const std::optional<double>& value, std::string (*show)(double)) {
      row.cells.push_back(cell_of(value, show));
    };
    const auto quality = [&](const std::optional<double>& value) {
      row.cells.push_back(value ? Cell{quality_text(g->metric, *value), value, Mark::kNone, {}} : Cell{});
    };
    const auto estimate = [&](double Estimate::*field) {
      quality(g->quality ? std::optional<double>((*g->quality).*field) : std::nullopt);
    };
    text(g->task);
    text(g->label);
    text(statuses_text(*g));
    estimate(&Estimate::mean);
    if (g->verdict == Verdict::kAtChance) {
      row.cells.back().text += " FAIL";
    } else if (!g->quality) {
      row.cells.back().text = "–";
    }
    if (!g->runs.front()->error.empty() && !g->quality)
      row.cells.back().notes.push_back(table.note(g->runs.front()->error));
    estimate(&Estimate::min);
    estimate(&Estimate::max);
    quality(g->quality ? g->quality->seeds_reach : std::nullopt);
    estimate(&Estimate::examples_reach);
    quality(g->baseline_quality);
    number(g->parameters, short_number);
    number(g->mixer_parameters, short_number);
    number(g->mean_tokens, short_number);
    number(g->steps_per_s, short_number);
    number(g->tokens_per_s, short_number);
    text(join(threads, "/"));
    number(g->mixer_share, percent);
    number(g->share_of_peak, percent);
    number(g->saved_per_sequence, human_bytes);
    number(g->planned, human_bytes);
    number(g->peak_rss, human_bytes);
    text(g->spec_hash);
    table.rows.push_back(std::move(row));
  }
  table.remarks.emplace_back(
      "Test accuracy in percent (or bits per token) of the weights best on validation, mean over seeds. ± seeds: "
      "Student's t, 95 %; ± examples: "
      "Wilson, 95 %.");
  for (auto& line : conditions(groups)) table.remarks.push_back(std::move(line));
  return table;
}

std::vector<Table> make(const LayoutInput& input) {
  std::vector<Table> out;
  for (const auto& groups : by_preset(input.groups)) {
    out.push_back(one_table(groups));
    if (out.size() > 1) out.back().id += fmt::format("-{}", out.size());
  }
  return out;
}

}  // namespace

extern const Layout layout_full{"full", "one row per configuration: seeds, intervals, parameters, cost, endings", make};

}  // namespace lra::report
