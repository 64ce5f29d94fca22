/* A whole variant in plain C that is as it should be: attention with equal weights,
 *     v = x W_v,   o_i = mean of v_j over the rows j that row i sees,   y = o W_o          causal: j <= i
 * Each file beside this one includes it with one fault planted, by defining one of the names below first, and lra-check
 * must find the fault. sound.c plants nothing and must pass. */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include <stdlib.h>
#include <string.h>

#include "abi/attention.h"

#ifndef FLAGS
#define FLAGS (LRA_CAUSAL | LRA_BIDIRECTIONAL | LRA_ROW_STOCHASTIC)
#endif
#ifndef OPTIONS
#define OPTIONS \
  { "unused", "does nothing", 1, 0, 2, 0, LRA_OPTION_INTEGER }
#endif
#ifndef LIMITS
#define LIMITS ""
#endif
#ifndef MEMORY_EXPONENT
#define MEMORY_EXPONENT 1
#endif
/* Rows that row i of n sees, from the first. */
#ifndef KEYS
#define KEYS(self, i, n) ((self)->causal ? (i) + 1 : (n))
#endif
/* Weight of one of `keys` rows. */
#ifndef WEIGHT
#define WEIGHT(self, keys) ((lra_real)1 / (lra_real)(keys))
#endif
/* Statements. */
#ifndef AT_CREATE
#define AT_CREATE
#endif
#ifndef AFTER_FORWARD
#define AFTER_FORWARD
#endif
#ifndef BEFORE_BACKWARD
#define BEFORE_BACKWARD
#endif
#ifndef AFTER_BACKWARD
#define AFTER_BACKWARD
#endif
/* Elements of the saved block beside v and o. */
#ifndef KEPT
#define KEPT(config) ((config)->max_len)
#endif
/* Of the declared FLOPs to the true ones. */
#ifndef COST_FACTOR
#define COST_FACTOR 1
#endif

struct lra_instance {
  const lra_host* host;
  int64_t max_len, dim, inner, heads, workers;
  int32_t causal;
  double option;
  int32_t wv, wo, table;  /* parameters */
  int32_t v, o, kept;     /* saved */
  int32_t dv, d_o, spare; /* scratch */
};

#define REALS(block) ((lra_real*)(block))

/* C = alpha op(A) op(B) + beta C */
__attribute__((unused)) static void multiply(const lra_instance* self, int64_t m, int64_t n, int64_t k,
                                             const lra_real* a, int32_t trans_a, const lra_real* b, int32_t trans_b,
                                             lra_real alpha, lra_real beta, lra_real* c) {
  const lra_gemm g = {.struct_size = sizeof(g),
                      .m = m,
                      .n = n,
                      .k = k,
                      .a = a,
                      .b = b,
                      .c = c,
                      .lda = trans_a ? m : k,
                      .ldb = trans_b ? k : n,
                      .ldc = n,
                      .trans_a = trans_a,
                      .trans_b = trans_b,
                      .alpha = alpha,
                      .beta = beta};
  self->host->gemm(self->host->ctx, &g);
}

static int32_t param(const lra_declarer* d, const char* name, int64_t rows, int64_t cols, int32_t kind, int32_t init) {
  const lra_param_spec spec = {.struct_size = sizeof(spec),
                               .name = name,
                               .rows = rows,
                               .cols = cols,
                               .kind = kind,
                               .init = init,
                               .align_with = -1,
                               .decay = 1};
  return d->param(d->ctx, &spec);
}

static lra_status create(const lra_host* host, const lra_config* config, const lra_declarer* d, lra_instance** out) {
  AT_CREATE
  lra_instance* self = malloc(sizeof(*self));
  if (self == NULL) return LRA_OUT_OF_MEMORY;
  self->host = host;
  self->max_len = config->max_len;
  self->dim = config->dim;
  self->inner = config->heads * config->head_dim;
  self->heads = config->heads;
  self->workers = config->worker_count;
  self->causal = config->causal;
  self->option = config->options[0];
  self->wv = param(d, "wv", self->dim, self->inner, LRA_PARAM_TRAINABLE, LRA_INIT_LINEAR);
  self->wo = param(d, "wo", self->inner, self->dim, LRA_PARAM_TRAINABLE, LRA_INIT_RESIDUAL);
  self->table = param(d, "table", 1, 16, LRA_PARAM_BUFFER, LRA_INIT_ZERO);
  const size_t bytes = (size_t)(self->max_len * self->inner) * sizeof(lra_real);
  self->v = d->saved(d->ctx, "v", bytes);
  self->o = d->saved(d->ctx, "o", bytes);
  self->kept = d->saved(d->ctx, "kept", (size_t)KEPT(config) * sizeof(lra_real));
  self->dv = d->scratch(d->ctx, "dv", bytes, LRA_SCRATCH_SHARED);
  self->d_o = d->scratch(d->ctx, "do", bytes, LRA_SCRATCH_SHARED);
  self->spare = d->scratch(d->ctx, "spare", 64, LRA_SCRATCH_SHARED);
  *out = self;
  return LRA_OK;
}

static void destroy(lra_instance* self) { free(self); }

/* o = W v */
static void mix(const lra_instance* self, int64_t n, const lra_real* v, lra_real* o) {
  const int64_t q = self->inner;
  for (int64_t i = 0; i < n; ++i) {
    const int64_t keys = KEYS(self, i, n);
    for (int64_t c = 0; c < q; ++c) {
      lra_real sum = 0;
      for (int64_t j = 0; j < keys; ++j) sum += v[j * q + c];
      o[i * q + c] = WEIGHT(self, keys) * sum;
    }
  }
}

static lra_status forward(const lra_instance* self, const lra_step* step, lra_real* y, lra_real* aux_loss) {
  const int64_t n = step->len, d = self->dim, q = self->inner;
  lra_real *v = REALS(step->saved[self->v]), *o = REALS(step->saved[self->o]);
  (void)aux_loss;
  multiply(self, n, q, d, step->x, 0, step->params[self->wv], 0, 1, 0, v); /* v = x W_v */
  mix(self, n, v, o);                                                      /* o = W v */
  multiply(self, n, d, q, o, 0, step->params[self->wo], 0, 1, 0, y);       /* y = o W_o */
  AFTER_FORWARD
  return LRA_OK;
}

static lra_status backward(const lra_instance* self, const lra_step* step, const lra_real* dy, lra_real* dx,
                           lra_real* const* dparams) {
  const int64_t n = step->len, d = self->dim, q = self->inner;
  const lra_real* o = REALS(step->saved[self->o]);
  lra_real *dv = REALS(step->scratch[self->dv]), *d_o = REALS(step->scratch[self->d_o]);
  BEFORE_BACKWARD
  multiply(self, q, d, n, o, 1, dy, 0, 1, 1, dparams[self->wo]); /* dW_o += o^T dy */
  multiply(self, n, q, d, dy, 0, step->params[self->wo], 1, 1, 0, d_o);
  memset(dv, 0, (size_t)(n * q) * sizeof(lra_real)); /* dv = W^T do */
  for (int64_t i = 0; i < n; ++i) {
    const int64_t keys = KEYS(self, i, n);
    for (int64_t j = 0; j < keys; ++j) {
      for (int64_t c = 0; c < q; ++c) dv[j * q + c] += WEIGHT(self, keys) * d_o[i * q + c];
    }
  }
  multiply(self, d, q, n, step->x, 1, dv, 0, 1, 1, dparams[self->wv]); /* dW_v += x^T dv */
  multiply(self, n, d, q, dv, 0, step->params[self->wv], 1, 1, 0, dx); /* dx = dv W_v^T */
  AFTER_BACKWARD
  return LRA_OK;
}

static lra_status mix_values(const lra_instance* self, const lra_step* step, const lra_real* v, lra_real* o) {
  mix(self, step->len, v, o);
  return LRA_OK;
}

static lra_status cost(const lra_instance* self, int64_t len, lra_cost* out) {
  const double product = 2.0 * (double)len * (double)self->dim * (double)self->inner, n = (double)len;
  out->forward_flops = COST_FACTOR * 2 * product;
  out->backward_flops = COST_FACTOR * 4 * product;
  out->pairs = (double)self->heads * (self->causal ? n * (n + 1) / 2 : n * n);
  return LRA_OK;
}

static uint64_t kernel_flops(void) { return 0; }

static const lra_option options[] = {OPTIONS};

static const lra_plugin plugin = {
    .struct_size = sizeof(lra_plugin),
    .abi_major = LRA_ABI_MAJOR,
    .abi_minor = LRA_ABI_MINOR,
    .real_bytes = sizeof(lra_real),
    .flags = FLAGS,
    .id = ID,
    .title = "Planted",
    .paper = "",
    .formula = "o_i = mean of v_j",
    .notes = "",
    .time = "O(N^2 D)",
    .memory = "O(N D)",
    .time_exponent = 2,
    .memory_exponent = MEMORY_EXPONENT,
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .create = create,
    .destroy = destroy,
    .forward = forward,
    .backward = backward,
    .cost = cost,
    .kernel_flops = kernel_flops,
    .limits = LIMITS,
    .mix_values = mix_values,
};

__attribute__((used, retain, section(LRA_DESCRIPTOR_SECTION))) static const lra_descriptor descriptor = {
    LRA_DESCRIPTOR_MAGIC, sizeof(lra_descriptor), LRA_ABI_MAJOR, LRA_ABI_MINOR, sizeof(lra_real), ID, "test",
    LRA_SANITIZER};

LRA_EXPORT const lra_plugin* lra_plugin_entry(void);
const lra_plugin* lra_plugin_entry(void) { return &plugin; }
