// Lays a picture out on a canvas: panels in two columns, axes, ticks, bands, lines, bubbles, legend.
#ifndef LRA_REPORT_PAINT_H
#define LRA_REPORT_PAINT_H

#include <string>
#include <utility>
#include <vector>

#include "report/figure.h"

namespace lra::report {

enum class Anchor { kStart, kMiddle, kEnd };
struct Colour {
  int red = 0, green = 0, blue = 0;
};
struct Stroke {
  Colour colour;
  double width = 1;
  std::vector<double> dashes{};
};

// What a vector format must be able to draw. Points, y downwards.
class Canvas {
 public:
  virtual ~Canvas() = default;
  virtual void polyline(const std::vector<std::pair<double, double>>& points, const Stroke& stroke) = 0;
  virtual void polygon(const std::vector<std::pair<double, double>>& points, Colour fill, double opacity) = 0;
  virtual void circle(double x, double y, double radius, const Stroke& edge, Colour fill, double opacity) = 0;
  // turned: read from below to above.
  virtual void text(double x, double y, const std::string& text, double size, Anchor anchor, bool turned) = 0;
};

struct Size {
  double width = 0, height = 0;
};
Size size_of(const Picture& picture);
void paint(const Picture& picture, Canvas& canvas);

// Colour and dashes of the n-th series; 28 differ, the first seven in colour (safe for colour-blind readers).
Stroke stroke_of(std::size_t series);
// Names of the series of all panels, each once: a name's place is its colour. Exponents and the like do not count.
std::vector<std::string> names_of(const Picture& picture);
std::size_t place_of(const std::vector<std::string>& names, const std::string& name);

}  // namespace lra::report

#endif  // LRA_REPORT_PAINT_H
