/* y = x, and the process dies in the first backward, after some chatter on standard output. */
#include <stdio.h>
#include <stdlib.h>

#include "abi/attention.h"

static lra_status crash(const lra_instance* instance, const lra_step* step, const lra_real* dy, lra_real* dx,
                        lra_real* const* dparams) {
  (void)instance, (void)step, (void)dy, (void)dx, (void)dparams;
  printf("not a message\n");
  fflush(stdout);
  abort();
}

#define DESCRIPTOR_ID "crashing"
#define BACKWARD crash
#include "tests/bad_plugins/minimal.h"
