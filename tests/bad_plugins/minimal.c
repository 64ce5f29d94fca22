/* Nothing broken: must load. */
#include "minimal.h"
