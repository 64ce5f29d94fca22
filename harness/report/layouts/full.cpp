// Two tables with a row per configuration: quality with its seeds, intervals and endings; size and cost.
#include <fmt/format.h>
#include <fmt/ranges.h>

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

// Fills a row cell by cell.
class Filler {
 public:
  explicit Filler(const Group& group) : group_(group) {}
  Row row;
  void text(const std::string& word) { row.cells.push_back({word, {}, Mark::kNone, {}}); }
  void number(const std::optional<double>& value, std::string (*show)(double)) {
    row.cells.push_back(cell_of(value, show));
  }
  void quality(const std::optional<double>& value) {
    row.cells.push_back(value ? Cell{quality_text(group_.metric, *value), value, Mark::kNone, {}} : Cell{});
  }
  void estimate(double Estimate::*field) {
    quality(group_.quality ? std::optional<double>((*group_.quality).*field) : std::nullopt);
  }

 private:
  const Group& group_;
};

Table of_quality(const std::vector<const Group*>& groups) {
  Table table;
  table.id = "lra-full";
  table.title = fmt::format("All configurations, quality, preset {}", preset_name(*groups.front()));
  table.columns = {{"task", Align::kLeft},     {"variant", Align::kLeft},      {"runs", Align::kLeft},
                   {"test", Align::kRight},    {"lowest", Align::kRight},      {"highest", Align::kRight},
                   {"± seeds", Align::kRight}, {"± examples", Align::kRight},  {"best shortcut", Align::kRight},
                   {"seeds", Align::kLeft},    {"configuration", Align::kLeft}};
  for (const Group* g : groups) {
    Filler fill(*g);
    fill.text(g->task);
    fill.text(g->label);
    fill.text(statuses_text(*g));
    fill.estimate(&Estimate::mean);
    Cell& test = fill.row.cells.back();
    if (g->verdict == Verdict::kAtChance) test.text += " FAIL";
    if (!g->quality) test.text = "–";
    if (!g->runs.front()->error.empty() && !g->quality) test.notes.push_back(table.note(g->runs.front()->error));
    fill.estimate(&Estimate::min);
    fill.estimate(&Estimate::max);
    fill.quality(g->quality ? g->quality->seeds_reach : std::nullopt);
    fill.estimate(&Estimate::examples_reach);
    fill.quality(g->baseline_quality);
    fill.text(fmt::format("{}", fmt::join(g->seeds(), ", ")));
    fill.text(g->spec_hash);
    table.rows.push_back(std::move(fill.row));
  }
  table.remarks.emplace_back(
      "Test accuracy in percent (or bits per token) of the weights best on validation, mean over seeds. ± seeds: "
      "Student's t, 95 %; ± examples: Wilson, 95 %. Best shortcut: the strongest predictor without a model.");
  return table;
}

Table of_cost(const std::vector<const Group*>& groups) {
  Table table;
  table.id = "lra-full-cost";
  table.title = fmt::format("All configurations, size and cost, preset {}", preset_name(*groups.front()));
  table.columns = {{"task", Align::kLeft},       {"variant", Align::kLeft},   {"parameters", Align::kRight},
                   {"in mixers", Align::kRight}, {"tokens", Align::kRight},   {"steps/s", Align::kRight},
                   {"tokens/s", Align::kRight},  {"threads", Align::kRight},  {"% in mixer", Align::kRight},
                   {"% of peak", Align::kRight}, {"kept/seq", Align::kRight}, {"planned", Align::kRight},
                   {"peak RSS", Align::kRight}};
  for (const Group* g : groups) {
    Filler fill(*g);
    fill.text(g->task);
    fill.text(g->label);
    fill.number(g->parameters, short_number);
    fill.number(g->mixer_parameters, short_number);
    fill.number(g->mean_tokens, short_number);
    fill.number(g->steps_per_s, short_number);
    fill.number(g->tokens_per_s, short_number);
    fill.text(fmt::format("{}", fmt::join(g->threads, "/")));
    fill.number(g->mixer_share, percent);
    fill.number(g->share_of_peak, percent);
    fill.number(g->saved_per_sequence, human_bytes);
    fill.number(g->planned, human_bytes);
    fill.number(g->peak_rss, human_bytes);
    table.rows.push_back(std::move(fill.row));
  }
  table.remarks.emplace_back(
      "tokens: mean of a sequence. Speeds: median training steps without evaluation, data and warm-up. kept/seq: bytes "
      "that one sequence keeps for its backward pass; planned: all that a run reserves; peak RSS: of the process.");
  for (auto& line : conditions(groups)) table.remarks.push_back(std::move(line));
  return table;
}

std::vector<Table> make_full(const LayoutInput& input) {
  std::vector<Table> out;
  for (const auto& groups : by_preset(input.groups)) {
    const std::string number = out.empty() ? "" : fmt::format("-{}", out.size() / 2 + 1);
    out.push_back(of_quality(groups));
    out.push_back(of_cost(groups));
    for (std::size_t t = out.size() - 2; t < out.size(); ++t) out[t].id += number;
  }
  return out;
}

}  // namespace

extern const Layout layout_full{"full", "one row per configuration: seeds, intervals, parameters, cost, endings",
                                make_full};

}  // namespace lra::report
