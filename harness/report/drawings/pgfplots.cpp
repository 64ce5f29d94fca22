// A LaTeX document of pgfplots axes, one per panel, for authors who restyle figures in their paper.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "report/figure.h"
#include "report/paint.h"
#include "report/quote.h"
#include "report/unicode.h"

namespace lra::report {
namespace {

constexpr const char* kHead = R"(\documentclass[tikz]{standalone}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage{textcomp}
\usepackage{pgfplots}
\usepgfplotslibrary{fillbetween}
\pgfplotsset{compat=1.17}
\begin{document}
)";

// Quoting braces keep commas and equals signs of a name out of the option list.
std::string braced(const std::string& text) { return "{" + latex_text(clipped(one_line(text), 60)) + "}"; }

std::string curve(const std::vector<Point>& points, double Point::*y) {
  std::string out = "coordinates {";
  for (const Point& p : points) out += fmt::format(" ({},{})", p.x, p.*y);
  return out + " };\n";
}

std::string bound(const std::vector<Point>& points, bool upper) {
  std::string out = "coordinates {";
  for (const Point& p : points) out += fmt::format(" ({},{})", p.x, (upper ? p.high : p.low).value_or(p.y));
  return out + " };\n";
}

std::string one_panel(const Panel& panel, const std::vector<std::string>& names) {
  std::string out = fmt::format(
      "\\begin{{tikzpicture}}\n\\begin{{axis}}[title={}, xlabel={}, ylabel={}, xmode={}, ymode={}, width=9cm, "
      "height=7cm, "
      "grid=major, legend style={{font=\\scriptsize, at={{(0.5,-0.22)}}, anchor=north, legend columns=3}}]\n",
      braced(panel.title), braced(panel.x.label), braced(panel.y.label),
      panel.x.scale == Scale::kLog ? "log" : "normal", panel.y.scale == Scale::kLog ? "log" : "normal");
  double largest = 0;
  for (const Trace& series : panel.series) {
    for (const Point& p : series.points) largest = std::max(largest, p.size);
  }
  for (std::size_t i = 0; i < panel.series.size(); ++i) {
    const Trace& series = panel.series[i];
    const Stroke stroke = stroke_of(place_of(names, series.name));
    out += fmt::format("\\definecolor{{c{}}}{{RGB}}{{{},{},{}}}\n", i, stroke.colour.red, stroke.colour.green,
                       stroke.colour.blue);
    if (series.kind == Kind::kBubble) {
      for (const Point& p : series.points) {
        const double radius = largest > 0 ? std::max(2.0, 12 * std::sqrt(p.size / largest)) : 4;
        out += fmt::format(
            "\\addplot[only marks, mark=*, mark size={:.2f}pt, draw=c{}, fill=c{}, fill opacity={}, error bars/.cd, y "
            "dir=both, y "
            "explicit] coordinates {{ ({},{}) +- (0,{}) }};\n\\addlegendentry{}\n",
            radius, i, i, series.hollow ? 0.0 : 0.45, p.x, p.y, p.high && p.low ? (*p.high - *p.low) / 2 : 0.0,
            braced(series.name));
      }
      continue;
    }
    const bool band =
        std::any_of(series.points.begin(), series.points.end(), [](const Point& p) { return p.low.has_value(); });
    if (band) {
      out += fmt::format("\\addplot[name path=u{}, draw=none, forget plot] {}", i, bound(series.points, true));
      out += fmt::format("\\addplot[name path=l{}, draw=none, forget plot] {}", i, bound(series.points, false));
      out += fmt::format("\\addplot[c{0}, opacity=0.18, forget plot] fill between[of=u{0} and l{0}];\n", i);
    }
    out += fmt::format("\\addplot[c{}, thick] {}\\addlegendentry{}\n", i, curve(series.points, &Point::y),
                       braced(series.name));
  }
  return out + "\\end{axis}\n\\end{tikzpicture}\n";
}

std::string write_pgfplots(const Picture& picture) {
  const std::vector<std::string> names = names_of(picture);
  std::string out = kHead;
  for (const Panel& panel : picture.panels) out += one_panel(panel, names);
  return out + "\\end{document}\n";
}

}  // namespace

extern const Drawing drawing_pgfplots{"pgfplots", "a LaTeX document of pgfplots axes", write_pgfplots};

}  // namespace lra::report
