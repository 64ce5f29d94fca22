// Pathfinder images: see snakes.h.
#include "tasks/pathfinder/snakes.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>

#include "core/error.h"

namespace lra::tasks::pathfinder {

namespace {

constexpr double kPi = std::numbers::pi;
constexpr int kAntialias = 2;
constexpr uint8_t kFull = 255;
constexpr int kPaddleTries = 3;      // to place a seed, or the head of an extension
constexpr int kDistractorTries = 5;  // to grow one distractor
constexpr uint8_t kFreeMask = 76;    // 0.3: a seed needs no more mask than this under it
constexpr int kCrossing = 459;       // 1.8: two masks that add up to this cross
constexpr double kDeadEnd = 1e-4;    // sum of weights
constexpr double kCrowded = 0.01;    // share of free pixels under which no distractor starts
constexpr uint8_t kInk = 31;         // of 255: brighter pixels are ink to trace_pixels; one of 16 levels ends here

template <class Round>
Point rounded(double theta, double r, Round round) {
  // Rounded around a whole number, where sin(pi) = 1.2e-16 is lost, and not around 0, where it would count as 1.
  constexpr double kOrigin = 64;
  return {static_cast<int>(round(kOrigin + r * std::sin(theta)) - kOrigin),
          static_cast<int>(round(kOrigin + r * std::cos(theta)) - kOrigin)};
}
Point step(double theta, double r) {
  return rounded(theta, r, [](double v) { return std::ceil(v); });
}
double reversed(double theta) { return theta < 0 ? theta + kPi : theta - kPi; }

// Pixels at distance r from the origin, in reading order.
std::vector<Point> circle(double r) {
  std::vector<Point> points;
  const double degrees = 360 / (2 * kPi * r);  // one pixel of arc
  for (int i = 0; i * degrees < 360; ++i) {
    points.push_back(rounded(i * degrees * kPi / 180, r, [](double v) { return std::floor(v); }));
  }
  std::sort(points.begin(), points.end(), [](Point a, Point b) { return a.y != b.y ? a.y < b.y : a.x < b.x; });
  points.erase(std::unique(points.begin(), points.end()), points.end());
  return points;
}

std::vector<Point> disk(int radius) {
  std::vector<Point> points;
  for (int dy = -radius; dy <= radius; ++dy) {
    for (int dx = -radius; dx <= radius; ++dx) {
      if (dy * dy + dx * dx <= radius * radius) points.push_back({dy, dx});
    }
  }
  return points;
}

double turn_weight(double before, double after, double continuity) {
  const double difference = std::abs(after - before);
  const double turn = std::min(difference, 2 * kPi - difference);
  const double along = std::max(std::cos(std::min(continuity * turn, kPi / 2)), 0.0);
  return along * along;
}

// Calls visit(stamp row, plane row, left, right) for each row of the stamp that lies in the plane when the stamp's
// centre is put at `at`; both pointers stand at the centre's column, left <= dx <= right. Stops when visit says false.
template <class Plane, class Visit>
bool for_rows(const Gray& stamp, Point at, Plane& plane, const Visit& visit) {
  const int reach = stamp.size() / 2, last = plane.size() - 1;
  const int left = std::max(-reach, -at.x), right = std::min(reach, last - at.x);
  for (int dy = std::max(-reach, -at.y); dy <= std::min(reach, last - at.y); ++dy) {
    if (!visit(stamp.row(dy + reach) + reach, plane.row(at.y + dy) + at.x, left, right)) return false;
  }
  return true;
}

// plane = max(plane, stamp)
void paste(const Gray& stamp, Point at, Gray& plane) {
  for_rows(stamp, at, plane, [](const uint8_t* in, uint8_t* out, int left, int right) {
    for (int dx = left; dx <= right; ++dx) out[dx] = std::max(out[dx], in[dx]);
    return true;
  });
}

bool crosses(const Gray& stamp, Point at, const Gray& plane) {
  return !for_rows(stamp, at, plane, [](const uint8_t* in, const uint8_t* there, int left, int right) {
    for (int dx = left; dx <= right; ++dx) {
      if (in[dx] + there[dx] >= kCrossing) return false;
    }
    return true;
  });
}

// bitmap = plane > threshold
void threshold(const Gray& plane, uint8_t limit, Bitmap& bitmap) {
  bitmap.clear();
  for (int y = 0; y < plane.size(); ++y) {
    for (int x = 0; x < plane.size(); ++x) {
      if (plane.row(y)[x] > limit) bitmap.set({y, x});
    }
  }
}

void clear(Gray& plane) { std::fill(plane.pixels().begin(), plane.pixels().end(), uint8_t{0}); }

}  // namespace

struct SnakeGenerator::Snake {
  std::vector<Paddle> paddles;
  Point pivot;  // of the last paddle
};

// The working memory of one image.
struct SnakeGenerator::Canvas {
  explicit Canvas(const Geometry& g)
      : mask(g.window), saved(g.window), ink(g.window), own(g.window), free_of(g.window), blocked(g.window) {}

  void start(int padding) {
    const int last = mask.size() - 1;
    for (int y = 0; y <= last; ++y) {
      for (int x = 0; x <= last; ++x) {
        mask.row(y)[x] = std::min({y, x, last - y, last - x}) < padding ? kFull : 0;
      }
    }
    clear(ink);
  }

  Gray mask;      // of all paddles, but for the last one of a snake that still grows: its successor starts inside it
  Gray saved;     // mask before a distractor
  Gray ink, own;  // what has been drawn, by other snakes and by this one; for the clearance
  Bitmap free_of, blocked;
};

SnakeGenerator::SnakeGenerator(const Geometry& geometry)
    : geometry_(geometry), marker_filter_(kAntialias * geometry.window, geometry.window) {
  for (const int margin : geometry_.margins) tables_.push_back(make_tables(margin));
}

void SnakeGenerator::draw_paddle(int margin, double theta, Angle& angle) const {
  const int reach = geometry_.paddle_length + static_cast<int>(std::ceil(geometry_.thickness)) + margin;
  const Point centre{reach * kAntialias, reach * kAntialias};
  Gray line(2 * reach * kAntialias + 1);
  Gray wide(line.size());
  draw_line(line, centre, centre + step(theta, geometry_.paddle_length * kAntialias),
            static_cast<int>(std::lround(geometry_.thickness * kAntialias)));
  for (int y = 0; y < line.size(); ++y) {
    for (int x = 0; x < line.size(); ++x) {
      if (line.at({y, x}) != 0) draw_disk(wide, {y, x}, margin * kAntialias);
    }
  }
  const Lanczos filter(line.size(), 2 * reach + 1);
  angle.ink = filter.reduce(line);
  angle.mask = filter.reduce(wide);
}

SnakeGenerator::Tables SnakeGenerator::make_tables(int margin) const {
  const int length = geometry_.paddle_length;
  Tables tables;
  tables.dilation = disk(margin);
  for (int degree = -180; degree < 180; ++degree) {
    Angle seed;
    seed.theta = degree * kPi / 180;
    seed.offset = step(seed.theta, length) + step(reversed(seed.theta), length + margin);
    draw_paddle(margin, seed.theta, seed);
    // As published, the mask stands one pixel off the tail here.
    const Gray& mask = seed.mask;
    const int centre = mask.size() / 2 - 1, around = length + margin;
    const uint8_t strongest = *std::max_element(mask.pixels().begin(), mask.pixels().end());
    seed.low = {around, around};
    seed.high = {-around, -around};
    for (int dy = -around; dy <= around; ++dy) {
      for (int dx = -around; dx <= around; ++dx) {
        const Point there{centre + dy, centre + dx};
        if (!mask.contains(there) || mask.at(there) < strongest) continue;
        seed.low = {std::min(seed.low.y, dy), std::min(seed.low.x, dx)};
        seed.high = {std::max(seed.high.y, dy), std::max(seed.high.x, dx)};
        if (!seed.body.empty() && seed.body.back().dy == dy && seed.body.back().last == dx - 1) {
          seed.body.back().last = dx;
        } else {
          seed.body.push_back({dy, dx, dx});
        }
      }
    }
    tables.angles.push_back(std::move(seed));
  }
  for (const Point head : circle(length + margin)) {
    Angle extension;
    extension.theta = std::atan2(head.y, head.x);
    extension.offset = head;
    draw_paddle(margin, reversed(extension.theta), extension);
    tables.angles.push_back(std::move(extension));
  }
  for (Angle& before : tables.angles) {
    before.hop = step(before.theta, length + 2 * margin);
    for (std::size_t i = kSeeds; i < tables.angles.size(); ++i) {
      before.weights.push_back(turn_weight(before.theta, tables.angles[i].theta, geometry_.continuity));
    }
  }
  return tables;
}

bool SnakeGenerator::plant(const Tables& tables, Point tail, int angle, Snake& snake) const {
  const Angle& seed = tables.angles[static_cast<std::size_t>(angle)];
  const Point head = tail + step(seed.theta, geometry_.paddle_length);
  snake.pivot = tail + seed.offset;
  snake.paddles.assign(1, {tail, angle});
  const auto inside = [&](Point p) { return p.y >= 0 && p.x >= 0 && p.y < geometry_.window && p.x < geometry_.window; };
  return inside(tail) && inside(head) && inside(snake.pivot);
}

bool SnakeGenerator::seed_targets(Rng& rng, const Tables& tables, std::array<Snake, 2>& snakes) const {
  const int last = geometry_.window - 1, band = geometry_.seed_band;
  bool planted = false;
  for (int i = 0; i < kPaddleTries && !planted; ++i) {
    const int angle = rng.between(0, kSeeds - 1);
    const Angle& seed = tables.angles[static_cast<std::size_t>(angle)];
    const Point from{std::max(0, band - seed.low.y), std::max(0, band - seed.low.x)};
    const Point to{std::min(last, last - band - seed.high.y), std::min(last, last - band - seed.high.x)};
    if (from.y > to.y || from.x > to.x) return false;
    const int y = rng.between(from.y, to.y);
    planted = plant(tables, {y, rng.between(from.x, to.x)}, angle, snakes[0]);
  }
  if (!planted) return false;
  const Point tail = snakes[0].paddles[0].at;
  for (int i = 0; i < kPaddleTries; ++i) {
    const int angle = rng.between(0, kSeeds - 1);
    const double away = rng.between(0, 359) * kPi / 180;
    const Point other = tail + rounded(away, geometry_.seed_distance, [](double v) { return std::nearbyint(v); });
    if (plant(tables, other, angle, snakes[1])) return true;
  }
  return false;
}

bool SnakeGenerator::seed_distractor(Rng& rng, const Tables& tables, Canvas& canvas, Snake& snake) const {
  const int pixels = geometry_.window * geometry_.window, last = geometry_.window - 1;
  threshold(canvas.mask, kFreeMask, canvas.blocked);
  if (pixels - canvas.blocked.count() < kCrowded * pixels) return false;
  for (int i = 0; i <= last; ++i) {
    for (const Point edge : {Point{0, i}, Point{last, i}, Point{i, 0}, Point{i, last}}) canvas.blocked.set(edge);
  }
  for (int i = 0; i < kPaddleTries; ++i) {
    const int angle = rng.between(0, kSeeds - 1);
    canvas.free_of.dilate(canvas.blocked, tables.angles[static_cast<std::size_t>(angle)].body);
    const int free = pixels - canvas.free_of.count();
    if (free == 0) return false;
    if (plant(tables, canvas.free_of.zero(rng.between(0, free - 1)), angle, snake)) return true;
  }
  return false;
}

bool SnakeGenerator::extend(Rng& rng, const Tables& tables, Canvas& canvas, Snake& snake) const {
  const Paddle before = snake.paddles.back();
  const Angle& direction = tables.angles[static_cast<std::size_t>(before.angle)];
  const Point pivot = snake.pivot + direction.hop;
  const std::size_t extensions = direction.weights.size();
  std::array<double, 128> cumulative;
  LRA_ASSERT(extensions <= cumulative.size());
  double total = 0;
  for (std::size_t i = 0; i < extensions; ++i) {
    const Point head = pivot + tables.angles[kSeeds + i].offset;
    if (direction.weights[i] > 0 && canvas.mask.contains(head)) {
      uint8_t dilated = 0;
      for (const Point offset : tables.dilation) {
        const Point near = head + offset;
        if (canvas.mask.contains(near)) dilated = std::max(dilated, canvas.mask.at(near));
      }
      total += direction.weights[i] * (kFull - dilated) / kFull;
    }
    cumulative[i] = total;
  }
  if (total < kDeadEnd) return false;
  for (int i = 0; i < kPaddleTries; ++i) {
    const double drawn = rng.uniform() * total;
    const auto* const end = cumulative.data() + extensions;
    const auto chosen = std::upper_bound(static_cast<const double*>(cumulative.data()), end, drawn) - cumulative.data();
    const int angle = kSeeds + static_cast<int>(std::min<std::ptrdiff_t>(chosen, end - cumulative.data() - 1));
    const Angle& extension = tables.angles[static_cast<std::size_t>(angle)];
    const Point head = pivot + extension.offset;
    if (crosses(extension.mask, head, canvas.mask)) continue;
    paste(direction.mask, before.at, canvas.mask);
    snake.paddles.push_back({head, angle});
    snake.pivot = pivot;
    return true;
  }
  return false;
}

bool SnakeGenerator::keeps_clear(const Tables& tables, Canvas& canvas, const Snake& snake) const {
  const int c = geometry_.clearance;
  if (c == 0) return true;
  clear(canvas.own);
  for (const Paddle& p : snake.paddles) paste(tables.angles[static_cast<std::size_t>(p.angle)].ink, p.at, canvas.own);
  threshold(canvas.own, kInk, canvas.blocked);
  canvas.free_of.flood(canvas.blocked, snake.paddles.back().at);
  if (canvas.free_of.count() < canvas.blocked.count()) return false;
  std::vector<Bitmap::Run> square;
  for (int dy = -c; dy <= c; ++dy) square.push_back({dy, -c, c});
  canvas.free_of.dilate(canvas.blocked, square);
  threshold(canvas.ink, kInk, canvas.blocked);
  if (canvas.blocked.intersects(canvas.free_of)) return false;
  for (const Paddle& p : snake.paddles) paste(tables.angles[static_cast<std::size_t>(p.angle)].ink, p.at, canvas.ink);
  return true;
}

bool SnakeGenerator::grow_targets(Rng& rng, const Tables& tables, Canvas& canvas, std::array<Snake, 2>& snakes) const {
  canvas.start(geometry_.padding);
  if (!seed_targets(rng, tables, snakes)) return false;
  for (int i = 1; i < geometry_.contour_length; ++i) {
    for (Snake& snake : snakes) {
      if (!extend(rng, tables, canvas, snake)) return false;
    }
  }
  // As published, the last paddle of the first snake never enters the mask.
  const Paddle& last = snakes[1].paddles.back();
  paste(tables.angles[static_cast<std::size_t>(last.angle)].mask, last.at, canvas.mask);
  return true;
}

bool SnakeGenerator::grow_distractor(Rng& rng, const Tables& tables, Canvas& canvas, Snake& snake) const {
  if (!seed_distractor(rng, tables, canvas, snake)) return false;
  for (int i = 1; i < geometry_.distractor_length; ++i) {
    if (!extend(rng, tables, canvas, snake)) return false;
  }
  const Paddle& last = snake.paddles.back();
  paste(tables.angles[static_cast<std::size_t>(last.angle)].mask, last.at, canvas.mask);
  return keeps_clear(tables, canvas, snake);
}

bool SnakeGenerator::draw(uint64_t key, int64_t tries, Sample& sample) const {
  Rng rng(key);
  sample.label = static_cast<int32_t>(rng.below(2));
  sample.margin = static_cast<int>(rng.below(static_cast<uint32_t>(tables_.size())));
  const std::size_t origin = rng.below(2), far = sample.label == 1 ? origin : 1 - origin;
  const Tables& tables = tables_[static_cast<std::size_t>(sample.margin)];
  Canvas canvas(geometry_);
  std::array<Snake, 2> snakes;
  const auto acceptable = [&] {
    if (!grow_targets(rng, tables, canvas, snakes)) return false;
    const Point tail = snakes[origin].paddles.front().at;
    const double own = distance(tail, snakes[origin].paddles.back().at);
    const double other = distance(tail, snakes[1 - origin].paddles.back().at);
    return std::abs(own - other) <= geometry_.distance_gap && keeps_clear(tables, canvas, snakes[0]) &&
           keeps_clear(tables, canvas, snakes[1]);
  };
  for (sample.untraceable = 0; tries > 0; --tries) {
    if (!acceptable()) continue;
    sample.markers = {snakes[origin].paddles.front().at, snakes[far].paddles.back().at};
    sample.paddles = snakes[0].paddles;
    sample.paddles.insert(sample.paddles.end(), snakes[1].paddles.begin(), snakes[1].paddles.end());
    sample.target_paddles = sample.paddles.size();
    if (trace(sample) == sample.label) {
      add_distractors(rng, tables, canvas, sample);
      render(tables, sample);
      if (geometry_.clearance == 0 || trace_pixels(sample) == sample.label) return true;
    }
    ++sample.untraceable;
  }
  return false;
}

void SnakeGenerator::add_distractors(Rng& rng, const Tables& tables, Canvas& canvas, Sample& sample) const {
  Snake distractor;
  for (int i = 0; i < geometry_.distractors; ++i) {
    for (int j = 0; j < kDistractorTries; ++j) {
      canvas.saved = canvas.mask;
      if (grow_distractor(rng, tables, canvas, distractor)) {
        sample.paddles.insert(sample.paddles.end(), distractor.paddles.begin(), distractor.paddles.end());
        break;
      }
      std::swap(canvas.mask, canvas.saved);
    }
  }
}

void SnakeGenerator::render(const Tables& tables, Sample& sample) const {
  const int window = geometry_.window;
  Gray targets(window), distractors(window), markers(window), spot(window), blown(kAntialias * window);
  for (std::size_t i = 0; i < sample.paddles.size(); ++i) {
    const Paddle& paddle = sample.paddles[i];
    paste(tables.angles[static_cast<std::size_t>(paddle.angle)].ink, paddle.at,
          i < sample.target_paddles ? targets : distractors);
  }
  std::vector<uint8_t> scratch;
  for (const Point marker : sample.markers) {
    clear(blown);
    clear(spot);
    draw_disk(blown, {kAntialias * marker.y, kAntialias * marker.x}, geometry_.marker_radius * kAntialias);
    constexpr int kRinging = 4;  // the filter reaches three pixels further than the disk
    const int reach = static_cast<int>(std::ceil(geometry_.marker_radius)) + kRinging;
    marker_filter_.reduce(blown, spot, marker, reach, scratch);
    for (std::size_t i = 0; i < spot.pixels().size(); ++i) {
      markers.pixels()[i] = std::max(markers.pixels()[i], spot.pixels()[i]);
    }
  }
  const auto value = [&](std::size_t i) {
    return std::max({targets.pixels()[i] * geometry_.target_contrast,
                     distractors.pixels()[i] * geometry_.distractor_contrast, 1.0 * markers.pixels()[i]});
  };
  double low = value(0), high = low;
  const std::size_t pixels = targets.pixels().size();
  for (std::size_t i = 1; i < pixels; ++i) {
    low = std::min(low, value(i));
    high = std::max(high, value(i));
  }
  sample.image = Gray(window);
  for (std::size_t i = 0; i < pixels; ++i) {
    sample.image.pixels()[i] = static_cast<uint8_t>((value(i) - low) * (kFull / (high - low)) + 0.5);
  }
}

int32_t SnakeGenerator::trace_pixels(const Sample& sample) const {
  Bitmap ink(geometry_.window), joined(geometry_.window);
  threshold(sample.image, kInk, ink);
  joined.flood(ink, sample.markers[0]);
  return joined.at(sample.markers[1]) ? 1 : 0;
}

int32_t SnakeGenerator::trace(const Sample& sample) const {
  const Tables& tables = tables_[static_cast<std::size_t>(sample.margin)];
  const auto angle_of = [&](const Paddle& p) -> const Angle& {
    return tables.angles[static_cast<std::size_t>(p.angle)];
  };
  const auto first = sample.paddles.begin(), last = first + static_cast<std::ptrdiff_t>(sample.target_paddles);
  auto paddle =
      std::find_if(first, last, [&](const Paddle& p) { return p.angle < kSeeds && p.at == sample.markers[0]; });
  if (paddle == last) return kUntraceable;
  Point pivot = paddle->at + angle_of(*paddle).offset;
  for (int length = 2; length <= geometry_.contour_length; ++length) {
    pivot = pivot + angle_of(*paddle).hop;
    const auto starts_here = [&](const Paddle& p) { return p.angle >= kSeeds && p.at - angle_of(p).offset == pivot; };
    paddle = std::find_if(first, last, starts_here);
    if (paddle == last || std::find_if(paddle + 1, last, starts_here) != last) return kUntraceable;
  }
  return paddle->at == sample.markers[1] ? 1 : 0;
}

}  // namespace lra::tasks::pathfinder
