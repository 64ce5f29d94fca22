/* An id with a capital and a hyphen. */
#define DESCRIPTOR_ID "Bad-Id"
#include "minimal.h"
