// Tiles of joint attention: gathered rows, products by gemm, row kernels of the instruction set.
#include "math/joint_attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "math/gemm.h"
#include "math/isa/joint_rows_table.h"

namespace lra::math {
namespace {

template <class T>
const JointRowsTable<T>& table() {
  static const JointRowsTable<T>& picked = LRA_PICK(joint_rows_table<T>);
  return picked;
}

// Rows of an array as one matrix.
template <class T>
struct View {
  const T* data;
  int64_t ld;
};

// The scratch of one tile, cut into its arrays.
template <class T>
struct Scratch {
  T *q, *k, *v, *d_o;          // gathered rows
  T *row_result, *key_result;  // [rows, width], [keys, width]: products that are then scattered
  T *s, *dp;                   // [rows, lds]
  T *max, *sum, *delta, *lse;  // [rows]
  int64_t lds;
  size_t bytes;

  Scratch(int64_t rows, int64_t keys, int64_t width, T* start) {
    constexpr int64_t kLine = 64 / int64_t(sizeof(T));
    int64_t used = 0;
    const auto take = [&](int64_t n) {
      T* piece = start == nullptr ? nullptr : start + used;
      used += (n + kLine - 1) / kLine * kLine;
      return piece;
    };
    // Not a power of two: rows would share cache sets.
    lds = (keys + kLine - 1) / kLine * kLine + kLine;
    q = take(rows * width);
    k = take(keys * width);
    v = take(keys * width);
    d_o = take(rows * width);
    row_result = take(rows * width);
    key_result = take(keys * width);
    s = take(rows * lds);
    dp = take(rows * lds);
    max = take(rows);
    sum = take(rows);
    delta = take(rows);
    lse = take(rows);
    bytes = size_t(used) * sizeof(T);
  }
};

template <class T>
Scratch<T> scratch_of(const JointTile<T>& tile, void* scratch) {
  return Scratch<T>(tile.rows.count, tile.columns.count, std::max(tile.head_dim, tile.score_dim),
                    static_cast<T*>(scratch));
}

// The rows as a matrix: in place where they lie at equal distances, else copied to `space`.
template <class T>
View<T> gather(const Rows& rows, const T* x, int64_t ld, int64_t width, T* space) {
  if (rows.list == nullptr) return {x + rows.first * ld, rows.step * ld};
  for (int64_t r = 0; r < rows.count; ++r) std::copy_n(x + rows.list[r] * ld, width, space + r * width);
  return {space, width};
}

// out rows += alpha op(a) b, [rows.count, width]; through `space` where the rows are listed.
template <class T>
void add_product(const Rows& rows, T* out, int64_t ld, int64_t width, Gemm<T> g, T* space) {
  g.m = rows.count;
  g.n = width;
  const bool listed = rows.list != nullptr;
  g.c = listed ? space : out + rows.first * ld;
  g.ldc = listed ? width : rows.step * ld;
  g.beta = listed ? T(0) : T(1);
  gemm(g);
  if (!listed) return;
  table<T>().add(rows.count, rows.list, rows.first, rows.step, width, space, out, ld);
}

}  // namespace

template <class T>
size_t joint_scratch(int64_t rows, int64_t keys, int64_t width) {
  return Scratch<T>(rows, keys, width, nullptr).bytes;
}

template <class T>
void joint_clear(const JointQueries<T>& queries, int64_t count, int64_t head_dim) {
  for (int64_t i = 0; i < count; ++i) {
    std::fill_n(queries.o + i * queries.ldo, head_dim, T(0));
    queries.lse[i] = -std::numeric_limits<T>::infinity();
  }
}

template <class T>
JointScores<T> joint_scores(const JointTile<T>& tile, void* scratch) {
  const Scratch<T> w = scratch_of(tile, scratch);
  const auto q = gather(tile.rows, tile.queries.q, tile.queries.ldq, tile.score_width(), w.q);
  const auto k = gather(tile.columns, tile.keys.k, tile.keys.ldk, tile.score_width(), w.k);
  gemm(Gemm<T>{.m = tile.rows.count,
               .n = tile.columns.count,
               .k = tile.score_width(),
               .a = q.data,
               .lda = q.ld,
               .b = k.data,
               .ldb = k.ld,
               .op_b = Op::kTranspose,
               .c = w.s,
               .ldc = w.lds,
               .alpha = tile.scale});
  return {tile.rows.count, tile.columns.count, w.lds, w.s, q.data, k.data, q.ld, k.ld};
}

template <class T>
void joint_forward(const JointTile<T>& tile, const JointScores<T>& scores, void* scratch) {
  const Scratch<T> w = scratch_of(tile, scratch);
  const int64_t dh = tile.head_dim;
  table<T>().exponentiate(scores.rows, scores.keys, w.s, w.lds, w.max, w.sum);
  const auto v = gather(tile.columns, tile.keys.v, tile.keys.ldv, dh, w.v);
  gemm(Gemm<T>{.m = scores.rows,
               .n = dh,
               .k = scores.keys,
               .a = w.s,
               .lda = w.lds,
               .b = v.data,
               .ldb = v.ld,
               .c = w.row_result,
               .ldc = dh});
  for (int64_t r = 0; r < scores.rows; ++r) {
    T& lse = tile.queries.lse[tile.rows[r]];
    T keep = 1, add = 0;
    if (w.sum[r] != 0) {  // else the row sees no key of this tile
      const T own = w.max[r] + std::log(w.sum[r]);
      const T top = std::max(lse, own);
      const T merged = top + std::log(std::exp(lse - top) + std::exp(own - top));
      keep = std::exp(lse - merged);
      add = std::exp(w.max[r] - merged);
      lse = merged;
    }
    // The row's statistics are read; their places take its factors.
    w.max[r] = keep;
    w.sum[r] = add;
  }
  table<T>().merge(scores.rows, tile.rows.list, tile.rows.first, tile.rows.step, dh, w.max, w.sum, w.row_result,
                   tile.queries.o, tile.queries.ldo);
}

template <class T>
void joint_backward_scores(const JointTile<T>& tile, const JointScores<T>& scores, void* scratch) {
  const Scratch<T> w = scratch_of(tile, scratch);
  const int64_t dh = tile.head_dim, rows = scores.rows, keys = scores.keys;
  const auto d_o = gather(tile.rows, tile.queries.d_o, tile.queries.ldo, dh, w.d_o);
  table<T>().dots(rows, tile.rows.list, tile.rows.first, tile.rows.step, dh, tile.queries.o, tile.queries.ldo, d_o.data,
                  d_o.ld, w.delta);
  for (int64_t r = 0; r < rows; ++r) w.lse[r] = tile.queries.lse[tile.rows[r]];
  // P = exp(S - lse),  dV += P^T dO
  table<T>().probabilities(rows, keys, w.s, w.lds, w.lse);
  add_product(tile.columns, tile.keys.dv, tile.keys.ldv, dh,
              Gemm<T>{.k = rows, .a = w.s, .lda = w.lds, .op_a = Op::kTranspose, .b = d_o.data, .ldb = d_o.ld},
              w.key_result);
  // dP = dO V^T,  dS = P o (dP - D)
  const auto v = gather(tile.columns, tile.keys.v, tile.keys.ldv, dh, w.v);
  gemm(Gemm<T>{.m = rows,
               .n = keys,
               .k = dh,
               .a = d_o.data,
               .lda = d_o.ld,
               .b = v.data,
               .ldb = v.ld,
               .op_b = Op::kTranspose,
               .c = w.dp,
               .ldc = w.lds});
  table<T>().score_gradients(rows, keys, w.s, w.dp, w.lds, w.delta);
}

template <class T>
void joint_backward_inputs(const JointTile<T>& tile, const JointScores<T>& scores, void* scratch) {
  const Scratch<T> w = scratch_of(tile, scratch);
  const int64_t width = tile.score_width();
  // dQ += scale dS K
  add_product(tile.rows, tile.queries.dq, tile.queries.ldq, width,
              Gemm<T>{.k = scores.keys, .a = w.s, .lda = w.lds, .b = scores.k, .ldb = scores.ldk, .alpha = tile.scale},
              w.row_result);
  // dK += scale dS^T Q
  add_product(tile.columns, tile.keys.dk, tile.keys.ldk, width,
              Gemm<T>{.k = scores.rows,
                      .a = w.s,
                      .lda = w.lds,
                      .op_a = Op::kTranspose,
                      .b = scores.q,
                      .ldb = scores.ldq,
                      .alpha = tile.scale},
              w.key_result);
}

#define LRA_INSTANTIATE(T)                                                                   \
  template size_t joint_scratch<T>(int64_t, int64_t, int64_t);                               \
  template void joint_clear<T>(const JointQueries<T>&, int64_t, int64_t);                    \
  template JointScores<T> joint_scores<T>(const JointTile<T>&, void*);                       \
  template void joint_forward<T>(const JointTile<T>&, const JointScores<T>&, void*);         \
  template void joint_backward_scores<T>(const JointTile<T>&, const JointScores<T>&, void*); \
  template void joint_backward_inputs<T>(const JointTile<T>&, const JointScores<T>&, void*);
LRA_INSTANTIATE(float)
LRA_INSTANTIATE(double)
#undef LRA_INSTANTIATE

}  // namespace lra::math
