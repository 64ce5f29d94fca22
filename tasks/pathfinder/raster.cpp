// Drawing for Pathfinder: see raster.h.
#include "tasks/pathfinder/raster.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <numbers>

#include "core/error.h"

namespace lra::tasks::pathfinder {

namespace {

constexpr uint8_t kWhite = 255;
constexpr int kKernelBits = 22;
constexpr double kLobes = 3.0;

// Nearest integer; halves go away from zero, or towards it.
int nearest_away(double v) { return static_cast<int>(std::copysign(std::floor(std::abs(v) + 0.5), v)); }
int nearest_towards(double v) { return static_cast<int>(std::copysign(std::ceil(std::abs(v) - 0.5), v)); }

double lanczos(double x) {
  if (x == 0) return 1;
  if (std::abs(x) >= kLobes) return 0;
  const double t = std::numbers::pi * x;
  return std::sin(t) / t * std::sin(t / kLobes) / (t / kLobes);
}

uint8_t round_to_byte(int32_t sum) {
  return static_cast<uint8_t>(std::clamp((sum + (1 << (kKernelBits - 1))) >> kKernelBits, 0, 255));
}

void plot(Gray& image, Point p) {
  if (image.contains(p)) image.at(p) = kWhite;
}

void thin_line(Gray& image, Point from, Point to) {
  const Point span{std::abs(to.y - from.y), std::abs(to.x - from.x)};
  const bool steep = span.y >= span.x;
  const int along = std::max(span.y, span.x), across = std::min(span.y, span.x);
  const Point sign{to.y > from.y ? 1 : -1, to.x > from.x ? 1 : -1};
  const Point step = steep ? Point{sign.y, 0} : Point{0, sign.x};
  const Point side = steep ? Point{0, sign.x} : Point{sign.y, 0};
  Point p = from;
  int error = 2 * across - along;
  for (int i = 0; i < along; ++i, p = p + step, error += 2 * across) {
    plot(image, p);
    if (across > 0 && error >= 0) {
      p = p + side;
      error -= 2 * along;
    }
  }
  plot(image, to);
}

// A row of a convex polygon reaches from its leftmost to its rightmost crossing, both rounded inwards at halves.
void fill_convex(Gray& image, const std::array<Point, 4>& corners) {
  const auto [top, bottom] =
      std::minmax_element(corners.begin(), corners.end(), [](Point a, Point b) { return a.y < b.y; });
  for (int y = top->y; y <= bottom->y; ++y) {
    double left = image.size(), right = -1;
    for (std::size_t i = 0; i < corners.size(); ++i) {
      const Point a = corners[i], b = corners[(i + 1) % corners.size()];
      if (y < std::min(a.y, b.y) || y > std::max(a.y, b.y)) continue;
      const auto cross = [&](double x) {
        left = std::min(left, x);
        right = std::max(right, x);
      };
      if (a.y == b.y) {
        cross(a.x);
        cross(b.x);
      } else {
        cross(a.x + static_cast<double>(y - a.y) * (b.x - a.x) / (b.y - a.y));
      }
    }
    for (int x = nearest_away(left); x <= nearest_towards(right); ++x) plot(image, {y, x});
  }
}

// out(x) = in(x + shift); bits beyond either end are 0.
void shift_row(const uint64_t* in, int in_words, uint64_t* out, int out_words, int shift) {
  const int whole = shift >= 0 ? shift / 64 : -((-shift + 63) / 64);
  const int bits = shift - 64 * whole;
  const auto word = [&](int i) { return i >= 0 && i < in_words ? in[i] : uint64_t{0}; };
  for (int i = 0; i < out_words; ++i) {
    const uint64_t low = word(i + whole) >> bits;
    out[i] = bits == 0 ? low : low | (word(i + whole + 1) << (64 - bits));
  }
}

}  // namespace

void draw_line(Gray& image, Point from, Point to, int width) {
  if (width == 1 || from == to) {
    thin_line(image, from, to);
    return;
  }
  const double dy = to.y - from.y, dx = to.x - from.x;
  const double length = std::hypot(dy, dx), half = (width - 1) / 2.0;
  const double wide = nearest_away(half) / length, narrow = nearest_towards(half) / length;
  const Point one{nearest_away(wide * dx), -nearest_towards(narrow * dy)};
  const Point other{-nearest_towards(narrow * dx), nearest_towards(wide * dy)};
  fill_convex(image, {from + one, to + one, to + other, from + other});
}

void draw_disk(Gray& image, Point centre, double radius) {
  const int reach = static_cast<int>(radius);
  for (int dy = -reach; dy <= reach; ++dy) {
    for (int dx = -reach; dx <= reach; ++dx) {
      if (dy * dy + dx * dx <= radius * radius) plot(image, centre + Point{dy, dx});
    }
  }
}

Lanczos::Lanczos(int in, int out) {
  const double scale = static_cast<double>(in) / out;
  LRA_ASSERT(scale >= 1);
  for (int i = 0; i < out; ++i) {
    const double centre = (i + 0.5) * scale;
    const int first = std::max(0, static_cast<int>(centre - kLobes * scale + 0.5));
    const int last = std::min(in, static_cast<int>(centre + kLobes * scale + 0.5));
    std::vector<double> weights;
    double total = 0;
    for (int x = first; x < last; ++x) {
      weights.push_back(lanczos((x - centre + 0.5) / scale));
      total += weights.back();
    }
    Taps taps;
    taps.first = first;
    for (const double w : weights) taps.weights.push_back(nearest_away(w / total * (1 << kKernelBits)));
    taps_.push_back(std::move(taps));
  }
}

void Lanczos::reduce(const Gray& source, Gray& target, Point centre, int reach, std::vector<uint8_t>& scratch) const {
  const int size = target.size();
  LRA_ASSERT(static_cast<int>(taps_.size()) == size);
  const int top = std::max(0, centre.y - reach), bottom = std::min(size - 1, centre.y + reach);
  const int left = std::max(0, centre.x - reach), right = std::min(size - 1, centre.x + reach);
  if (top > bottom || left > right) return;
  const auto& last_taps = taps_[static_cast<std::size_t>(bottom)];
  const int first_row = taps_[static_cast<std::size_t>(top)].first;
  const int last_row = last_taps.first + static_cast<int>(last_taps.weights.size());
  const int columns = right - left + 1;
  scratch.resize(static_cast<std::size_t>(last_row - first_row) * static_cast<std::size_t>(columns));
  for (int y = first_row; y < last_row; ++y) {
    uint8_t* const out = scratch.data() + static_cast<std::ptrdiff_t>(y - first_row) * columns;
    for (int x = left; x <= right; ++x) {
      const Taps& taps = taps_[static_cast<std::size_t>(x)];
      const uint8_t* const in = source.row(y) + taps.first;
      int32_t sum = 0;
      for (std::size_t k = 0; k < taps.weights.size(); ++k) sum += taps.weights[k] * in[k];
      out[x - left] = round_to_byte(sum);
    }
  }
  for (int y = top; y <= bottom; ++y) {
    const Taps& taps = taps_[static_cast<std::size_t>(y)];
    const uint8_t* const in = scratch.data() + static_cast<std::ptrdiff_t>(taps.first - first_row) * columns;
    for (int x = 0; x < columns; ++x) {
      int32_t sum = 0;
      for (std::size_t k = 0; k < taps.weights.size(); ++k) {
        sum += taps.weights[k] * in[static_cast<std::ptrdiff_t>(k) * columns + x];
      }
      target.row(y)[left + x] = round_to_byte(sum);
    }
  }
}

Gray Lanczos::reduce(const Gray& source) const {
  Gray target(static_cast<int>(taps_.size()));
  std::vector<uint8_t> scratch;
  reduce(source, target, {0, 0}, target.size(), scratch);
  return target;
}

Bitmap::Bitmap(int size)
    : size_(size),
      stride_((size + 63) / 64),
      words_(static_cast<std::size_t>(size) * static_cast<std::size_t>(stride_)) {
  LRA_ASSERT(stride_ <= kMaxWords);
}

void Bitmap::clear() { std::fill(words_.begin(), words_.end(), 0); }

int Bitmap::count() const {
  int total = 0;
  for (const uint64_t word : words_) total += std::popcount(word);
  return total;
}

bool Bitmap::intersects(const Bitmap& other) const {
  for (std::size_t i = 0; i < words_.size(); ++i) {
    if ((words_[i] & other.words_[i]) != 0) return true;
  }
  return false;
}

void Bitmap::flood(const Bitmap& source, Point start) {
  clear();
  std::vector<Point> reached{start};
  while (!reached.empty()) {
    const Point p = reached.back();
    reached.pop_back();
    if (!source.contains(p) || !source.at(p) || at(p)) continue;
    set(p);
    for (int dy = -1; dy <= 1; ++dy) {
      for (int dx = -1; dx <= 1; ++dx) reached.push_back(p + Point{dy, dx});
    }
  }
}

Point Bitmap::zero(int index) const {
  for (int y = 0; y < size_; ++y) {
    for (int x = 0; x < size_; ++x) {
      if (!at({y, x}) && index-- == 0) return {y, x};
    }
  }
  LRA_ASSERT(false);
}

void Bitmap::dilate(const Bitmap& source, const std::vector<Run>& element) {
  LRA_ASSERT(source.size_ == size_);
  clear();
  const uint64_t tail = size_ % 64 == 0 ? ~uint64_t{0} : (uint64_t{1} << (size_ % 64)) - 1;
  // One word more than a row: what a shift to the right pushes out of the image is still needed for the doubling.
  std::array<uint64_t, kMaxWords + 1> reached{}, moved{};
  for (const Run& run : element) {
    LRA_ASSERT(run.first > -64 && run.last < 64);
    for (int y = std::max(0, -run.dy); y < std::min(size_, size_ - run.dy); ++y) {
      shift_row(source.row(y + run.dy), stride_, reached.data(), stride_ + 1, run.first);
      // The OR of n neighbours from the OR of n / 2.
      for (int have = 1, want = run.last - run.first + 1; have < want;) {
        const int more = std::min(have, want - have);
        shift_row(reached.data(), stride_ + 1, moved.data(), stride_ + 1, more);
        for (std::size_t i = 0; i < reached.size(); ++i) reached[i] |= moved[i];
        have += more;
      }
      for (int i = 0; i < stride_; ++i) row(y)[i] |= reached[static_cast<std::size_t>(i)];
      row(y)[stride_ - 1] &= tail;
    }
  }
}

}  // namespace lra::tasks::pathfinder
