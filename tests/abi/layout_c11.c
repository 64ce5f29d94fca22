/* The contract as a C11 compiler sees it; the header stands first, so it must compile alone. */
#include "abi/attention.h"

void layout_c11(char* out, size_t size);
#define LAYOUT_FUNCTION layout_c11
#include "layout.inc"
