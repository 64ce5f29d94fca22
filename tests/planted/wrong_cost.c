/* It declares half of the FLOPs that it does. */
#define ID "wrong_cost"
#define COST_FACTOR 0.5
#include "tests/planted/planted.h"
