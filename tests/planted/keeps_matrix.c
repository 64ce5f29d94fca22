/* A sequence keeps an N x N block, where memory of order N is declared. */
#define ID "keeps_matrix"
#define KEPT(config) ((config)->max_len * (config)->max_len)
#include "tests/planted/planted.h"
