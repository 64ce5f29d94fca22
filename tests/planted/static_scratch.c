/* What backward needs is kept in one array for all sequences, so that two at once mix up. */
#define _POSIX_C_SOURCE 200809L
#include <sched.h>
#define ID "static_scratch"
#define AFTER_FORWARD                                      \
  static lra_real shared[1 << 14];                         \
  if (n * d <= 1 << 14) {                                  \
    memcpy(shared, y, (size_t)(n * d) * sizeof(lra_real)); \
    sched_yield();                                         \
    memcpy(y, shared, (size_t)(n * d) * sizeof(lra_real)); \
  }
#include "tests/planted/planted.h"
