/* The mean is taken over max_len rows, not over those of the sequence. */
#define ID "max_len_matters"
#define FLAGS (LRA_CAUSAL | LRA_BIDIRECTIONAL)
#define WEIGHT(self, keys) ((lra_real)1 / (lra_real)(self)->max_len)
#include "tests/planted/planted.h"
