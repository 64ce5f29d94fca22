/* One row too many of o is written. */
#define ID "writes_behind"
#define AFTER_FORWARD \
  for (int64_t c = 0; c < q; ++c) o[self->max_len * q + c] = 0;
#include "tests/planted/planted.h"
