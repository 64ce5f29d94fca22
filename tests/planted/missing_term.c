/* dx of row i lacks what comes from the row itself: a term is taken out of dv before dx is made. */
#define ID "missing_term"
#define AFTER_BACKWARD                                                                                \
  for (int64_t i = 0; i < n; ++i) {                                                                   \
    for (int64_t c = 0; c < q; ++c) dv[i * q + c] -= WEIGHT(self, KEYS(self, i, n)) * d_o[i * q + c]; \
  }                                                                                                   \
  multiply(self, n, d, q, dv, 0, step->params[self->wv], 1, 1, 0, dx);
#include "tests/planted/planted.h"
