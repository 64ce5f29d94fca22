/* A row before the first is written. */
#define ID "writes_before"
#define AFTER_FORWARD \
  for (int64_t c = 0; c < q; ++c) v[c - q] = 0;
#include "tests/planted/planted.h"
