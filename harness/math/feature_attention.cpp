// Feature attention by tiles of kTile rows. What is kept of the keys is transposed, with the sum of features as a last
// row:
//   S^T = [V, 1]^T phi_k:  [dh + 1, m],  true sums = S 2^M, M the largest scale s of any tile so far
// Forward    R = phi_q S,  z = phi_q . (last row),  O = R / (z + eps)
// Backward   gR = [G / z, -(G.O) / z]        gradient of [R, z]
//            dphi_q = gR S^T,  dS^T = gR^T phi_q,  dphi_k = [V, 1] dS^T,  dV = phi_k dS
// Causal: rows of one tile meet its keys through P = tril(phi_q phi_k^T), earlier keys through S at the start of the
// tile; backward goes from the last tile to the first and carries dS. Scales: a tile's own keys count 2^(s - top),
// earlier keys 2^(M - top), with top = max(M, s).
#include "math/feature_attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "math/elementwise.h"
#include "math/feature_rows.h"
#include "math/gemm.h"

namespace lra::math {
namespace {

constexpr int64_t kTile = 72;  // a multiple of the register tiles of gemm, 6 and 12 rows
constexpr int64_t kAlign = 16;

int64_t round_up(int64_t n) { return (n + kAlign - 1) / kAlign * kAlign; }
int64_t tile_count(int64_t rows) { return (rows + kTile - 1) / kTile; }

// One S^T and, behind it, its scale M.
int64_t state_stride(int64_t head_dim, int64_t features) { return round_up((head_dim + 1) * features + 1); }

// The blocks of scratch; `bytes` is their sum. With base = nullptr only the sum means something.
template <class T>
struct Blocks {
  Blocks(const FeatureAttention<T>& a, T* base)
      : m(a.map->features()), dh(a.head_dim), ld(round_up(m)), lds(round_up(dh)), next_(base) {
    phi_q = take(kTile * ld);
    phi_k = take(kTile * ld);
    dphi = take(kTile * ld);
    s = take(m * lds);
    d_st = take((dh + 1) * m);
    values = take(kTile * (dh + 1));
    gr = take(kTile * (dh + 1));
    p = take(kTile * kTile);
    dp = take(kTile * kTile);
    z = take(kTile);
    row = take(kTile);
    ones = take(kTile);
    scratch_q = take(a.map->scratch_elements(kTile));
    scratch_k = take(a.map->scratch_elements(kTile));
  }

  int64_t m, dh, ld, lds;  // ld: of phi and dphi; lds: of s
  T *phi_q, *phi_k, *dphi;
  T* s;               // [m, dh]: S, or dS, from its transpose
  T* d_st;            // [dh + 1, m]
  T *values, *gr;     // [kTile, dh + 1]: [V, 1] and gR
  T *p, *dp;          // [kTile, kTile]
  T *z, *row, *ones;  // [kTile]
  T *scratch_q, *scratch_k;
  size_t bytes = 0;

 private:
  T* take(int64_t count) {
    T* block = next_;
    if (next_ != nullptr) next_ += round_up(count);
    bytes += static_cast<size_t>(round_up(count)) * sizeof(T);
    return block;
  }
  T* next_;
};

template <class T>
struct View {
  const T* data;
  int64_t ld;
  Op op = Op::kNone;
};
template <class T>
View<T> t(View<T> v) {
  return {v.data, v.ld, Op::kTranspose};
}

// C = alpha A B + beta C, C: m x n, A: m x k.
template <class T>
void multiply(int64_t m, int64_t n, int64_t k, T* c, int64_t ldc, T alpha, View<T> a, View<T> b, T beta) {
  gemm<T>({.m = m,
           .n = n,
           .k = k,
           .a = a.data,
           .lda = a.ld,
           .op_a = a.op,
           .b = b.data,
           .ldb = b.ld,
           .op_b = b.op,
           .c = c,
           .ldc = ldc,
           .alpha = alpha,
           .beta = beta});
}

// Both triangles were computed; a query must not see later keys.
template <class T>
void keep_lower_triangle(int64_t rows, T* p) {
  for (int64_t i = 0; i < rows; ++i) std::fill(p + i * kTile + i + 1, p + i * kTile + rows, T(0));
}

// out[r] = sum_c a[r, c] b[c].
template <class T>
void weighted_sums(int64_t rows, int64_t d, const T* a, int64_t lda, const T* b, T* out) {
  dot_rows<T>(rows, d, a, lda, b, 0, out);
  count_flops(2 * static_cast<uint64_t>(rows) * static_cast<uint64_t>(d));
}

// One call: forward or backward of one head.
template <class T>
class Head {
 public:
  Head(const FeatureAttention<T>& a, void* scratch)
      : a_(a), b_(a, static_cast<T*>(scratch)), m_(b_.m), dh_(b_.dh), stride_(state_stride(dh_, m_)) {
    std::fill(b_.ones, b_.ones + kTile, T(1));
  }

  void forward() {
    T scale = kNothing;
    for (int64_t row = 0; row < a_.rows; row += kTile) {
      const Tile tile = at(row);
      const T s = key_features(tile);
      const T top = std::max(scale, s);
      append_one(tile);
      // S^T = 2^(M - top) S^T + 2^(s - top) [V, 1]^T phi_k
      multiply<T>(dh_ + 1, m_, tile.rows, a_.state, m_, std::exp2(s - top), t(values()), phi_k(),
                  row == 0 ? T(0) : std::exp2(scale - top));
      scale = top;
    }
    a_.state[(dh_ + 1) * m_] = scale;
    transpose<T>(dh_, m_, a_.state, m_, b_.s, b_.lds);
    for (int64_t row = 0; row < a_.rows; row += kTile) {
      const Tile tile = at(row);
      query_features(tile);
      multiply<T>(tile.rows, dh_, m_, o(tile), a_.ldo, T(1), phi_q(), {b_.s, b_.lds}, T(0));  // R = phi_q S
      weighted_sums<T>(tile.rows, m_, b_.phi_q, b_.ld, a_.state + dh_ * m_, b_.z);  // z = phi_q . sum of phi_k
      divide(tile, scale);
    }
  }

  void backward() {
    const T scale = a_.state[(dh_ + 1) * m_];
    for (int64_t row = 0; row < a_.rows; row += kTile) {
      const Tile tile = at(row);
      query_features(tile);
      weighted_sums<T>(tile.rows, m_, b_.phi_q, b_.ld, a_.state + dh_ * m_, b_.z);
      divide_backward(tile, scale);
      multiply<T>(tile.rows, m_, dh_ + 1, b_.dphi, b_.ld, T(1), gr(), {a_.state, m_}, T(0));  // dphi_q = gR S^T
      multiply<T>(dh_ + 1, m_, tile.rows, b_.d_st, m_, T(1), t(gr()), phi_q(),
                  T(row == 0 ? 0 : 1));  // dS^T = gR^T phi_q
      query_backward(tile);
    }
    transpose<T>(dh_, m_, b_.d_st, m_, b_.s, b_.lds);
    for (int64_t row = 0; row < a_.rows; row += kTile) {
      const Tile tile = at(row);
      const T share = std::exp2(key_features(tile) - scale);
      append_one(tile);
      multiply<T>(tile.rows, m_, dh_ + 1, b_.dphi, b_.ld, share, values(), {b_.d_st, m_},
                  T(0));                                                                       // dphi_k = [V, 1] dS^T
      multiply<T>(tile.rows, dh_, m_, dv(tile), a_.ld, share, phi_k(), {b_.s, b_.lds}, T(0));  // dV = phi_k dS
      key_backward(tile);
    }
  }

  void causal_forward() {
    T scale = kNothing;
    for (int64_t row = 0; row < a_.rows; row += kTile) {
      const Tile tile = at(row);
      const T s = key_features(tile);
      query_features(tile);
      const T top = std::max(scale, s);
      const T near = std::exp2(s - top), far = row == 0 ? T(0) : std::exp2(scale - top);
      meet(tile, near);
      // R = far phi_q S + P V
      if (row > 0) {
        transpose<T>(dh_, m_, state_before(row), m_, b_.s, b_.lds);
        multiply<T>(tile.rows, dh_, m_, o(tile), a_.ldo, far, phi_q(), {b_.s, b_.lds}, T(0));
      }
      multiply<T>(tile.rows, dh_, tile.rows, o(tile), a_.ldo, T(1), {b_.p, kTile}, v(tile), T(row == 0 ? 0 : 1));
      causal_sums(tile, far);
      divide(tile, top);
      if (row + kTile < a_.rows) {
        append_one(tile);
        T* after = state_before(row + kTile);
        if (row > 0) std::copy_n(state_before(row), (dh_ + 1) * m_, after);
        multiply<T>(dh_ + 1, m_, tile.rows, after, m_, near, t(values()), phi_k(), far);
        after[(dh_ + 1) * m_] = scale = top;
      }
    }
  }

  void causal_backward() {
    T later = kNothing;  // scale of dS
    for (int64_t row = (tile_count(a_.rows) - 1) * kTile; row >= 0; row -= kTile) {
      const Tile tile = at(row);
      const bool first = row == 0, last = row + kTile >= a_.rows;
      const T s = key_features(tile);
      query_features(tile);
      const T scale = first ? kNothing : state_before(row)[(dh_ + 1) * m_];
      const T top = std::max(scale, s);
      const T near = std::exp2(s - top), far = first ? T(0) : std::exp2(scale - top);
      meet(tile, near);
      causal_sums(tile, far);
      divide_backward(tile, top);
      append_one(tile);
      // dP = tril(gR [V, 1]^T)
      multiply<T>(tile.rows, tile.rows, dh_ + 1, b_.dp, kTile, near, gr(), t(values()), T(0));
      keep_lower_triangle(tile.rows, b_.dp);
      // dphi_q = dP phi_k + far gR S^T
      multiply<T>(tile.rows, m_, tile.rows, b_.dphi, b_.ld, T(1), {b_.dp, kTile}, phi_k(), T(0));
      if (!first) {
        multiply<T>(tile.rows, m_, dh_ + 1, b_.dphi, b_.ld, far, gr(), {state_before(row), m_}, T(1));
      }
      query_backward(tile);
      // dphi_k = dP^T phi_q + share [V, 1] dS^T,  dV = P^T gR + share phi_k dS
      multiply<T>(tile.rows, m_, tile.rows, b_.dphi, b_.ld, T(1), t(View<T>{b_.dp, kTile}), phi_q(), T(0));
      multiply<T>(tile.rows, dh_, tile.rows, dv(tile), a_.ld, T(1), t(View<T>{b_.p, kTile}), gr(), T(0));
      if (!last) {
        const T share = std::exp2(s - later);
        multiply<T>(tile.rows, m_, dh_ + 1, b_.dphi, b_.ld, share, values(), {b_.d_st, m_}, T(1));
        transpose<T>(dh_, m_, b_.d_st, m_, b_.s, b_.lds);
        multiply<T>(tile.rows, dh_, m_, dv(tile), a_.ld, share, phi_k(), {b_.s, b_.lds}, T(1));
      }
      key_backward(tile);
      // dS^T = 2^(top - later) dS^T + gR^T phi_q
      if (!first) {
        multiply<T>(dh_ + 1, m_, tile.rows, b_.d_st, m_, T(1), t(gr()), phi_q(), last ? T(0) : std::exp2(top - later));
      }
      later = top;
    }
  }

 private:
  // Features of the largest scale are about 1; a sum below this is what rounding to zero left over, and 1 / z times
  // sums of many keys would overflow.
  static constexpr T kDead = std::numeric_limits<T>::min() * T(0x1p28);
  static constexpr T kNothing = -std::numeric_limits<T>::infinity();

  struct Tile {
    int64_t row, rows;
  };
  Tile at(int64_t row) const { return {row, std::min(kTile, a_.rows - row)}; }

  View<T> phi_q() const { return {b_.phi_q, b_.ld}; }
  View<T> phi_k() const { return {b_.phi_k, b_.ld}; }
  View<T> values() const { return {b_.values, dh_ + 1}; }
  View<T> gr() const { return {b_.gr, dh_ + 1}; }
  View<T> v(Tile tile) const { return {a_.v + tile.row * a_.ld, a_.ld}; }
  T* o(Tile tile) const { return a_.o + tile.row * a_.ldo; }
  T* dv(Tile tile) const { return a_.dv + tile.row * a_.ld; }
  // S^T of the keys before `row`, a tile's first row above 0.
  T* state_before(int64_t row) const { return a_.state + (row / kTile - 1) * stride_; }

  void query_features(Tile tile) const {
    a_.map->forward(Side::kQuery, tile.row, tile.rows, a_.q + tile.row * a_.ld, a_.ld, b_.phi_q, b_.ld, b_.scratch_q);
  }
  T key_features(Tile tile) const {
    return a_.map->forward(Side::kKey, tile.row, tile.rows, a_.k + tile.row * a_.ld, a_.ld, b_.phi_k, b_.ld,
                           b_.scratch_k);
  }
  void query_backward(Tile tile) const {
    a_.map->backward(Side::kQuery, tile.row, tile.rows, a_.q + tile.row * a_.ld, a_.ld, b_.phi_q, b_.ld, b_.dphi, b_.ld,
                     a_.dq + tile.row * a_.ld, a_.ld, b_.scratch_q);
  }
  void key_backward(Tile tile) const {
    a_.map->backward(Side::kKey, tile.row, tile.rows, a_.k + tile.row * a_.ld, a_.ld, b_.phi_k, b_.ld, b_.dphi, b_.ld,
                     a_.dk + tile.row * a_.ld, a_.ld, b_.scratch_k);
  }

  // values = [V, 1]
  void append_one(Tile tile) const {
    for (int64_t r = 0; r < tile.rows; ++r) {
      T* to = b_.values + r * (dh_ + 1);
      std::copy_n(v(tile).data + r * a_.ld, dh_, to);
      to[dh_] = T(1);
    }
  }

  // P = near tril(phi_q phi_k^T)
  void meet(Tile tile, T near) const {
    multiply<T>(tile.rows, tile.rows, m_, b_.p, kTile, near, phi_q(), t(phi_k()), T(0));
    keep_lower_triangle(tile.rows, b_.p);
  }
  // z = P 1 + far phi_q . (sum of earlier phi_k)
  void causal_sums(Tile tile, T far) const {
    weighted_sums<T>(tile.rows, tile.rows, b_.p, kTile, b_.ones, b_.z);
    if (tile.row == 0) return;
    weighted_sums<T>(tile.rows, m_, b_.phi_q, b_.ld, state_before(tile.row) + dh_ * m_, b_.row);
    axpy<T>(tile.rows, far, b_.row, b_.z);
  }

  // z becomes 1 / max(z + eps, least), 0 where nothing is left to divide by. scale: that of z.
  void invert(Tile tile, T scale) const {
    const T eps = a_.eps == 0 ? T(0) : a_.eps * std::exp2(-scale), most = most_inverse(scale);
    for (int64_t r = 0; r < tile.rows; ++r) {
      const T z = b_.z[r] + eps;
      b_.z[r] = std::abs(z) < kDead ? T(0) : 1 / z;
      if (a_.least > 0 && !(z > 0 && b_.z[r] < most)) b_.z[r] = most;
    }
  }
  // 1 / least, in the scale of z.
  T most_inverse(T scale) const { return a_.least > 0 ? std::exp2(scale) / a_.least : T(0); }
  // O = R / z
  void divide(Tile tile, T scale) const {
    invert(tile, scale);
    scale_rows<T>(tile.rows, dh_, b_.z, o(tile), a_.ldo, o(tile), a_.ldo);
  }
  // gR = [G / z, -(G.O) / z]
  void divide_backward(Tile tile, T scale) const {
    invert(tile, scale);
    const T* g = a_.d_o + tile.row * a_.ldo;
    scale_rows<T>(tile.rows, dh_, b_.z, g, a_.ldo, b_.gr, dh_ + 1);
    dot_rows<T>(tile.rows, dh_, g, a_.ldo, o(tile), a_.ldo, b_.row);
    const T most = most_inverse(scale);
    for (int64_t r = 0; r < tile.rows; ++r) {
      const bool replaced = a_.least > 0 && b_.z[r] >= most;
      b_.gr[r * (dh_ + 1) + dh_] = replaced ? T(0) : -b_.row[r] * b_.z[r];
    }
  }

  const FeatureAttention<T>& a_;
  const Blocks<T> b_;
  const int64_t m_, dh_, stride_;
};

}  // namespace

template <class T>
int64_t feature_state_elements(int64_t rows, int64_t head_dim, int64_t features, bool causal) {
  const int64_t states = causal ? tile_count(rows) - 1 : 1;
  return std::max<int64_t>(states, 0) * state_stride(head_dim, features);
}

template <class T>
size_t feature_attention_scratch(const FeatureAttention<T>& a) {
  return Blocks<T>(a, nullptr).bytes;
}

template <class T>
void feature_attention_forward(const FeatureAttention<T>& a, void* scratch) {
  if (a.rows == 0) return;
  Head<T> head(a, scratch);
  a.causal ? head.causal_forward() : head.forward();
}

template <class T>
void feature_attention_backward(const FeatureAttention<T>& a, void* scratch) {
  if (a.rows == 0) return;
  Head<T> head(a, scratch);
  a.causal ? head.causal_backward() : head.backward();
}

namespace {

// Sum over tiles of n rows: `inside` of pairs within a tile, `earlier` for what meets the state at its start, `passed`
// for what goes on to the next tile. All per (row, feature) or (row, row), multiply and add counted as two.
template <class T>
double causal_flops(const FeatureAttention<T>& a, double per_pair, double earlier, double passed) {
  const double m = static_cast<double>(a.map->features());
  double sum = 0;
  for (int64_t row = 0; row < a.rows; row += kTile) {
    const double n = static_cast<double>(std::min(kTile, a.rows - row));
    sum += n * n * per_pair;
    if (row > 0) sum += n * m * earlier;
    if (row + kTile < a.rows) sum += n * m * passed;
  }
  return sum;
}

}  // namespace

template <class T>
double feature_attention_forward_flops(const FeatureAttention<T>& a) {
  const double m = static_cast<double>(a.map->features()), dh = static_cast<double>(a.head_dim);
  if (!a.causal) return static_cast<double>(a.rows) * m * (4 * dh + 4);
  return causal_flops(a, 2 * m + 2 * dh + 2, 2 * dh + 2, 2 * dh + 2);
}

template <class T>
double feature_attention_backward_flops(const FeatureAttention<T>& a) {
  const double m = static_cast<double>(a.map->features()), dh = static_cast<double>(a.head_dim);
  if (!a.causal) return static_cast<double>(a.rows) * m * (8 * dh + 8);
  return causal_flops(a, 6 * m + 4 * dh + 4, 4 * dh + 6, 4 * dh + 2);
}

#define LRA_INSTANTIATE(T)                                                     \
  template int64_t feature_state_elements<T>(int64_t, int64_t, int64_t, bool); \
  template size_t feature_attention_scratch(const FeatureAttention<T>&);       \
  template void feature_attention_forward(const FeatureAttention<T>&, void*);  \
  template void feature_attention_backward(const FeatureAttention<T>&, void*); \
  template double feature_attention_forward_flops(const FeatureAttention<T>&); \
  template double feature_attention_backward_flops(const FeatureAttention<T>&);

LRA_INSTANTIATE(float)
LRA_INSTANTIATE(double)
#undef LRA_INSTANTIATE

}  // namespace lra::math
