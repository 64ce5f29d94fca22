/* Every instance keeps 4 KiB for ever. */
#define ID "leaks_memory"
#define AT_CREATE                             \
  static void* kept;                          \
  void** more = malloc(4096);                 \
  if (more == NULL) return LRA_OUT_OF_MEMORY; \
  *more = kept;                               \
  kept = more;
#include "tests/planted/planted.h"
