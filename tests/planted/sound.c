/* No fault: everything passes. */
#define ID "sound"
#include "tests/planted/planted.h"
