/* Built for the next major version of the contract. */
#define MAJOR (LRA_ABI_MAJOR + 1)
#include "minimal.h"
