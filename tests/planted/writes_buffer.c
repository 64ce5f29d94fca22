/* A buffer is moved in backward instead of after_step. */
#define ID "writes_buffer"
#define AFTER_BACKWARD ((lra_real*)step->params[self->table])[0] += 1;
#include "tests/planted/planted.h"
