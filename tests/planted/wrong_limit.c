/* It claims to be full softmax attention, which equal weights are not. */
#define ID "wrong_limit"
#define LIMITS "unused=2; wq=wv wk=wv"
#include "tests/planted/planted.h"
