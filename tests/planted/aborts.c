/* Backward gives up. */
#define ID "aborts"
#define AFTER_BACKWARD abort();
#include "tests/planted/planted.h"
