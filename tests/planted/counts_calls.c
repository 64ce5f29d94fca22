/* The result depends on how often the library was called. */
#define ID "counts_calls"
#define AFTER_FORWARD \
  static int calls;   \
  y[0] += (lra_real)1e-3 * (lra_real)(__atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED) % 1000);
#include "tests/planted/planted.h"
