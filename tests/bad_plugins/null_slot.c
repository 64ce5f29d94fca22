/* No backward. */
#define BACKWARD 0
#define DESCRIPTOR_ID "null_slot"
#include "minimal.h"
