/* Everything works until the process ends. */
#define ID "dies_at_exit"
#include "tests/planted/planted.h"
__attribute__((destructor)) static void die(void) { abort(); }
