// What the options of the tasks pathfinder and pathx mean.
#ifndef LRA_TASKS_PATHFINDER_PICTURES_H
#define LRA_TASKS_PATHFINDER_PICTURES_H

#include "core/options.h"
#include "tasks/pathfinder/geometry.h"

namespace lra::tasks::pathfinder {

// Window, difficulty, and what the user changed of them.
Geometry geometry_of(const Options& options);

}  // namespace lra::tasks::pathfinder

#endif  // LRA_TASKS_PATHFINDER_PICTURES_H
