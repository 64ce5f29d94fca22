/* Built for a later minor version of the contract. */
#define MINOR (LRA_ABI_MINOR + 1)
#include "minimal.h"
