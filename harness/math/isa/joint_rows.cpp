// Row kernels of joint attention for one instruction set (see joint_attention.h). Rows are padded to whole vectors by
// whoever owns them; what stands in the padding is neither read nor kept.
#include "math/isa/joint_rows_table.h"
#include "math/isa/tile.h"
#include "math/isa/vexp.h"

namespace lra::math::LRA_ISA {
namespace {

template <class T>
constexpr T kInfinity = static_cast<T>(__builtin_inf());

// e^x for x around 0 and below; 0 for -inf.
template <class T>
LRA_INLINE Vec<T> exp_below(Vec<T> x) {
  return vexp2_small<T>(x * ExpTable<T>::kLog2e);
}

// The last, partial vector of a row, `otherwise` beyond its end.
template <class T>
LRA_INLINE Vec<T> load_rest(const T* p, int64_t n, T otherwise) {
  T lanes[kLanes<T>];
  for (int i = 0; i < kLanes<T>; ++i) lanes[i] = i < n ? p[i] : otherwise;
  return load(lanes);
}

template <class T>
void exponentiate(int64_t rows, int64_t keys, T* s, int64_t lds, T* max, T* sum) {
  const int64_t whole = keys / kLanes<T> * kLanes<T>;
  for (int64_t r = 0; r < rows; ++r) {
    T* row = s + r * lds;
    Vec<T> top = broadcast<T>(-kInfinity<T>);
    for (int64_t c = 0; c < whole; c += kLanes<T>) top = lra::math::LRA_ISA::max<T>(load(row + c), top);
    const Vec<T> rest = load_rest<T>(row + whole, keys - whole, -kInfinity<T>);
    max[r] = max_lanes<T>(lra::math::LRA_ISA::max<T>(rest, top));
    const T base = max[r] > -kInfinity<T> ? max[r] : T(0);
    Vec<T> total{};
    for (int64_t c = 0; c < whole; c += kLanes<T>) {
      const Vec<T> p = exp_below<T>(load(row + c) - base);
      store<T>(row + c, p);
      total += p;
    }
    if (whole < keys) {
      const Vec<T> p = exp_below<T>(rest - base);
      store_n<T>(row + whole, p, static_cast<int>(keys - whole));
      total += p;
    }
    sum[r] = sum_lanes<T>(total);
  }
}

template <class T>
void probabilities(int64_t rows, int64_t keys, T* s, int64_t lds, const T* lse) {
  const int64_t whole = keys / kLanes<T> * kLanes<T>;
  for (int64_t r = 0; r < rows; ++r) {
    T* row = s + r * lds;
    // A row that sees nothing has only -inf here, so that any finite base gives 0.
    const T base = lse[r] > -kInfinity<T> ? lse[r] : T(0);
    for (int64_t c = 0; c < whole; c += kLanes<T>) store<T>(row + c, exp_below<T>(load(row + c) - base));
    if (whole < keys) {
      const int n = static_cast<int>(keys - whole);
      store_n<T>(row + whole, exp_below<T>(load_rest<T>(row + whole, n, -kInfinity<T>) - base), n);
    }
  }
}

// body(c, n): a whole vector of columns from c where n is 0, else the last n columns.
template <class T, class Body>
LRA_INLINE void for_columns(int64_t d, Body body) {
  int64_t c = 0;
  for (; c + kLanes<T> <= d; c += kLanes<T>) body(c, 0);
  if (c < d) body(c, static_cast<int>(d - c));
}
template <class T>
LRA_INLINE Vec<T> load_some(const T* p, int n) {
  return n == 0 ? load(p) : load_n(p, n);
}
template <class T>
LRA_INLINE void store_some(T* p, Vec<T> v, int n) {
  if (n == 0) {
    store<T>(p, v);
  } else {
    store_n<T>(p, v, n);
  }
}

template <class T>
void merge(int64_t rows, const int32_t* list, int64_t first, int64_t step, int64_t d, const T* keep, const T* add,
           const T* part, T* x, int64_t ld) {
  for (int64_t r = 0; r < rows; ++r) {
    T* to = x + (list != nullptr ? list[r] : first + r * step) * ld;
    const T* from = part + r * d;
    for_columns<T>(
        d, [&](int64_t c, int n) __attribute__((always_inline)) {
          store_some<T>(to + c, load_some<T>(to + c, n) * keep[r] + load_some<T>(from + c, n) * add[r], n);
        });
  }
}

template <class T>
void add(int64_t rows, const int32_t* list, int64_t first, int64_t step, int64_t d, const T* part, T* x, int64_t ld) {
  for (int64_t r = 0; r < rows; ++r) {
    T* to = x + (list != nullptr ? list[r] : first + r * step) * ld;
    const T* from = part + r * d;
    for_columns<T>(
        d, [&](int64_t c, int n) __attribute__((always_inline)) {
          store_some<T>(to + c, load_some<T>(to + c, n) + load_some<T>(from + c, n), n);
        });
  }
}

template <class T>
void dots(int64_t rows, const int32_t* list, int64_t first, int64_t step, int64_t d, const T* x, int64_t ld, const T* y,
          int64_t ldy, T* out) {
  for (int64_t r = 0; r < rows; ++r) {
    const T* a = x + (list != nullptr ? list[r] : first + r * step) * ld;
    const T* b = y + r * ldy;
    Vec<T> sum{};
    for_columns<T>(
        d, [&](int64_t c, int n)
               __attribute__((always_inline)) { sum += load_some<T>(a + c, n) * load_some<T>(b + c, n); });
    out[r] = sum_lanes<T>(sum);
  }
}

template <class T>
void score_gradients(int64_t rows, int64_t keys, T* s, const T* dp, int64_t lds, const T* delta) {
  for (int64_t r = 0; r < rows; ++r) {
    T* row = s + r * lds;
    const T* d = dp + r * lds;
    int64_t c = 0;
    for (; c + kLanes<T> <= keys; c += kLanes<T>) store<T>(row + c, load(row + c) * (load(d + c) - delta[r]));
    for (; c < keys; ++c) row[c] *= d[c] - delta[r];
  }
}

template <class T>
constexpr JointRowsTable<T> kTable{exponentiate<T>, probabilities<T>, merge<T>, add<T>, dots<T>, score_gradients<T>};

}  // namespace

template <>
const JointRowsTable<float>& joint_rows_table<float>() {
  return kTable<float>;
}
template <>
const JointRowsTable<double>& joint_rows_table<double>() {
  return kTable<double>;
}

}  // namespace lra::math::LRA_ISA
