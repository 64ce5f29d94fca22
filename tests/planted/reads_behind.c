/* One row too many of x is read; what is read there is not used. */
#define ID "reads_behind"
#define AFTER_FORWARD \
  for (int64_t c = 0; c < d; ++c) (void)*(volatile const lra_real*)&step->x[n * d + c];
#include "tests/planted/planted.h"
