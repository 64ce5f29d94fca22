// Validation accuracy (or bits per token) against the training step: mean over seeds, band from the least to the
// greatest.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "report/figure.h"
#include "report/show.h"
#include "report/statistics.h"

namespace lra::report {
namespace {

Picture make_curves(const FigureInput& input) {
  Picture out;
  out.title = "Training curves";
  for (const auto& groups : by_preset(input.groups)) {
    for (const auto& task : tasks_of(groups)) {
      const bool share = metric_of(groups, task) == "accuracy";
      Panel panel{fmt::format("{}, preset {}", task, preset_name(*groups.front())),
                  {"training step", Scale::kLinear},
                  {share ? "validation accuracy, %" : "validation bits per token", Scale::kLinear},
                  {}};
      for (const auto& label : labels_of(groups)) {
        const Group* g = find_group(groups, label, task);
        if (g == nullptr) continue;
        std::map<double, std::vector<double>> by_step;
        for (const RunRecord* run : g->runs) {
          for (const Json& point : run->part({"curve"}))
            by_step[point.at("step").get<double>()].push_back((share ? 100 : 1) *
                                                              point.at("validation_quality").get<double>());
        }
        Trace series{label, Kind::kLine, {}, false};
        for (const auto& [step, values] : by_step) {
          Point point{step, mean(values), {}, {}, 0};
          if (values.size() > 1) {
            point.low = *std::min_element(values.begin(), values.end());
            point.high = *std::max_element(values.begin(), values.end());
          }
          series.points.push_back(point);
        }
        if (!series.points.empty()) panel.series.push_back(std::move(series));
      }
      if (!panel.series.empty()) out.panels.push_back(std::move(panel));
    }
  }
  out.caption = out.panels.empty() ? "no record has a curve" : "Mean over seeds; band: least to greatest seed.";
  return out;
}

}  // namespace

extern const Figure figure_curves{"curves", "validation accuracy against step, with bands over seeds", make_curves};

}  // namespace lra::report
