/* Two parameters of one name; create passes the host's refusal on. */
#define DESCRIPTOR_ID "duplicate_param"
#define CREATE_BODY                                                                                         \
  const lra_param_spec w = {.struct_size = sizeof(w), .name = "w", .rows = 2, .cols = 2, .align_with = -1}; \
  if (declare->param(declare->ctx, &w) < 0 || declare->param(declare->ctx, &w) < 0) return LRA_INTERNAL;
#include "minimal.h"
