// Drawing for Pathfinder: lines, disks, Lanczos reduction of 8-bit images, and dilation on bitmaps.
//
//   lanczos(x) = sinc(x) sinc(x / 3), |x| < 3, stretched by s = in / out when an image shrinks (that is its
//   antialiasing) dilation   out(p) = OR over offsets o of in(p + o); pixels outside the image do not count
//
// Coordinates are (y, x), row first, 0-based. The rounding rules are those of Pillow, with which the published images
// were made: a 22-bit fixed-point kernel, rows first, rounded and clipped to 8 bits after either direction.
#ifndef LRA_TASKS_PATHFINDER_RASTER_H
#define LRA_TASKS_PATHFINDER_RASTER_H

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace lra::tasks::pathfinder {

struct Point {
  int y = 0, x = 0;
  bool operator==(const Point&) const = default;
};
constexpr Point operator+(Point a, Point b) { return {a.y + b.y, a.x + b.x}; }
constexpr Point operator-(Point a, Point b) { return {a.y - b.y, a.x - b.x}; }
inline double distance(Point a, Point b) { return std::hypot(a.y - b.y, a.x - b.x); }

// Square 8-bit image, row by row.
class Gray {
 public:
  explicit Gray(int size) : size_(size), pixels_(static_cast<std::size_t>(size) * static_cast<std::size_t>(size)) {}
  int size() const { return size_; }
  bool contains(Point p) const { return p.y >= 0 && p.x >= 0 && p.y < size_ && p.x < size_; }
  uint8_t* row(int y) { return pixels_.data() + static_cast<std::ptrdiff_t>(y) * size_; }
  const uint8_t* row(int y) const { return pixels_.data() + static_cast<std::ptrdiff_t>(y) * size_; }
  uint8_t& at(Point p) { return row(p.y)[p.x]; }
  uint8_t at(Point p) const { return row(p.y)[p.x]; }
  std::vector<uint8_t>& pixels() { return pixels_; }
  const std::vector<uint8_t>& pixels() const { return pixels_; }

 private:
  int size_;
  std::vector<uint8_t> pixels_;
};

// White line, both ends included, `width` pixels across: Bresenham's for 1, else the filled quadrilateral around it.
void draw_line(Gray& image, Point from, Point to, int width);
// White disk {|p - centre|^2 <= radius^2}, clipped.
void draw_disk(Gray& image, Point centre, double radius);

// Reduction of square images from `in` to `out` pixels a side.
class Lanczos {
 public:
  Lanczos(int in, int out);
  // Output pixels outside [centre - reach, centre + reach] are left as they are. `scratch` is resized as needed.
  void reduce(const Gray& source, Gray& target, Point centre, int reach, std::vector<uint8_t>& scratch) const;
  Gray reduce(const Gray& source) const;

 private:
  struct Taps {
    int first = 0;
    std::vector<int32_t> weights;
  };
  std::vector<Taps> taps_;  // one for each output coordinate
};

// Square bitmap, 64 pixels a word.
class Bitmap {
 public:
  explicit Bitmap(int size);
  int size() const { return size_; }
  void clear();
  void set(Point p) { row(p.y)[p.x / 64] |= uint64_t{1} << (p.x % 64); }
  bool contains(Point p) const { return p.y >= 0 && p.x >= 0 && p.y < size_ && p.x < size_; }
  bool at(Point p) const { return (row(p.y)[p.x / 64] >> (p.x % 64)) & 1u; }
  int count() const;
  bool intersects(const Bitmap& other) const;
  // Sets this bitmap to the pixels of `source` (same size, not this) that hang together with `start`, corners included.
  void flood(const Bitmap& source, Point start);
  // Pixel number `index` of the zeros in reading order; index < size * size - count().
  Point zero(int index) const;

  // Offsets dx in [first, last] of row dy.
  struct Run {
    int dy = 0, first = 0, last = 0;
  };
  // Sets this bitmap to the dilation of `source` (same size, not this).
  void dilate(const Bitmap& source, const std::vector<Run>& element);

 private:
  static constexpr int kMaxWords = 4;
  uint64_t* row(int y) { return words_.data() + static_cast<std::ptrdiff_t>(y) * stride_; }
  const uint64_t* row(int y) const { return words_.data() + static_cast<std::ptrdiff_t>(y) * stride_; }

  int size_;
  int stride_;  // words a row
  std::vector<uint64_t> words_;
};

}  // namespace lra::tasks::pathfinder

#endif  // LRA_TASKS_PATHFINDER_RASTER_H
