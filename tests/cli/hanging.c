/* y = x, and the first backward never returns. */
#define _POSIX_C_SOURCE 200809L
#include <unistd.h>

#include "abi/attention.h"

static lra_status hang(const lra_instance* instance, const lra_step* step, const lra_real* dy, lra_real* dx,
                       lra_real* const* dparams) {
  (void)instance, (void)step, (void)dy, (void)dx, (void)dparams;
  for (;;) pause();
  return LRA_OK;
}

#define DESCRIPTOR_ID "hanging"
#define BACKWARD hang
#include "tests/bad_plugins/minimal.h"
