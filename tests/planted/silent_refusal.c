/* It refuses a value of its option without a word. */
#define ID "silent_refusal"
#define AT_CREATE \
  if (config->options[0] == 2) return LRA_INVALID_ARGUMENT;
#include "tests/planted/planted.h"
