/* Two options of one name. */
#define OPTIONS \
  {"rank", "a", 1, 0, 2, 0, LRA_OPTION_NUMBER}, { "rank", "b", 1, 0, 2, 0, LRA_OPTION_NUMBER }
#define DESCRIPTOR_ID "option_twice"
#include "minimal.h"
