/* dW_v has the wrong sign: it is added once and taken away twice. */
#define ID "sign_error"
#define AFTER_BACKWARD multiply(self, d, q, n, step->x, 1, dv, 0, -2, 1, dparams[self->wv]);
#include "tests/planted/planted.h"
