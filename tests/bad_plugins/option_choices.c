/* A choice whose bounds do not fit its words. */
#define OPTIONS \
  { "mode", "how", 0, 0, 7, "fast|slow", LRA_OPTION_CHOICE }
#define DESCRIPTOR_ID "option_choices"
#include "minimal.h"
