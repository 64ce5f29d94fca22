/* An option whose default lies outside its bounds. */
#define OPTIONS \
  { "rank", "rows kept", 5, 0, 2, 0, LRA_OPTION_INTEGER }
#define DESCRIPTOR_ID "option_bounds"
#include "minimal.h"
