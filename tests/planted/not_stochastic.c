/* Its weights sum to 1.01, against its claim. */
#define ID "not_stochastic"
#define WEIGHT(self, keys) ((lra_real)1.01 / (lra_real)(keys))
#include "tests/planted/planted.h"
