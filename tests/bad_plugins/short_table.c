/* A table shorter than that of contract 1.0. */
#define TABLE_SIZE (sizeof(lra_plugin) / 2)
#define DESCRIPTOR_ID "short_table"
#include "minimal.h"
