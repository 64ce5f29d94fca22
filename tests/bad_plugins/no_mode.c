/* Neither causal nor bidirectional. */
#define FLAGS 0
#define DESCRIPTOR_ID "no_mode"
#include "minimal.h"
