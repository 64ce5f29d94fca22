/* The table names itself otherwise than the descriptor. */
#define TABLE_ID "somebody_else"
#define DESCRIPTOR_ID "id_mismatch"
#include "minimal.h"
