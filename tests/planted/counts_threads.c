/* The result depends on the number of threads. */
#define ID "counts_threads"
#define AFTER_FORWARD y[0] += (lra_real)1e-4 * (lra_real)self->workers;
#include "tests/planted/planted.h"
