/* create refuses the default configuration. */
#define DESCRIPTOR_ID "create_fails"
#define CREATE_BODY                                         \
  host->set_error(host->ctx, "it does not like any shape"); \
  return LRA_INVALID_ARGUMENT;
#include "minimal.h"
