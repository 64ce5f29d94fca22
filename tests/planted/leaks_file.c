/* Every instance opens a file and forgets it. */
#define _POSIX_C_SOURCE 200809L
#include <fcntl.h>
#define ID "leaks_file"
#define AT_CREATE \
  if (open("/dev/null", O_RDONLY) < 0) return LRA_INTERNAL;
#include "tests/planted/planted.h"
