/* Built with a sanitizer that this program has not. */
#define SANITIZER "memory"
#include "minimal.h"
