/* It has the option exact_gradients, which changes nothing. */
#define ID "idle_switch"
#define OPTIONS \
  { "exact_gradients", "does nothing", 0, 0, 1, 0, LRA_OPTION_INTEGER }
#include "tests/planted/planted.h"
