// Pathfinder geometries: see geometry.h.
#include "tasks/pathfinder/geometry.h"

namespace lra::tasks::pathfinder {

namespace {

Geometry published(int window, Difficulty difficulty) {
  Geometry g;
  g.window = window;
  g.padding = window == 256 ? 22 : 1;
  g.paddle_length = window == 32 ? 2 : 5;
  g.continuity = window == 32 ? 1.0 : 1.8;
  g.contour_length = difficulty == Difficulty::kEasy ? 6 : difficulty == Difficulty::kIntermediate ? 9 : 14;
  g.distractor_length = g.contour_length / 3;
  int distractor_paddles = 0;
  if (window == 32) {
    g.margins = {1};
    g.thickness = 0.5;
    g.marker_radius = 1.5;
    g.seed_distance = 7;
    g.target_contrast = 1.5;
    g.distractor_contrast = 2;
    distractor_paddles = 20;
  } else if (window == 64) {
    g.margins = {1};
    g.thickness = 1;
    g.marker_radius = 2.5;
    g.seed_distance = 12;
    g.target_contrast = g.distractor_contrast = 0.8;
    distractor_paddles = 22;
  } else if (window == 128) {
    g.margins = {2, 3};
    g.thickness = 1.5;
    g.marker_radius = 3;
    g.seed_distance = 20;
    g.target_contrast = g.distractor_contrast = 0.9;
    distractor_paddles = 35;
  } else {
    g.margins = {3};
    g.thickness = 2;
    g.marker_radius = 5;
    g.seed_distance = 27;
    distractor_paddles = 30;
  }
  g.distractors = distractor_paddles / g.distractor_length;
  g.seed_band = 2 * g.seed_distance;
  return g;
}

// A gap between paddles would be as wide as the space between snakes here, and nobody could tell which is which: so
// no gaps, and two pixels of background between snakes. A line this thin is about half as bright as a marker.
Geometry small(int window, Difficulty difficulty) {
  Geometry g;
  g.window = window;
  g.seed_distance = window / 3;
  g.margins = {0};
  g.paddle_length = 3;
  g.thickness = 0.5;
  g.marker_radius = 1;
  g.contour_length = window / 4 + (difficulty == Difficulty::kHard ? 1 : 0);
  g.distractor_length = 1;
  g.distractors = difficulty == Difficulty::kEasy ? 0 : window / 8;
  g.clearance = 2;
  return g;
}

}  // namespace

Geometry Geometry::of(int window, Difficulty difficulty) {
  return window < 32 ? small(window, difficulty) : published(window, difficulty);
}

}  // namespace lra::tasks::pathfinder
