/* y is divided and multiplied by the size of the first row of x. */
#define ID "zero_over_zero"
#define AFTER_FORWARD                                              \
  lra_real size = 0;                                               \
  for (int64_t c = 0; c < d; ++c) size += step->x[c] * step->x[c]; \
  for (int64_t c = 0; c < n * d; ++c) y[c] = y[c] / size * size;
#include "tests/planted/planted.h"
