// SVG 1.1 without scripts or references: opens in browsers and drawing programs.
#include <fmt/format.h>

#include "core/text.h"
#include "report/figure.h"
#include "report/paint.h"
#include "report/quote.h"

namespace lra::report {
namespace {

std::string hex(Colour c) { return fmt::format("#{:02x}{:02x}{:02x}", c.red, c.green, c.blue); }

std::string coordinates(const std::vector<std::pair<double, double>>& points) {
  std::vector<std::string> words;
  for (const auto& [x, y] : points) words.push_back(fmt::format("{:.2f},{:.2f}", x, y));
  return join(words, " ");
}

class Svg : public Canvas {
 public:
  void polyline(const std::vector<std::pair<double, double>>& points, const Stroke& stroke) override {
    out += fmt::format("<polyline points=\"{}\" fill=\"none\"{}/>\n", coordinates(points), attributes(stroke));
  }
  void polygon(const std::vector<std::pair<double, double>>& points, Colour fill, double opacity) override {
    out += fmt::format("<polygon points=\"{}\" fill=\"{}\" fill-opacity=\"{}\"/>\n", coordinates(points), hex(fill),
                       opacity);
  }
  void circle(double x, double y, double radius, const Stroke& edge, Colour fill, double opacity) override {
    out += fmt::format("<circle cx=\"{:.2f}\" cy=\"{:.2f}\" r=\"{:.2f}\" fill=\"{}\" fill-opacity=\"{}\"{}/>\n", x, y,
                       radius, hex(fill), opacity, attributes(edge));
  }
  void text(double x, double y, const std::string& words, double size, Anchor anchor, bool turned) override {
    const char* side = anchor == Anchor::kStart ? "start" : anchor == Anchor::kMiddle ? "middle" : "end";
    const std::string turn = turned ? fmt::format(" transform=\"rotate(-90 {:.2f} {:.2f})\"", x, y) : "";
    out += fmt::format("<text x=\"{:.2f}\" y=\"{:.2f}\" font-size=\"{}\" text-anchor=\"{}\"{}>{}</text>\n", x, y, size,
                       side, turn, html_text(words));
  }
  std::string out;

 private:
  static std::string attributes(const Stroke& stroke) {
    std::string text = fmt::format(" stroke=\"{}\" stroke-width=\"{}\"", hex(stroke.colour), stroke.width);
    if (!stroke.dashes.empty()) text += fmt::format(" stroke-dasharray=\"{}\"", fmt::join(stroke.dashes, " "));
    return text;
  }
};

std::string write_svg(const Picture& picture) {
  const Size size = size_of(picture);
  Svg svg;
  paint(picture, svg);
  return fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}pt\" "
      "height=\"{1:.0f}pt\" viewBox=\"0 0 {0:.0f} {1:.0f}\" role=\"img\" font-family=\"Helvetica, Arial, "
      "sans-serif\">\n"
      "<title>{2}</title>\n<desc>{3}</desc>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{4}</svg>\n",
      size.width, size.height, html_text(picture.title), html_text(picture.caption), svg.out);
}

}  // namespace

extern const Drawing drawing_svg{"svg", "scalable vector graphics", write_svg};

}  // namespace lra::report
