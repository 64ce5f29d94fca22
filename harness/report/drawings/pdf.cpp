// One page of PDF 1.4: paths, and text in the built-in Helvetica. Letters outside Latin-1 become '?'.
#include <fmt/format.h>

#include <cmath>
#include <set>

#include "core/text.h"
#include "report/figure.h"
#include "report/paint.h"
#include "report/unicode.h"

namespace lra::report {
namespace {

// A string of the page in WinAnsi, whose upper half is Latin-1's.
std::string literal(const std::string& text) {
  std::string out = "(";
  for (const char32_t point : code_points(text)) {
    const char32_t shown = point == U'…'                                      ? 0x85
                           : point == U'–'                                    ? 0x96
                           : point < 0x7F || (point >= 0xA0 && point <= 0xFF) ? point
                                                                              : U'?';
    if (shown == '(' || shown == ')' || shown == '\\') out += '\\';
    out += static_cast<char>(static_cast<unsigned char>(shown));
  }
  return out + ")";
}

// Helvetica's mean width serves to centre short labels.
double width_of(const std::string& text, double size) { return 0.5 * size * static_cast<double>(columns(text)); }

class Pdf : public Canvas {
 public:
  explicit Pdf(double height) : height_(height) {}

  void polyline(const std::vector<std::pair<double, double>>& points, const Stroke& stroke) override {
    out += begin(stroke, 1) + path(points) + "S Q\n";
  }
  void polygon(const std::vector<std::pair<double, double>>& points, Colour fill, double opacity) override {
    out += fmt::format("q {} {} rg\n{}h f Q\n", transparent(opacity), rgb(fill), path(points));
  }
  void circle(double x, double y, double radius, const Stroke& edge, Colour fill, double opacity) override {
    constexpr double kArc = 0.5522847498;  // a quarter circle as one Bezier curve
    const double k = kArc * radius, cy = height_ - y;
    const std::string shape = fmt::format(
        "{:.2f} {:.2f} m {:.2f} {:.2f} {:.2f} {:.2f} {:.2f} {:.2f} c {:.2f} {:.2f} {:.2f} {:.2f} {:.2f} {:.2f} c "
        "{:.2f} {:.2f} {:.2f} {:.2f} {:.2f} {:.2f} c {:.2f} {:.2f} {:.2f} {:.2f} {:.2f} {:.2f} c h ",
        x + radius, cy, x + radius, cy + k, x + k, cy + radius, x, cy + radius, x - k, cy + radius, x - radius, cy + k,
        x - radius, cy, x - radius, cy - k, x - k, cy - radius, x, cy - radius, x + k, cy - radius, x + radius, cy - k,
        x + radius, cy);
    if (opacity > 0) out += fmt::format("q {} {} rg {}f Q\n", transparent(opacity), rgb(fill), shape);
    out += begin(edge, 1) + shape + "S Q\n";
  }
  void text(double x, double y, const std::string& words, double size, Anchor anchor, bool turned) override {
    const double back = width_of(words, size) * (anchor == Anchor::kStart ? 0 : anchor == Anchor::kMiddle ? 0.5 : 1);
    const double left = turned ? x : x - back, base = turned ? height_ - y - back : height_ - y;
    out += fmt::format("BT /F1 {} Tf {} {:.2f} {:.2f} Tm {} Tj ET\n", size, turned ? "0 1 -1 0" : "1 0 0 1", left, base,
                       literal(words));
  }

  std::string out;
  std::set<int> opacities;  // in percent

 private:
  static std::string rgb(Colour c) {
    return fmt::format("{:.3f} {:.3f} {:.3f}", c.red / 255.0, c.green / 255.0, c.blue / 255.0);
  }
  std::string transparent(double opacity) {
    const int percent = static_cast<int>(std::lround(100 * opacity));
    opacities.insert(percent);
    return fmt::format("/G{} gs", percent);
  }
  std::string begin(const Stroke& stroke, double opacity) {
    return fmt::format("q {} {} RG {} w [{}] 0 d\n", transparent(opacity), rgb(stroke.colour), stroke.width,
                       fmt::join(stroke.dashes, " "));
  }
  std::string path(const std::vector<std::pair<double, double>>& points) const {
    std::string text;
    for (std::size_t i = 0; i < points.size(); ++i)
      text += fmt::format("{:.2f} {:.2f} {} ", points[i].first, height_ - points[i].second, i == 0 ? "m" : "l");
    return text;
  }
  double height_;
};

std::string write_pdf(const Picture& picture) {
  const Size size = size_of(picture);
  Pdf page(size.height);
  paint(picture, page);
  std::vector<std::string> states;
  for (const int percent : page.opacities)
    states.push_back(fmt::format("/G{0} << /ca {1} /CA {1} >>", percent, percent / 100.0));
  const std::vector<std::string> objects{
      "<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
      fmt::format(
          "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {:.0f} {:.0f}] /Contents 5 0 R /Resources << /Font << /F1 4 0 R "
          ">> /ExtGState << {} >> >> >>",
          size.width, size.height, join(states, " ")),
      "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
      fmt::format("<< /Length {} >>\nstream\n{}endstream", page.out.size(), page.out)};
  std::string out = "%PDF-1.4\n%\xE2\xE3\xCF\xD3\n";
  std::string table = fmt::format("xref\n0 {}\n0000000000 65535 f \n", objects.size() + 1);
  for (std::size_t i = 0; i < objects.size(); ++i) {
    table += fmt::format("{:010} 00000 n \n", out.size());
    out += fmt::format("{} 0 obj\n{}\nendobj\n", i + 1, objects[i]);
  }
  const std::size_t start = out.size();
  return out + table +
         fmt::format("trailer\n<< /Size {} /Root 1 0 R >>\nstartxref\n{}\n%%EOF\n", objects.size() + 1, start);
}

}  // namespace

extern const Drawing drawing_pdf{"pdf", "one page of PDF", write_pdf};

}  // namespace lra::report
