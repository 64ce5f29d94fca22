/* The last number of a sequence is added to the next one's result. */
#define ID "remembers"
#define AFTER_FORWARD   \
  static lra_real last; \
  y[0] += last;         \
  last = step->x[n * d - 1];
#include "tests/planted/planted.h"
