// Blocked matrix product for one instruction set (see gemm.h).
//   for blocks of k (kDepth) and of m (kRows):  for panels of n:  C[rows, panel] = alpha A[rows, k] B[k, panel] + ...
// A panel of B is read where it lies if its rows are whole vectors close together, else it is packed on the stack.
#include "math/isa/gemm_table.h"
#include "math/isa/tile.h"

namespace lra::math::LRA_ISA {
namespace {

constexpr int64_t kDepth = 256;  // k of one block: a panel of B stays in L2 and partial sums stay short
constexpr int64_t kRows = 192;   // m of one block when there are several panels: A stays in L2 between them
constexpr int64_t kInPlaceLimit =
    256;  // elements between rows of B; further apart they compete for the same cache sets

// alpha x + beta C + bias, the last vector of a row cut to the panel's width.
template <class T>
struct GemmOut {
  T* c;
  int64_t ldc;
  T alpha, beta;
  const T* bias;
  int64_t width;

  template <int V>
  __attribute__((always_inline)) void operator()(int64_t i, int64_t column, Vec<T> (&x)[V]) const {
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) {
      const int64_t at = column + v * kLanes<T>;
      T* to = c + i * ldc + at;
      Vec<T> y = x[v] * alpha;
      if (at + kLanes<T> <= width) {
        if (beta != 0) y += load(to) * beta;
        if (bias != nullptr) y += load(bias + at);
        store<T>(to, y);
      } else if (at < width) {
        const int n = static_cast<int>(width - at);
        if (beta != 0) y += load_n(to, n) * beta;
        if (bias != nullptr) y += load_n(bias + at, n);
        store_n<T>(to, y, n);
      }
    }
  }
};

template <class T>
void gemm(const Gemm<T>& g) {
  alignas(64) T packed[kDepth * kPanel<T>];
  const int64_t row_block = g.n <= kPanel<T> ? g.m : kRows;
  int64_t p = 0;
  do {
    const int64_t depth = smaller(kDepth, g.k - p);
    for (int64_t i = 0; i < g.m; i += row_block) {
      const int64_t rows = smaller(row_block, g.m - i);
      for (int64_t j = 0; j < g.n; j += kPanel<T>) {
        const int64_t width = smaller(kPanel<T>, g.n - j);
        const int64_t vectors = (width + kLanes<T> - 1) / kLanes<T>;
        const T* b = g.op_b == Op::kNone ? g.b + p * g.ldb + j : g.b + j * g.ldb + p;
        int64_t ldb = g.ldb;
        if (g.op_b == Op::kTranspose || width % kLanes<T> != 0 || g.ldb > kInPlaceLimit) {
          ldb = vectors * kLanes<T>;
          if (g.op_b == Op::kTranspose) {
            pack_transposed<T>(width, depth, b, g.ldb, packed, ldb);
          } else {
            pack_rows<T>(depth, width, T(1), b, g.ldb, packed, ldb);
          }
          b = packed;
        }
        const GemmOut<T> out{g.c + i * g.ldc + j,
                             g.ldc,
                             g.alpha,
                             p == 0 ? g.beta : T(1),
                             p == 0 && g.bias != nullptr ? g.bias + j : nullptr,
                             width};
        if (g.op_a == Op::kTranspose) {
          multiply_panel<T, true>(rows, depth, g.a + p * g.lda + i, g.lda, b, ldb, vectors, 0, out);
        } else {
          multiply_panel<T, false>(rows, depth, g.a + i * g.lda + p, g.lda, b, ldb, vectors, 0, out);
        }
      }
    }
    p += kDepth;
  } while (p < g.k);
}

}  // namespace

template <class T>
const GemmTable<T>& gemm_table() {
  static constexpr GemmTable<T> table{&gemm<T>};
  return table;
}
template const GemmTable<float>& gemm_table<float>();
template const GemmTable<double>& gemm_table<double>();

}  // namespace lra::math::LRA_ISA
