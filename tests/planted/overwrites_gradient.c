/* dW_v is overwritten where it should be added to. */
#define ID "overwrites_gradient"
#define BEFORE_BACKWARD memset(dparams[self->wv], 0, (size_t)(d * q) * sizeof(lra_real));
#include "tests/planted/planted.h"
