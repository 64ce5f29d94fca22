/* A whole variant in plain C: y = x. Each file beside this one includes it with one thing broken, by defining one of
 * the names below first, and must be refused with one sentence. Also proof that the contract needs neither C++ nor the
 * SDK. */
#include "abi/attention.h"

#ifndef DESCRIPTOR_MAGIC
#define DESCRIPTOR_MAGIC LRA_DESCRIPTOR_MAGIC
#endif
#ifndef DESCRIPTOR_ID
#define DESCRIPTOR_ID "minimal"
#endif
#ifndef TABLE_ID
#define TABLE_ID DESCRIPTOR_ID
#endif
#ifndef MAJOR
#define MAJOR LRA_ABI_MAJOR
#endif
#ifndef MINOR
#define MINOR LRA_ABI_MINOR
#endif
#ifndef REAL_BYTES
#define REAL_BYTES sizeof(lra_real)
#endif
#ifndef SANITIZER
#define SANITIZER LRA_SANITIZER
#endif
#ifndef TABLE_SIZE
#define TABLE_SIZE sizeof(lra_plugin)
#endif
#ifndef FLAGS
#define FLAGS (LRA_CAUSAL | LRA_BIDIRECTIONAL)
#endif
#ifndef OPTIONS
#define OPTIONS \
  { "unused", "does nothing", 1, 0, 2, 0, LRA_OPTION_NUMBER }
#endif
#ifndef BACKWARD
#define BACKWARD backward
#endif
#ifndef CREATE_BODY
#define CREATE_BODY
#endif

#ifndef NO_DESCRIPTOR
__attribute__((used, retain, section(LRA_DESCRIPTOR_SECTION))) static const lra_descriptor self = {
    DESCRIPTOR_MAGIC, sizeof(lra_descriptor), MAJOR, MINOR, REAL_BYTES, DESCRIPTOR_ID, "test", SANITIZER};
#endif

struct lra_instance {
  int64_t dim;
};

static struct lra_instance the_instance;

static lra_status create(const lra_host* host, const lra_config* config, const lra_declarer* declare,
                         lra_instance** out) {
  (void)host;
  (void)declare;
  CREATE_BODY
  the_instance.dim = config->dim;
  *out = &the_instance;
  return LRA_OK;
}

static void destroy(lra_instance* instance) { (void)instance; }

static lra_status forward(const lra_instance* instance, const lra_step* step, lra_real* y, lra_real* aux_loss) {
  (void)aux_loss;
  for (int64_t i = 0; i < step->len * instance->dim; ++i) y[i] = step->x[i];
  return LRA_OK;
}

__attribute__((unused)) static lra_status backward(const lra_instance* instance, const lra_step* step,
                                                   const lra_real* dy, lra_real* dx, lra_real* const* dparams) {
  (void)dparams;
  for (int64_t i = 0; i < step->len * instance->dim; ++i) dx[i] = dy[i];
  return LRA_OK;
}

static lra_status cost(const lra_instance* instance, int64_t len, lra_cost* out) {
  (void)instance;
  (void)len;
  out->forward_flops = out->backward_flops = out->pairs = 0;
  return LRA_OK;
}

static uint64_t kernel_flops(void) { return 0; }

static const lra_option options[] = {OPTIONS};

static const lra_plugin table = {
    .struct_size = TABLE_SIZE,
    .abi_major = MAJOR,
    .abi_minor = MINOR,
    .real_bytes = REAL_BYTES,
    .flags = FLAGS,
    .id = TABLE_ID,
    .title = "Minimal",
    .paper = "",
    .formula = "y = x",
    .notes = "",
    .time = "O(N D)",
    .memory = "O(1)",
    .time_exponent = 1,
    .memory_exponent = 0,
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .create = create,
    .destroy = destroy,
    .forward = forward,
    .backward = BACKWARD,
    .cost = cost,
    .kernel_flops = kernel_flops,
};

#ifndef ENTRY
#define ENTRY lra_plugin_entry
#endif
LRA_EXPORT const lra_plugin* ENTRY(void);
const lra_plugin* ENTRY(void) { return &table; }
