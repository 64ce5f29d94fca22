// Each service is a captureless function that finds its Host in ctx.
#include "plugin/host.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "blas/blas.h"
#include "core/rng.h"

namespace lra {
namespace {

void multiply(void*, const lra_gemm* args) {
  lra_gemm g{};  // what an older variant does not know stays zero
  std::memcpy(&g, args, std::min(args->struct_size, sizeof(g)));
  const auto op = [](int32_t transposed) { return transposed != 0 ? math::Op::kTranspose : math::Op::kNone; };
  blas::gemm({.m = g.m,
              .n = g.n,
              .k = g.k,
              .a = g.a,
              .lda = g.lda,
              .op_a = op(g.trans_a),
              .b = g.b,
              .ldb = g.ldb,
              .op_b = op(g.trans_b),
              .c = g.c,
              .ldc = g.ldc,
              .alpha = g.alpha,
              .beta = g.beta,
              .bias = g.bias});
}

// Keeps the draws of variants apart from all others of a run.
constexpr uint64_t kPurpose = name_key("variant");

}  // namespace

Host::Host(Workers& workers, uint64_t seed, int64_t layer) : workers_(workers), seed_(seed), layer_(layer), table_{} {
  table_.struct_size = sizeof(table_);
  table_.abi_major = LRA_ABI_MAJOR;
  table_.abi_minor = LRA_ABI_MINOR;
  table_.ctx = this;
  table_.set_error = [](void* ctx, const char* message) { self(ctx).set_error(message == nullptr ? "" : message); };
  table_.parallel_for = [](void* ctx, int64_t n, int64_t grain, lra_range_fn body, void* user) {
    self(ctx).workers_.run(n, std::max<int64_t>(1, grain), body, user);
  };
  table_.gemm = multiply;
  table_.normal = [](void* ctx, uint64_t stream, uint64_t offset, int64_t n, lra_real* out) {
    const uint64_t key = key_of({self(ctx).seed_, kPurpose, uint64_t(self(ctx).layer_), stream});
    for (int64_t i = 0; i < n;) {
      const uint64_t index = offset + uint64_t(i);
      const auto pair = normal_pair(key, index / 2);
      if (index % 2 == 0) out[i++] = lra_real(pair[0]);
      if (i < n) out[i++] = lra_real(pair[1]);
    }
  };
  table_.uniform = [](void* ctx, uint64_t stream, uint64_t offset, int64_t n, lra_real* out) {
    const uint64_t key = key_of({self(ctx).seed_, kPurpose, uint64_t(self(ctx).layer_), stream});
    // A double just below one would round up to one in float.
    constexpr lra_real kBelowOne = lra_real(1) - std::numeric_limits<lra_real>::epsilon() / 2;
    for (int64_t i = 0; i < n; ++i) {
      out[i] = std::min(lra_real(uniform_at(key, offset + uint64_t(i))), kBelowOne);
    }
  };
}

void Host::set_error(const std::string& message) {
  const std::lock_guard lock(mutex_);
  error_ = message;
}

std::string Host::take_error() {
  const std::lock_guard lock(mutex_);
  return std::exchange(error_, {});
}

}  // namespace lra
