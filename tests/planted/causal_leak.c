/* In causal mode every row sees one row too many. */
#define ID "causal_leak"
#define KEYS(self, i, n) ((self)->causal && (i) + 2 < (n) ? (i) + 2 : (n))
#include "tests/planted/planted.h"
