// Long Range Arena's Figure 3: accuracy against speed, the bubble's area is memory. A panel per preset and task.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <set>

#include "report/figure.h"
#include "report/show.h"

namespace lra::report {
namespace {

Picture make_bubble(const FigureInput& input) {
  Picture out;
  out.title = "Accuracy, speed and memory";
  std::set<int> threads;
  for (const auto& groups : by_preset(input.groups)) {
    for (const auto& task : tasks_of(groups)) {
      Panel panel{fmt::format("{}, preset {}", task, preset_name(*groups.front())),
                  {"training tokens per second", Scale::kLog},
                  {quality_name(metric_of(groups, task)), Scale::kLinear},
                  {}};
      for (const auto& label : labels_of(groups)) {
        const Group* g = find_group(groups, label, task);
        if (g == nullptr || !g->quality || !g->tokens_per_s || !g->saved_per_sequence) continue;
        const double scale = g->metric == "accuracy" ? 100 : 1;
        const bool mixed = g->verdict == Verdict::kMixed;
        const Estimate& a = *g->quality;
        threads.insert(g->threads.begin(), g->threads.end());
        panel.series.push_back({label,
                                Kind::kBubble,
                                {{*g->tokens_per_s, scale * a.mean, scale * (mixed ? a.min : a.low),
                                  scale * (mixed ? a.max : a.high), *g->saved_per_sequence}},
                                g->verdict != Verdict::kOk});
      }
      if (!panel.series.empty()) out.panels.push_back(std::move(panel));
    }
  }
  out.caption = out.panels.empty() ? "no record has a result, speed and memory"
                                   : "Area: bytes that one sequence keeps for its backward pass. Whisker: 95 % "
                                     "interval; least to greatest seed where hollow. Hollow: seeds at "
                                     "chance, diverged or failed.";
  if (threads.size() > 1)
    out.caption +=
        fmt::format(" Speeds are of runs with {} threads: compare those with as many.", fmt::join(threads, " and "));
  return out;
}

}  // namespace

extern const Figure figure_bubble{"bubble", "accuracy against speed, area is memory", make_bubble};

}  // namespace lra::report
