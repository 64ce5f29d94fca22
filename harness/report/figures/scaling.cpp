// Cost against length, both axes logarithmic: a panel per quantity that lra-bench measured; slopes are exponents.
#include <fmt/format.h>

#include <algorithm>

#include "report/figure.h"
#include "report/statistics.h"

namespace lra::report {
namespace {

Picture make_scaling(const FigureInput& input) {
  Picture out;
  out.title = "Cost against length";
  for (const CostSeries& costs : input.costs) {
    const std::string title = costs.quantity;
    auto panel = std::find_if(out.panels.begin(), out.panels.end(), [&](const Panel& p) { return p.title == title; });
    if (panel == out.panels.end()) {
      out.panels.push_back(
          {title, {"tokens of a sequence", Scale::kLog}, {fmt::format("{}, {}", title, costs.unit), Scale::kLog}, {}});
      panel = out.panels.end() - 1;
    }
    Trace series{costs.variant, Kind::kLine, {}, false};
    const auto exponent = growth(costs.points);
    if (exponent) series.name += fmt::format(" N^{:.2f}", exponent->value);
    for (const auto& [n, value] : costs.points) series.points.push_back({n, value, {}, {}, 0});
    panel->series.push_back(std::move(series));
  }
  for (Panel& panel : out.panels) {
    std::sort(panel.series.begin(), panel.series.end(), [](const Trace& a, const Trace& b) {
      return variant_before(a.name.substr(0, a.name.find(' ')), b.name.substr(0, b.name.find(' ')));
    });
  }
  out.caption = out.panels.empty()
                    ? "there are no costs; make them with lra-bench --benchmark_out=FILE and name that file too"
                    : "Exponents are fitted over the longer half of the lengths.";
  return out;
}

}  // namespace

extern const Figure figure_scaling{"scaling", "cost against length in log-log with exponents, from a file of lra-bench",
                                   make_scaling};

}  // namespace lra::report
