/* The descriptor does not start with the magic word. */
#define DESCRIPTOR_MAGIC "LRAPLUG9"
#include "minimal.h"
