/* Every second instance declares another parameter. */
#define ID "fickle"
#define AT_CREATE  \
  static int made; \
  if (made++ % 2 == 1) param(d, "sometimes", 1, 1, LRA_PARAM_BUFFER, LRA_INIT_ZERO);
#include "tests/planted/planted.h"
