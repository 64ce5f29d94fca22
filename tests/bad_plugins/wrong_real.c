/* Built with another scalar type. */
#define REAL_BYTES (12 - sizeof(lra_real))
#include "minimal.h"
