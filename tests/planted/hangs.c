/* Backward never returns. */
#define _POSIX_C_SOURCE 200809L
#include <unistd.h>
#define ID "hangs"
#define BEFORE_BACKWARD \
  for (;;) pause();
#include "tests/planted/planted.h"
