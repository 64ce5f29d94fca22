/* Another library with the id of minimal.c. */
#include "minimal.h"
