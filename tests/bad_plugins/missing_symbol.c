/* No function lra_plugin_entry. */
#define ENTRY some_other_entry
#define DESCRIPTOR_ID "missing_symbol"
#include "minimal.h"
