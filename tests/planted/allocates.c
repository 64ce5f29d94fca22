/* Forward asks for heap memory, and gives it back. */
#define ID "allocates"
#define AFTER_FORWARD                                       \
  lra_real* volatile copy = malloc((size_t)n * sizeof(*y)); \
  if (copy == NULL) return LRA_OUT_OF_MEMORY;               \
  copy[0] = y[0];                                           \
  y[0] = copy[0];                                           \
  free(copy);
#include "tests/planted/planted.h"
