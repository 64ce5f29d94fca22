// The inner loops of every matrix product: register tiles and panel packing.
//   C[R x V lanes] = sum_p A[., p] B[p, .]
// One tile keeps R x V accumulators in registers; each step loads V vectors of B and R scalars of A. R and V fill the
// register file: 6 x 4 of 32 registers, 6 x 2 of 16. B comes in panels at most kPanel columns wide.
#ifndef LRA_MATH_ISA_TILE_H
#define LRA_MATH_ISA_TILE_H

#include "math/simd.h"

namespace lra::math::LRA_ISA {

// Widest panel of B in vectors and in columns.
inline constexpr int kPanelVectors = kRegisters / 8;
template <class T>
inline constexpr int kPanel = kPanelVectors* kLanes<T>;

// Rows of a register tile that is V vectors wide.
template <int V>
inline constexpr int kTileRows = kFused ? (V == kPanelVectors ? 6 : 12) : (V == kPanelVectors ? 4 : 8);

LRA_INLINE int64_t round_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }
LRA_INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// Rows [i, i + R) of A times V vectors of B. kTransposed: A is stored as its transpose, so that A[i, p] = a[p * lda +
// i]. Every finished row, V vectors, goes to out(i, column, x).
template <class T, bool kTransposed, int V, int R, class Out>
LRA_INLINE void multiply_tile(int64_t i, int64_t k, const T* a, int64_t lda, const T* b, int64_t ldb, int64_t column,
                              const Out& out) {
  const T* a_i = kTransposed ? a + i : a + i * lda;
  Vec<T> sum[R][V];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) sum[r][v] = Vec<T>{};
  }
  for (int64_t p = 0; p < k; ++p) {
    Vec<T> b_p[V];
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) b_p[v] = load(b + p * ldb + v * kLanes<T>);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const Vec<T> a_rp = broadcast(kTransposed ? a_i[p * lda + r] : a_i[r * lda + p]);
#pragma GCC unroll 16
      for (int v = 0; v < V; ++v) sum[r][v] += a_rp * b_p[v];
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) out(i + r, column, sum[r]);
}

// The last m - i <= R rows in one tile of just that height.
template <class T, bool kTransposed, int V, int R, class Out>
LRA_INLINE void multiply_rest(int64_t i, int64_t m, int64_t k, const T* a, int64_t lda, const T* b, int64_t ldb,
                              int64_t column, const Out& out) {
  if (m - i == R) {
    multiply_tile<T, kTransposed, V, R>(i, k, a, lda, b, ldb, column, out);
  } else if constexpr (R > 1) {
    multiply_rest<T, kTransposed, V, R - 1>(i, m, k, a, lda, b, ldb, column, out);
  }
}

// Rows [i, m) in tiles of R and a rest; tall tiles halve first, which keeps the number of copies of the loop small.
template <class T, bool kTransposed, int V, int R, class Out>
LRA_INLINE void multiply_rows(int64_t i, int64_t m, int64_t k, const T* a, int64_t lda, const T* b, int64_t ldb,
                              int64_t column, const Out& out) {
  for (; i + R <= m; i += R) multiply_tile<T, kTransposed, V, R>(i, k, a, lda, b, ldb, column, out);
  if constexpr (R > 6) {
    multiply_rows<T, kTransposed, V, R / 2>(i, m, k, a, lda, b, ldb, column, out);
  } else if constexpr (R > 1) {
    multiply_rest<T, kTransposed, V, R - 1>(i, m, k, a, lda, b, ldb, column, out);
  }
}

// A (m x k) times one panel of B that is `vectors` wide (<= kPanelVectors); `column` is what out calls the panel's
// first.
template <class T, bool kTransposed, class Out>
LRA_INLINE void multiply_panel(int64_t m, int64_t k, const T* a, int64_t lda, const T* b, int64_t ldb, int64_t vectors,
                               int64_t column, const Out& out) {
  if constexpr (kPanelVectors == 4) {
    if (vectors == 4) {
      multiply_rows<T, kTransposed, 4, kTileRows<4>>(0, m, k, a, lda, b, ldb, column, out);
      return;
    }
  }
  if (vectors >= 2) {
    multiply_rows<T, kTransposed, 2, kTileRows<2>>(0, m, k, a, lda, b, ldb, column, out);
    b += 2 * kLanes<T>;
    column += 2 * kLanes<T>;
  }
  if (vectors % 2 == 1) multiply_rows<T, kTransposed, 1, kTileRows<1>>(0, m, k, a, lda, b, ldb, column, out);
}

// The same for a B whose rows lie together: n columns, a multiple of the lanes.
template <class T, bool kTransposed, class Out>
LRA_INLINE void multiply(int64_t m, int64_t n, int64_t k, const T* a, int64_t lda, const T* b, int64_t ldb,
                         const Out& out) {
  for (int64_t j = 0; j < n; j += kPanel<T>) {
    multiply_panel<T, kTransposed>(m, k, a, lda, b + j, ldb, smaller(kPanel<T>, n - j) / kLanes<T>, j, out);
  }
}

// One half of an exchange of the off-diagonal S x S blocks of rows a and b: low keeps a's blocks with lane bit S clear
// and takes b's in the others' place, high the reverse.
template <class T, int S, bool kHigh>
LRA_INLINE Vec<T> exchange(Vec<T> a, Vec<T> b) {
  constexpr int L = kLanes<T>;
  VecInt<T> lanes{};
#pragma GCC unroll 16
  for (int i = 0; i < L; ++i) lanes[i] = kHigh ? ((i & S) != 0 ? L + i : i + S) : ((i & S) != 0 ? L + i - S : i);
  return __builtin_shuffle(a, b, lanes);
}

// rows[i][j] becomes rows[j][i], in log2(lanes) rounds that swap off-diagonal blocks of S x S.
template <class T, int S = kLanes<T> / 2>
LRA_INLINE void transpose(Vec<T> (&rows)[kLanes<T>]) {
#pragma GCC unroll 16
  for (int i = 0; i < kLanes<T>; ++i) {
    if ((i & S) == 0) {
      const Vec<T> low = exchange<T, S, false>(rows[i], rows[i + S]);
      rows[i + S] = exchange<T, S, true>(rows[i], rows[i + S]);
      rows[i] = low;
    }
  }
  if constexpr (S > 1) transpose<T, S / 2>(rows);
}

// out[c, r] = x[r, c] for r < rows, c < columns; rows up to the next multiple of the lanes are written as zero.
template <class T>
LRA_INLINE void pack_transposed(int64_t rows, int64_t columns, const T* x, int64_t ldx, T* out, int64_t ldout) {
  constexpr int L = kLanes<T>;
  for (int64_t r0 = 0; r0 < rows; r0 += L) {
    const int64_t r_count = smaller(L, rows - r0);
    for (int64_t c0 = 0; c0 < columns; c0 += L) {
      const int64_t c_count = smaller(L, columns - c0);
      const T* from = x + r0 * ldx + c0;
      T* to = out + c0 * ldout + r0;
      Vec<T> block[L];
      if (r_count == L && c_count == L) {
#pragma GCC unroll 16
        for (int i = 0; i < L; ++i) block[i] = load(from + i * ldx);
      } else {
#pragma GCC unroll 16
        for (int i = 0; i < L; ++i) {
          block[i] = i < r_count ? load_n(from + i * ldx, static_cast<int>(c_count)) : Vec<T>{};
        }
      }
      transpose<T>(block);
#pragma GCC unroll 16
      for (int i = 0; i < L; ++i) {
        if (i < c_count) store(to + i * ldout, block[i]);
      }
    }
  }
}

// out[r, c] = factor * x[r, c]; columns up to the next multiple of the lanes are written as zero.
template <class T>
LRA_INLINE void pack_rows(int64_t rows, int64_t columns, T factor, const T* x, int64_t ldx, T* out, int64_t ldout) {
  constexpr int L = kLanes<T>;
  for (int64_t r = 0; r < rows; ++r) {
    int64_t c = 0;
    for (; c + L <= columns; c += L) store<T>(out + r * ldout + c, load(x + r * ldx + c) * factor);
    if (c < columns) {
      store<T>(out + r * ldout + c, load_n(x + r * ldx + c, static_cast<int>(columns - c)) * factor);
    }
  }
}

}  // namespace lra::math::LRA_ISA

#endif  // LRA_MATH_ISA_TILE_H
