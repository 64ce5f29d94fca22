/* Ends the program as soon as it is loaded. Its descriptor names another major version, so it must never be. */
#include <stdlib.h>
#define MAJOR (LRA_ABI_MAJOR + 1)
#define DESCRIPTOR_ID "runs_when_loaded"
#include "minimal.h"
__attribute__((constructor)) static void end(void) { abort(); }
