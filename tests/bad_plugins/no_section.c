/* A shared library without a descriptor. */
#define NO_DESCRIPTOR
#include "minimal.h"
