// Tiled softmax attention for one instruction set (see attention.h).
// All exponentials are powers of two: q is packed with scale * log2(e), so that P = 2^(S - max) and lse = ln 2 (max +
// log2 sum).
//
// Forward, per tile of rows:           for tiles of keys in the rows' interval
//     S = q K^T;  m' = max(m, rows of S);  P = 2^(S - m');  l = l 2^(m - m') + sums of P;  O = O 2^(m - m') + P V
//   o = O / l.   Tiles lie on a grid counted from row 0, so a head that is split by rows gives the same bits as a whole
//   one.
// Backward, per tile of keys:          for tiles of rows that see them
//     P = 2^(q K^T - lse);  dS = P o (dO V^T - D);  dV += P^T dO;  dK += dS^T q;  dQ += dS K
// Keys are the outer loop: only q, dO and dQ stream through the caches, once per tile of keys.
#include "math/isa/attention_table.h"
#include "math/isa/tile.h"
#include "math/isa/vexp.h"

namespace lra::math::LRA_ISA {
namespace {

constexpr double kLog2e = 1.4426950408889634074;
constexpr double kLn2 = 0.69314718055994530942;

// A tile of scores: rows a multiple of every register tile and of the lanes, few enough that a narrow band stays
// narrow; keys enough to make a pass over the rows worth it.
constexpr int64_t kTileHeight = 48, kTileWidth = 256;

template <class T>
constexpr T kInfinity = static_cast<T>(__builtin_inf());

LRA_INLINE int64_t round_down(int64_t n, int64_t multiple) { return n / multiple * multiple; }
LRA_INLINE int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

// Hands out 64-byte aligned pieces of the scratch; from a null start it only counts.
template <class T>
struct Pieces {
  T* start;
  int64_t used = 0;

  T* take(int64_t n) {
    T* piece = start == nullptr ? nullptr : start + used;
    used += round_up(n, 64 / static_cast<int64_t>(sizeof(T)));
    return piece;
  }
  size_t bytes() const { return static_cast<size_t>(used) * sizeof(T); }
};

template <class T>
LRA_INLINE void fill(T* x, int64_t n, T value) {
  for (int64_t i = 0; i < n; ++i) x[i] = value;
}

// The interval of keys that a tile of rows needs, in whole vectors, counted from a key that begins a vector.
struct Span {
  int64_t begin, end;
};

template <class T>
Span span_of_rows(const KeyRange& range, int64_t row_begin, int64_t row_end) {
  const int64_t begin = range.begin(row_begin), end = range.end(row_end - 1);
  if (begin >= end) return {0, 0};
  return {round_down(begin, kLanes<T>), round_up(end, kLanes<T>)};
}

// Where the row's interval [first, last) lies, relative to the first key of a span; the same in every lane of the mask.
template <class T>
struct Bounds {
  T *first, *last;

  // True if some row does not see every key of [begin, end).
  bool set(const KeyRange& range, int64_t row, int64_t rows, int64_t begin, int64_t end) const {
    const int64_t top = range.begin(row), top_last = range.begin(row + rows - 1);
    const int64_t bottom = range.end(row), bottom_last = range.end(row + rows - 1);
    if (top_last <= begin && bottom >= end) return false;
    const bool alike = top == top_last && bottom == bottom_last;
    for (int64_t i = 0; i < rows; ++i) {
      first[i] = static_cast<T>((alike ? top : range.begin(row + i)) - begin);
      last[i] = static_cast<T>((alike ? bottom : range.end(row + i)) - begin);
    }
    return true;
  }
};

// Lane numbers 0, 1, 2, ...
template <class T>
LRA_INLINE Vec<T> iota() {
  Vec<T> v{};
#pragma GCC unroll 16
  for (int i = 0; i < kLanes<T>; ++i) v[i] = static_cast<T>(i);
  return v;
}

// x where row i sees the key at `position`, else `otherwise`.
template <class T>
LRA_INLINE Vec<T> masked(const Bounds<T>& bounds, int64_t i, int64_t position, Vec<T> x, T otherwise) {
  const Vec<T> key = iota<T>() + static_cast<T>(position);
  return (key >= bounds.first[i]) & (key < bounds.last[i]) ? x : broadcast(otherwise);
}

// One value per row from [kLanes rows][kLanes] partial values: transposed, so that no row is reduced on its own.
template <class T, class Combine>
LRA_INLINE Vec<T> reduce_rows(const T* partial, Combine combine) {
  Vec<T> x[kLanes<T>];
#pragma GCC unroll 16
  for (int i = 0; i < kLanes<T>; ++i) x[i] = load(partial + i * kLanes<T>);
  transpose<T>(x);
#pragma GCC unroll 4
  for (int half = kLanes<T> / 2; half > 0; half /= 2) {
#pragma GCC unroll 16
    for (int i = 0; i < half; ++i) x[i] = combine(x[i], x[i + half]);
  }
  return x[0];
}

// K^T or V^T of the keys [begin, end) as panels kPanel wide (the last one narrower): panel p holds its rows of head_dim
// together.
template <class T>
void pack_panels(int64_t begin, int64_t end, int64_t real_end, int64_t head_dim, const T* x, int64_t ldx, T* out) {
  for (int64_t j = begin; j < end; j += kPanel<T>) {
    const int64_t width = smaller(kPanel<T>, end - j);
    pack_transposed<T>(smaller(width, real_end - j), head_dim, x + j * ldx, ldx, out + (j - begin) * head_dim, width);
  }
}

// a (rows x head_dim) times the columns [begin, end) of `total` packed in panels; whole vectors.
template <class T, class Out>
LRA_INLINE void multiply_panels(int64_t rows, int64_t head_dim, const T* a, int64_t lda, const T* panels, int64_t total,
                                int64_t begin, int64_t end, const Out& out) {
  for (int64_t j = begin; j < end;) {
    const int64_t panel = round_down(j, kPanel<T>);
    const int64_t width = smaller(kPanel<T>, total - panel);
    const int64_t stop = smaller(panel + width, end);
    multiply_panel<T, false>(rows, head_dim, a, lda, panels + panel * head_dim + (j - panel), width,
                             (stop - j) / kLanes<T>, j - begin, out);
    j = stop;
  }
}

// x [keys, head_dim] -> out [padded, ld] with zeros below and to the right.
template <class T>
void pack_keys(int64_t begin, int64_t end, int64_t real_end, int64_t head_dim, const T* x, int64_t ldx, T* out,
               int64_t ld) {
  const int64_t real = smaller(end, real_end) - begin;
  pack_rows<T>(real, head_dim, T(1), x + begin * ldx, ldx, out, ld);
  fill<T>(out + real * ld, (end - begin - real) * ld, T(0));
}

// ---- forward
// -------------------------------------------------------------------------------------------------------------

template <class T>
struct ForwardScratch {
  int64_t ld, lds;       // padded head_dim; row of S
  T *keys, *values;      // K^T in panels, V
  T *q, *s, *o;          // tile: scaled q, S then P, O
  T *row_max, *row_sum;  // [rows][lanes]
  T *max, *correction;   // [rows]: m, 2^(m - m')
  Bounds<T> bounds;

  static ForwardScratch place(const Attention<T>& a, Pieces<T>& pieces) {
    const int64_t padded = round_up(a.range.keys, kLanes<T>);
    ForwardScratch w;
    w.ld = round_up(a.head_dim, kLanes<T>);
    w.lds = smaller(padded, kTileWidth) + kLanes<T>;  // not a power of two: rows would share cache sets
    w.keys = pieces.take(padded * a.head_dim);
    w.values = pieces.take(padded * w.ld);
    w.q = pieces.take(kTileHeight * w.ld);
    w.s = pieces.take(kTileHeight * w.lds);
    w.o = pieces.take(kTileHeight * w.ld);
    w.row_max = pieces.take(kTileHeight * kLanes<T>);
    w.row_sum = pieces.take(kTileHeight * kLanes<T>);
    w.max = pieces.take(kTileHeight);
    w.correction = pieces.take(kTileHeight);
    w.bounds = {pieces.take(kTileHeight), pieces.take(kTileHeight)};
    return w;
  }
};

// S is stored and the largest value of each row kept, lane by lane.
template <class T, bool kMasked>
struct ScoresOut {
  T* s;
  int64_t lds;
  T* row_max;
  Bounds<T> bounds;

  template <int V>
  __attribute__((always_inline)) void operator()(int64_t i, int64_t column, Vec<T> (&x)[V]) const {
    Vec<T> top = load(row_max + i * kLanes<T>);
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) {
      const int64_t at = column + v * kLanes<T>;
      if constexpr (kMasked) x[v] = masked<T>(bounds, i, at, x[v], -kInfinity<T>);
      top = max<T>(top, x[v]);
      store<T>(s + i * lds + at, x[v]);
    }
    store<T>(row_max + i * kLanes<T>, top);
  }
};

// O = O * factor of the row + x; the first time O = x.
template <class T, bool kFirst>
struct OutputOut {
  T* o;
  int64_t ld;
  const T* factor;

  template <int V>
  __attribute__((always_inline)) void operator()(int64_t i, int64_t column, Vec<T> (&x)[V]) const {
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) {
      T* to = o + i * ld + column + v * kLanes<T>;
      store<T>(to, kFirst ? x[v] : load(to) * factor[i] + x[v]);
    }
  }
};

// New maxima of the rows and the factors that old sums must be multiplied with.
template <class T>
void update_maxima(const ForwardScratch<T>& w, int64_t rows) {
  for (int64_t i = 0; i < rows; i += kLanes<T>) {
    const Vec<T> old = load(w.max + i);
    const Vec<T> top = max<T>(old, reduce_rows<T>(
                                       w.row_max + i * kLanes<T>,
                                       [](Vec<T> a, Vec<T> b) __attribute__((always_inline)) { return max<T>(a, b); }));
    // A row that has seen no key yet keeps -inf; 0 stands in for it, or -inf - (-inf) would be NaN.
    const Vec<T> finite = top > -kInfinity<T> ? top : Vec<T>{};
    store<T>(w.max + i, top);
    store<T>(w.correction + i, vexp2_small<T>(old - finite));
  }
}

// P = 2^(S - m) in place and its sums, lane by lane.
template <class T>
void exponentiate(const ForwardScratch<T>& w, int64_t rows, int64_t keys) {
  for (int64_t i = 0; i < rows; ++i) {
    const T top = w.max[i] > -kInfinity<T> ? w.max[i] : T(0);
    T* s = w.s + i * w.lds;
    Vec<T> sum = load(w.row_sum + i * kLanes<T>) * w.correction[i];
    for (int64_t j = 0; j < keys; j += kLanes<T>) {
      const Vec<T> p = vexp2_small<T>(load(s + j) - top);
      store<T>(s + j, p);
      sum += p;
    }
    store<T>(w.row_sum + i * kLanes<T>, sum);
  }
}

LRA_INLINE float log2_of(float x) { return __builtin_log2f(x); }
LRA_INLINE double log2_of(double x) { return __builtin_log2(x); }

// o = O / l, lse = ln 2 (m + log2 l).
template <class T>
void finish_rows(const Attention<T>& a, const ForwardScratch<T>& w, int64_t row, int64_t rows) {
  T sums[kLanes<T>];
  for (int64_t i0 = 0; i0 < rows; i0 += kLanes<T>) {
    store<T>(sums,
             reduce_rows<T>(
                 w.row_sum + i0 * kLanes<T>, [](Vec<T> x, Vec<T> y) __attribute__((always_inline)) { return x + y; }));
    for (int64_t i = i0; i < smaller(rows, i0 + kLanes<T>); ++i) {
      const T sum = sums[i - i0];
      a.lse[row + i] = sum > 0 ? static_cast<T>(kLn2) * (w.max[i] + log2_of(sum)) : -kInfinity<T>;
      const T inverse = sum > 0 ? T(1) / sum : T(0);
      const T* from = w.o + i * w.ld;
      T* to = a.o + (row + i) * a.ldo;
      int64_t c = 0;
      for (; c + kLanes<T> <= a.head_dim; c += kLanes<T>) store<T>(to + c, load(from + c) * inverse);
      if (c < a.head_dim) store_n<T>(to + c, load(from + c) * inverse, static_cast<int>(a.head_dim - c));
    }
  }
}

// Calls visit(row, rows, span) for the parts of the grid's row tiles that lie in [row_begin, row_end).
template <class T, class Visit>
LRA_INLINE void for_row_tiles(const Attention<T>& a, int64_t row_begin, int64_t row_end, Visit visit) {
  for (int64_t tile = round_down(row_begin, kTileHeight); tile < row_end; tile += kTileHeight) {
    const Span span = span_of_rows<T>(a.range, tile, smaller(tile + kTileHeight, a.queries));
    const int64_t row = larger(tile, row_begin);
    visit(row, smaller(tile + kTileHeight, row_end) - row, span);
  }
}

template <class T>
void forward(const Attention<T>& a, int64_t row_begin, int64_t row_end, void* scratch) {
  if (row_begin >= row_end) return;
  Pieces<T> pieces{static_cast<T*>(scratch)};
  const ForwardScratch<T> w = ForwardScratch<T>::place(a, pieces);
  Span all{INT64_MAX, 0};
  for_row_tiles<T>(a, row_begin, row_end, [&](int64_t, int64_t, Span span) {
    if (span.begin < span.end) {
      all = {smaller(all.begin, round_down(span.begin, kPanel<T>)), larger(all.end, span.end)};
    }
  });
  const int64_t packed = larger(0, all.end - all.begin);
  if (packed > 0) {
    pack_panels<T>(all.begin, all.end, a.range.keys, a.head_dim, a.k, a.ldk, w.keys);
    pack_keys<T>(all.begin, all.end, a.range.keys, a.head_dim, a.v, a.ldv, w.values, w.ld);
  }
  for_row_tiles<T>(a, row_begin, row_end, [&](int64_t row, int64_t rows, Span span) {
    pack_rows<T>(rows, a.head_dim, a.scale * static_cast<T>(kLog2e), a.q + row * a.ldq, a.ldq, w.q, w.ld);
    const int64_t whole_rows = round_up(rows, kLanes<T>);
    fill<T>(w.max, whole_rows, -kInfinity<T>);
    fill<T>(w.row_sum, whole_rows * kLanes<T>, T(0));
    if (span.begin == span.end) fill<T>(w.o, rows * w.ld, T(0));
    for (int64_t j = span.begin; j < span.end;) {
      // The first tile ends where the others will begin: on the border of a panel.
      const int64_t end = smaller(span.end, round_down(j, kPanel<T>) + kTileWidth);
      fill<T>(w.row_max, whole_rows * kLanes<T>, -kInfinity<T>);
      if (w.bounds.set(a.range, row, rows, j, end)) {
        const ScoresOut<T, true> out{w.s, w.lds, w.row_max, w.bounds};
        multiply_panels<T>(rows, a.head_dim, w.q, w.ld, w.keys, packed, j - all.begin, end - all.begin, out);
      } else {
        const ScoresOut<T, false> out{w.s, w.lds, w.row_max, w.bounds};
        multiply_panels<T>(rows, a.head_dim, w.q, w.ld, w.keys, packed, j - all.begin, end - all.begin, out);
      }
      update_maxima<T>(w, rows);
      exponentiate<T>(w, rows, end - j);
      const T* values = w.values + (j - all.begin) * w.ld;
      if (j == span.begin) {
        multiply<T, false>(rows, w.ld, end - j, w.s, w.lds, values, w.ld, OutputOut<T, true>{w.o, w.ld, w.correction});
      } else {
        multiply<T, false>(rows, w.ld, end - j, w.s, w.lds, values, w.ld, OutputOut<T, false>{w.o, w.ld, w.correction});
      }
      j = end;
    }
    finish_rows<T>(a, w, row, rows);
  });
}

template <class T>
int64_t forward_pairs(const Attention<T>& a, int64_t row_begin, int64_t row_end) {
  int64_t pairs = 0;
  for_row_tiles<T>(a, row_begin, row_end,
                   [&](int64_t, int64_t rows, Span span) { pairs += rows * (span.end - span.begin); });
  return pairs;
}

template <class T>
size_t forward_scratch(const Attention<T>& a) {
  Pieces<T> pieces{nullptr};
  ForwardScratch<T>::place(a, pieces);
  return pieces.bytes();
}

// ---- backward
// ------------------------------------------------------------------------------------------------------------

template <class T>
struct BackwardScratch {
  int64_t ld, lds;
  T *q, *d_o, *dq;              // whole sequence: scaled q, dO, dQ
  T *lse, *delta;               // [queries]: lse in powers of two, D
  T *keys_t, *values_t, *keys;  // tile of keys: K^T and V^T in panels, K
  T *dk, *dv;
  T *p, *ds;   // tile of scores
  T* partial;  // [lanes][lanes]
  Bounds<T> bounds;

  static BackwardScratch place(const Attention<T>& a, Pieces<T>& pieces) {
    const int64_t tile = smaller(round_up(a.range.keys, kLanes<T>), kTileWidth);
    const int64_t rows = round_up(a.queries, kLanes<T>);
    BackwardScratch w;
    w.ld = round_up(a.head_dim, kLanes<T>);
    w.lds = tile + kLanes<T>;
    w.q = pieces.take(rows * w.ld);
    w.d_o = pieces.take(rows * w.ld);
    w.dq = pieces.take(rows * w.ld);
    w.lse = pieces.take(rows);
    w.delta = pieces.take(rows);
    w.keys_t = pieces.take(tile * a.head_dim);
    w.values_t = pieces.take(tile * a.head_dim);
    w.keys = pieces.take(tile * w.ld);
    w.dk = pieces.take(tile * w.ld);
    w.dv = pieces.take(tile * w.ld);
    w.p = pieces.take(kTileHeight * w.lds);
    w.ds = pieces.take(kTileHeight * w.lds);
    w.partial = pieces.take(kLanes<T> * kLanes<T>);
    w.bounds = {pieces.take(kTileHeight), pieces.take(kTileHeight)};
    return w;
  }
};

// P = 2^(S - lse).
template <class T, bool kMasked>
struct ProbabilitiesOut {
  T* p;
  int64_t lds;
  const T* lse;
  Bounds<T> bounds;

  template <int V>
  __attribute__((always_inline)) void operator()(int64_t i, int64_t column, Vec<T> (&x)[V]) const {
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) {
      const int64_t at = column + v * kLanes<T>;
      Vec<T> y = vexp2_small<T>(x[v] - lse[i]);
      if constexpr (kMasked) y = masked<T>(bounds, i, at, y, T(0));
      store<T>(p + i * lds + at, y);
    }
  }
};

// dS = P o (dP - D).
template <class T>
struct ScoreGradientOut {
  const T* p;
  T* ds;
  int64_t lds;
  const T* delta;

  template <int V>
  __attribute__((always_inline)) void operator()(int64_t i, int64_t column, Vec<T> (&x)[V]) const {
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) {
      const int64_t at = i * lds + column + v * kLanes<T>;
      store<T>(ds + at, load(p + at) * (x[v] - delta[i]));
    }
  }
};

template <class T>
struct SumOut {
  T* c;
  int64_t ld;

  template <int V>
  __attribute__((always_inline)) void operator()(int64_t i, int64_t column, Vec<T> (&x)[V]) const {
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) {
      T* to = c + i * ld + column + v * kLanes<T>;
      store<T>(to, load(to) + x[v]);
    }
  }
};

// First row i in [0, queries] for which `sees(i)` holds; sees is false, then true.
template <class Sees>
LRA_INLINE int64_t first_row(int64_t queries, Sees sees) {
  int64_t low = 0, high = queries;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (sees(middle)) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

// Calls begin_keys(j, end) for each tile of keys, visit(row, rows, span) for the row tiles that see some of them,
// end_keys(j, end).
template <class T, class Begin, class Visit, class End>
LRA_INLINE void for_key_tiles(const Attention<T>& a, Begin begin_keys, Visit visit, End end_keys) {
  for (int64_t j = 0; j < a.range.keys; j += kTileWidth) {
    const int64_t end = smaller(j + kTileWidth, round_up(a.range.keys, kLanes<T>));
    begin_keys(j, end);
    const int64_t row_begin = first_row(a.queries, [&](int64_t i) { return a.range.end(i) > j; });
    const int64_t row_end = first_row(a.queries, [&](int64_t i) { return a.range.begin(i) >= end; });
    for (int64_t row = row_begin; row < row_end; row += kTileHeight) {
      const int64_t rows = smaller(kTileHeight, row_end - row);
      const Span span = span_of_rows<T>(a.range, row, row + rows);
      const Span cut{larger(span.begin, j), smaller(span.end, end)};
      if (cut.begin < cut.end) visit(row, rows, cut);
    }
    end_keys(j, end);
  }
}

// out = factor * x, padding left behind.
template <class T>
void unpack_rows(int64_t rows, int64_t columns, T factor, const T* x, int64_t ldx, T* out, int64_t ldout) {
  for (int64_t r = 0; r < rows; ++r) {
    int64_t c = 0;
    for (; c + kLanes<T> <= columns; c += kLanes<T>) store<T>(out + r * ldout + c, load(x + r * ldx + c) * factor);
    if (c < columns) store_n<T>(out + r * ldout + c, load(x + r * ldx + c) * factor, static_cast<int>(columns - c));
  }
}

// q, dO, lse and D = rowsum(dO o O) of all rows; dQ = 0.
template <class T>
void prepare_rows(const Attention<T>& a, const BackwardScratch<T>& w) {
  pack_rows<T>(a.queries, a.head_dim, a.scale * static_cast<T>(kLog2e), a.q, a.ldq, w.q, w.ld);
  pack_rows<T>(a.queries, a.head_dim, T(1), a.d_o, a.ldo, w.d_o, w.ld);
  fill<T>(w.dq, a.queries * w.ld, T(0));
  for (int64_t i = 0; i < a.queries; ++i) w.lse[i] = a.lse[i] * static_cast<T>(kLog2e);
  fill<T>(w.partial, kLanes<T> * kLanes<T>, T(0));
  for (int64_t i0 = 0; i0 < a.queries; i0 += kLanes<T>) {
    for (int64_t i = i0; i < smaller(a.queries, i0 + kLanes<T>); ++i) {
      const T *o = a.o + i * a.ldo, *d_o = w.d_o + i * w.ld;
      Vec<T> sum{};
      int64_t c = 0;
      for (; c + kLanes<T> <= a.head_dim; c += kLanes<T>) sum += load(o + c) * load(d_o + c);
      if (c < a.head_dim) sum += load_n(o + c, static_cast<int>(a.head_dim - c)) * load(d_o + c);
      store<T>(w.partial + (i - i0) * kLanes<T>, sum);
    }
    store<T>(w.delta + i0, reduce_rows<T>(
                               w.partial, [](Vec<T> x, Vec<T> y) __attribute__((always_inline)) { return x + y; }));
  }
}

template <class T>
void backward(const Attention<T>& a, void* scratch) {
  Pieces<T> pieces{static_cast<T*>(scratch)};
  const BackwardScratch<T> w = BackwardScratch<T>::place(a, pieces);
  prepare_rows<T>(a, w);
  int64_t first = 0, total = 0;  // the tile of keys at hand
  const auto begin_keys = [&](int64_t j, int64_t end) {
    first = j;
    total = end - j;
    pack_panels<T>(j, end, a.range.keys, a.head_dim, a.k, a.ldk, w.keys_t);
    pack_panels<T>(j, end, a.range.keys, a.head_dim, a.v, a.ldv, w.values_t);
    pack_keys<T>(j, end, a.range.keys, a.head_dim, a.k, a.ldk, w.keys, w.ld);
    fill<T>(w.dk, total * w.ld, T(0));
    fill<T>(w.dv, total * w.ld, T(0));
  };
  const auto visit = [&](int64_t row, int64_t rows, Span span) {
    const int64_t begin = span.begin - first, end = span.end - first, keys = end - begin;
    const T *q = w.q + row * w.ld, *d_o = w.d_o + row * w.ld;
    if (w.bounds.set(a.range, row, rows, span.begin, span.end)) {
      const ProbabilitiesOut<T, true> out{w.p, w.lds, w.lse + row, w.bounds};
      multiply_panels<T>(rows, a.head_dim, q, w.ld, w.keys_t, total, begin, end, out);
    } else {
      const ProbabilitiesOut<T, false> out{w.p, w.lds, w.lse + row, w.bounds};
      multiply_panels<T>(rows, a.head_dim, q, w.ld, w.keys_t, total, begin, end, out);
    }
    const ScoreGradientOut<T> out{w.p, w.ds, w.lds, w.delta + row};
    multiply_panels<T>(rows, a.head_dim, d_o, w.ld, w.values_t, total, begin, end, out);
    multiply<T, true>(keys, w.ld, rows, w.p, w.lds, d_o, w.ld, SumOut<T>{w.dv + begin * w.ld, w.ld});
    multiply<T, true>(keys, w.ld, rows, w.ds, w.lds, q, w.ld, SumOut<T>{w.dk + begin * w.ld, w.ld});
    multiply<T, false>(rows, w.ld, keys, w.ds, w.lds, w.keys + begin * w.ld, w.ld, SumOut<T>{w.dq + row * w.ld, w.ld});
  };
  const auto end_keys = [&](int64_t j, int64_t end) {
    const int64_t keys = smaller(end, a.range.keys) - j;
    // The packed q holds scale * log2(e) already.
    unpack_rows<T>(keys, a.head_dim, static_cast<T>(kLn2), w.dk, w.ld, a.dk + j * a.ldk, a.ldk);
    unpack_rows<T>(keys, a.head_dim, T(1), w.dv, w.ld, a.dv + j * a.ldv, a.ldv);
  };
  for_key_tiles<T>(a, begin_keys, visit, end_keys);
  unpack_rows<T>(a.queries, a.head_dim, a.scale, w.dq, w.ld, a.dq, a.ldq);
}

template <class T>
int64_t backward_pairs(const Attention<T>& a) {
  int64_t pairs = 0;
  const auto nothing = [](int64_t, int64_t) {};
  for_key_tiles<T>(
      a, nothing, [&](int64_t, int64_t rows, Span span) { pairs += rows * (span.end - span.begin); }, nothing);
  return pairs;
}

template <class T>
size_t backward_scratch(const Attention<T>& a) {
  Pieces<T> pieces{nullptr};
  BackwardScratch<T>::place(a, pieces);
  return pieces.bytes();
}

}  // namespace

template <class T>
const AttentionTable<T>& attention_table() {
  static constexpr AttentionTable<T> table{&forward_scratch<T>, &backward_scratch<T>, &forward<T>,
                                           &backward<T>,        &forward_pairs<T>,    &backward_pairs<T>};
  return table;
}
template const AttentionTable<float>& attention_table<float>();
template const AttentionTable<double>& attention_table<double>();

}  // namespace lra::math::LRA_ISA
