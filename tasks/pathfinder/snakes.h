// Pathfinder images: two winding contours ("snakes") of short bars ("paddles"), short distractor snakes, two markers.
// Label 1 if the markers sit on the two ends of one snake, 0 if on an end of each.
//
// The algorithm is that of Linsley et al. 2018 as their generator stood in 2019, which made Long Range Arena's images.
// L paddle length, m margin, theta = atan2(dy, dx), step(theta, r) = ceil(r (sin theta, cos theta)).
//   paddle      a line of length L from a point along theta; its mask is that line widened by m
//   first seed  tail anywhere in a square in the middle, head = tail + step(theta, L), pivot = head - step(theta, L +
//   m) other seed  tail at seed_distance from the first tail, in any direction extension   pivot += step(theta, L +
//   2m); head: one of the pixels at distance L + m from the pivot, drawn with weight
//               cos^2(min(continuity * turn, pi / 2)) (1 - dilated mask at the head); theta := direction of the head
// The two snakes grow in turn; a dead end of either starts both again. Distractors grow in what is free afterwards.
// Unlike the published generator, a pair whose snakes share a joint or an end, so that the label cannot be read off the
// image, is thrown away: 2 % of the pairs at 32 easy, 8 % at 32 hard, less than 1 % at 64 and above.
// A pixel is the largest contrast * paddle or marker over it; the image is then stretched to 0..255.
#ifndef LRA_TASKS_PATHFINDER_SNAKES_H
#define LRA_TASKS_PATHFINDER_SNAKES_H

#include <array>
#include <cstdint>
#include <vector>

#include "core/rng.h"
#include "tasks/pathfinder/geometry.h"
#include "tasks/pathfinder/raster.h"

namespace lra::tasks::pathfinder {

// A paddle that was drawn.
struct Paddle {
  Point at;       // the tail of a seed, the head of an extension
  int angle = 0;  // index into the tables of SnakeGenerator
};

struct Sample {
  int32_t label = 0;
  int margin = 0;                // index into Geometry::margins
  std::array<Point, 2> markers;  // the tail of a target, and the far end of that one or of the other
  std::vector<Paddle> paddles;   // of the targets, in the order drawn, then of the distractors
  std::size_t target_paddles = 0;
  Gray image{0};
  int64_t untraceable = 0;  // pairs of targets that were thrown away because trace() did not give their label
  double marker_distance() const { return distance(markers[0], markers[1]); }
};

// Immutable after construction: any number of threads may draw from it.
class SnakeGenerator {
 public:
  // Draws every paddle there can be once: for each margin, the seeds at whole degrees and the extensions.
  explicit SnakeGenerator(const Geometry& geometry);

  const Geometry& geometry() const { return geometry_; }
  // The sample of `key`, or false if `tries` pairs of targets all failed.
  bool draw(uint64_t key, int64_t tries, Sample& sample) const;
  // The label that the paddles show: hops from the first marker, contour_length paddles far, each time to the paddle of
  // either target that starts where the last one leads to. 1 if that ends at the second marker, 0 if elsewhere,
  // kUntraceable if the way ends early or forks.
  int32_t trace(const Sample& sample) const;
  static constexpr int32_t kUntraceable = -1;
  // The label that the pixels show where snakes are unbroken and keep their clearance: 1 if ink joins the two markers.
  int32_t trace_pixels(const Sample& sample) const;

 private:
  struct Angle {
    double theta = 0;
    Point offset;                 // seed: tail to pivot; extension: pivot to head
    Point hop;                    // pivot to the next pivot
    Gray ink{0}, mask{0};         // centred on Paddle::at
    std::vector<double> weights;  // of a turn to each extension
    // Seeds: the strongest pixels of the mask as offsets from the tail, and the corners of the box around them.
    std::vector<Bitmap::Run> body;
    Point low, high;
  };
  static constexpr int kSeeds = 360;
  struct Tables {
    std::vector<Angle> angles;    // kSeeds seeds, then the extensions
    std::vector<Point> dilation;  // disk of the margin
  };
  struct Snake;
  struct Canvas;

  Tables make_tables(int margin) const;
  void draw_paddle(int margin, double theta, Angle& angle) const;
  bool plant(const Tables& tables, Point tail, int angle, Snake& snake) const;
  bool seed_targets(Rng& rng, const Tables& tables, std::array<Snake, 2>& snakes) const;
  bool seed_distractor(Rng& rng, const Tables& tables, Canvas& canvas, Snake& snake) const;
  bool extend(Rng& rng, const Tables& tables, Canvas& canvas, Snake& snake) const;
  bool grow_targets(Rng& rng, const Tables& tables, Canvas& canvas, std::array<Snake, 2>& snakes) const;
  bool grow_distractor(Rng& rng, const Tables& tables, Canvas& canvas, Snake& snake) const;
  void add_distractors(Rng& rng, const Tables& tables, Canvas& canvas, Sample& sample) const;
  // Where a clearance is asked for: whether `snake` is one unbroken piece and keeps its clearance from the ink so far;
  // its own is added if it does.
  bool keeps_clear(const Tables& tables, Canvas& canvas, const Snake& snake) const;
  void render(const Tables& tables, Sample& sample) const;

  Geometry geometry_;
  std::vector<Tables> tables_;  // one for each margin
  Lanczos marker_filter_;
};

}  // namespace lra::tasks::pathfinder

#endif  // LRA_TASKS_PATHFINDER_SNAKES_H
