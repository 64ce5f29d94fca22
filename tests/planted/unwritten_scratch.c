/* Scratch is read before it is written, on the belief that it starts as zeros. */
#define ID "unwritten_scratch"
#define AFTER_FORWARD y[0] += REALS(step->scratch[self->spare])[0];
#include "tests/planted/planted.h"
