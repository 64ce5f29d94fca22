// How large and how many: the published Pathfinder geometries, and smaller ones of our own.
#ifndef LRA_TASKS_PATHFINDER_GEOMETRY_H
#define LRA_TASKS_PATHFINDER_GEOMETRY_H

#include <limits>
#include <vector>

namespace lra::tasks::pathfinder {

enum class Difficulty { kEasy, kIntermediate, kHard };

// Lengths in pixels; the lengths of snakes in paddles.
struct Geometry {
  int window = 0;            // the image is window x window
  int padding = 0;           // no paddle comes closer to the border
  int seed_band = 0;         // the first paddle lies at least this far from the border
  int seed_distance = 0;     // between the tails of the two target snakes
  std::vector<int> margins;  // one of them is drawn for each image; the gap between paddles of a snake is twice that
  int paddle_length = 0;
  double thickness = 0;
  double marker_radius = 0;
  double continuity = 1;  // the larger, the straighter
  int contour_length = 0;
  int distractor_length = 0, distractors = 0;
  double target_contrast = 1, distractor_contrast = 1;  // markers have 1
  int clearance = 0;  // least number of background pixels between two snakes; 0: only the masks of the paddles count
  // Largest difference between the distances from the first marker to the two far ends, one of which gets the second.
  double distance_gap = std::numeric_limits<double>::infinity();

  // Windows of 32, 64, 128 and 256: as Long Range Arena documents them for `difficulty`, that is 6, 9 or 14 paddles a
  // snake. Windows of 12, 16, 20 and 24: unbroken snakes that do not touch; window / 4 paddles each, one more if hard;
  // distractors of one paddle unless easy.
  static Geometry of(int window, Difficulty difficulty);
};

}  // namespace lra::tasks::pathfinder

#endif  // LRA_TASKS_PATHFINDER_GEOMETRY_H
