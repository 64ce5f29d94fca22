// Element and row kernels of one instruction set; formulas in math/elementwise.h. What each is built from:
//   GELU, tanh form   x / (1 + e^(-2u)),  u = sqrt(2/pi) (x + 0.044715 x^3)        since (1 + tanh u) / 2 = 1 / (1 +
//   e^(-2u)) GELU, erf form    x > 0: x - x c,  else x c,  c = erfc(|x| / sqrt 2) / 2 erfc(z), z >= 0   e^(-z^2) t
//   P(t),  t = 1 / (1 + 0.38 z): P a Chebyshev interpolant of degree 8, relative error 2.5e-8 dropout           32 bits
//   per element: half of SplitMix64's finaliser on counter (offset + i) / 2
#include "math/isa/elementwise_table.h"
#include "math/isa/gelu.h"
#include "math/isa/sweep.h"
#include "math/isa/vexp.h"

namespace lra::math::LRA_ISA {
namespace {

template <class T>
LRA_INLINE Vec<T> abs(Vec<T> x) {
  return x < 0 ? -x : x;
}

template <class T>
LRA_INLINE Vec<T> root(Vec<T> x) {
  Vec<T> y;
  for (int i = 0; i < kLanes<T>; ++i)
    y[i] = sizeof(T) == 4 ? static_cast<T>(__builtin_sqrtf(static_cast<float>(x[i])))
                          : static_cast<T>(__builtin_sqrt(static_cast<double>(x[i])));
  return y;
}

template <class T>
void exp(int64_t n, const T* x, T* y) {
  sweep<T>(n, [=](int64_t i, auto part) { part.write(y + i, vexp<T>(part.read(x + i))); });
}

template <class T>
void gelu_tanh(int64_t n, const T* x, T* y) {
  sweep<T>(n, [=](int64_t i, auto part) { part.write(y + i, vgelu<T>(part.read(x + i))); });
}

template <class T>
void gelu_tanh_backward(int64_t n, const T* x, const T* dy, T* dx) {
  sweep<T>(n, [=](int64_t i, auto part) { part.write(dx + i, part.read(dy + i) * vgelu_slope<T>(part.read(x + i))); });
}

constexpr double kRootHalf = 0.70710678118654752440084436210485;
constexpr double kInverseRoot2Pi = 0.39894228040143267793994605993438;

// erfc(z) / 2 for z >= 0, given gauss = e^(-z^2).
template <class T>
LRA_INLINE Vec<T> half_erfc(Vec<T> z, Vec<T> gauss) {
  if constexpr (sizeof(T) == 8) {
    Vec<T> y;
    for (int i = 0; i < kLanes<T>; ++i) y[i] = 0.5 * __builtin_erfc(z[i]);
    return y;
  } else {
    // P in powers of s, the image of t on [-1, 1] for z in [0, 10].
    constexpr T kP[] = {T(4.7734715615e-01),  T(3.1975213488e-01), T(1.5152053295e-01),
                        T(4.6686718047e-02),  T(6.3844656692e-03), T(-1.2116681961e-03),
                        T(-5.4970042128e-04), T(3.4442225786e-05), T(3.5938970476e-05)};
    const Vec<T> t = T(1) / (T(1) + T(0.38) * z);
    const Vec<T> s = T(2.5263157894736845) * t - T(1.5263157894736843);
    Vec<T> p = broadcast(kP[8]);
    for (int i = 7; i >= 0; --i) p = p * s + kP[i];
    return T(0.5) * gauss * t * p;
  }
}

template <class T>
void gelu_erf(int64_t n, const T* x, T* y) {
  sweep<T>(n, [=](int64_t i, auto part) {
    const Vec<T> v = part.read(x + i);
    const Vec<T> tail = v * half_erfc<T>(abs<T>(v) * T(kRootHalf), vexp<T>(T(-0.5) * v * v));
    part.write(y + i, v > 0 ? v - tail : tail);
  });
}

template <class T>
void gelu_erf_backward(int64_t n, const T* x, const T* dy, T* dx) {
  sweep<T>(n, [=](int64_t i, auto part) {
    const Vec<T> v = max<T>(min<T>(part.read(x + i), broadcast(T(40))), broadcast(T(-40)));
    const Vec<T> gauss = vexp<T>(T(-0.5) * v * v);
    const Vec<T> c = half_erfc<T>(abs<T>(v) * T(kRootHalf), gauss);
    // d(x Phi(x))/dx = Phi(x) + x Phi'(x)
    const Vec<T> phi = v > 0 ? T(1) - c : c;
    part.write(dx + i, part.read(dy + i) * (phi + v * gauss * T(kInverseRoot2Pi)));
  });
}

template <class T>
void layer_norm(int64_t rows, int64_t d, const T* x, const T* gain, const T* shift, T eps, T* y, T* mean, T* rstd) {
  const T inverse_d = T(1) / static_cast<T>(d);
  for (int64_t r = 0; r < rows; ++r, x += d, y += d) {
    Vec<T> sum{};
    sweep<T>(d, [&](int64_t j, auto part) { sum += part.read(x + j); });
    const T mu = sum_lanes<T>(sum) * inverse_d;
    Vec<T> squares{};
    sweep<T>(d, [&](int64_t j, auto part) {
      const Vec<T> centred = part.beyond(part.read(x + j) - mu, T(0));
      squares += centred * centred;
    });
    const T variance = sum_lanes<T>(squares) * inverse_d;
    const T inverse = T(1) / root<T>(broadcast(variance + eps))[0];
    sweep<T>(d, [=](int64_t j, auto part) {
      part.write(y + j, (part.read(x + j) - mu) * inverse * part.read(gain + j) + part.read(shift + j));
    });
    mean[r] = mu;
    rstd[r] = inverse;
  }
}

// Rows [0, kRows) of one block, so that dgain and dshift are read and written once for all of them.
template <class T, int kRows>
LRA_INLINE void layer_norm_backward_block(int64_t d, const T* x, const T* gain, const T* mean, const T* rstd,
                                          const T* dy, T* dx, T* dgain, T* dshift) {
  const T inverse_d = T(1) / static_cast<T>(d);
  T mean_g[kRows], mean_gx[kRows];
  for (int r = 0; r < kRows; ++r) {
    Vec<T> g_sum{}, gx_sum{};
    sweep<T>(d, [&](int64_t j, auto part) {
      const Vec<T> g = part.read(dy + r * d + j) * part.read(gain + j);
      g_sum += g;
      gx_sum += g * (part.read(x + r * d + j) - mean[r]);
    });
    mean_g[r] = sum_lanes<T>(g_sum) * inverse_d;
    mean_gx[r] = sum_lanes<T>(gx_sum) * inverse_d * rstd[r];
  }
  // x^ = (x - mean) rstd;  g = dy gain;  dx = rstd (g - mean(g) - x^ mean(g x^));  dgain += dy x^;  dshift += dy
  sweep<T>(d, [&](int64_t j, auto part) {
    const Vec<T> gains = part.read(gain + j);
    Vec<T> gain_sum{}, shift_sum{};
    for (int r = 0; r < kRows; ++r) {
      const Vec<T> dy_row = part.read(dy + r * d + j);
      const Vec<T> x_hat = (part.read(x + r * d + j) - mean[r]) * rstd[r];
      gain_sum += dy_row * x_hat;
      shift_sum += dy_row;
      part.write(dx + r * d + j, rstd[r] * (dy_row * gains - mean_g[r] - x_hat * mean_gx[r]));
    }
    part.write(dgain + j, part.read(dgain + j) + gain_sum);
    part.write(dshift + j, part.read(dshift + j) + shift_sum);
  });
}

template <class T>
void layer_norm_backward(int64_t rows, int64_t d, const T* x, const T* gain, const T* mean, const T* rstd, const T* dy,
                         T* dx, T* dgain, T* dshift) {
  constexpr int kBlock = 4;
  int64_t r = 0;
  for (; r + kBlock <= rows; r += kBlock) {
    layer_norm_backward_block<T, kBlock>(d, x + r * d, gain, mean + r, rstd + r, dy + r * d, dx + r * d, dgain, dshift);
  }
  for (; r < rows; ++r) {
    layer_norm_backward_block<T, 1>(d, x + r * d, gain, mean + r, rstd + r, dy + r * d, dx + r * d, dgain, dshift);
  }
}

template <class T>
void add(int64_t n, const T* a, const T* b, T* y) {
  sweep<T>(n, [=](int64_t i, auto part) { part.write(y + i, part.read(a + i) + part.read(b + i)); });
}

template <class T>
void axpy(int64_t n, T alpha, const T* x, T* y) {
  sweep<T>(n, [=](int64_t i, auto part) { part.write(y + i, alpha * part.read(x + i) + part.read(y + i)); });
}

template <class T>
void scale(int64_t n, T alpha, T* x) {
  sweep<T>(n, [=](int64_t i, auto part) { part.write(x + i, alpha * part.read(x + i)); });
}

// Blocks of rows keep the chains of float additions short.
template <class T>
void column_sums(int64_t rows, int64_t d, const T* x, int64_t ld, T* out) {
  constexpr int64_t kBlock = 64;
  constexpr int64_t kColumns = 4 * kLanes<T>;
  for (int64_t begin = 0; begin < rows; begin += kBlock) {
    const int64_t end = begin + kBlock < rows ? begin + kBlock : rows;
    int64_t j = 0;
    for (; j + kColumns <= d; j += kColumns) {
      Vec<T> sum[4] = {};
      for (int64_t r = begin; r < end; ++r) {
        for (int c = 0; c < 4; ++c) sum[c] += load(x + r * ld + j + c * kLanes<T>);
      }
      for (int c = 0; c < 4; ++c) store<T>(out + j + c * kLanes<T>, load(out + j + c * kLanes<T>) + sum[c]);
    }
    sweep<T>(d - j, [=](int64_t i, auto part) {
      Vec<T> sum{};
      for (int64_t r = begin; r < end; ++r) sum += part.read(x + r * ld + j + i);
      part.write(out + j + i, part.read(out + j + i) + sum);
    });
  }
}

template <class T>
double sum_squares(int64_t n, const T* x) {
  // Sixteen interleaved sums, whatever the instruction set.
  constexpr int kSums = 16;
  double sum[kSums] = {};
  int64_t i = 0;
  for (; i + kSums <= n; i += kSums) {
    for (int s = 0; s < kSums; ++s) sum[s] += static_cast<double>(x[i + s]) * static_cast<double>(x[i + s]);
  }
  for (int s = 0; i < n; ++i, ++s) sum[s] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  for (int half = kSums / 2; half > 0; half /= 2) {
    for (int s = 0; s < half; ++s) sum[s] += sum[s + half];
  }
  return sum[0];
}

constexpr uint64_t kGolden = 0x9E3779B97F4A7C15u;

template <class U>  // uint64_t or a vector of them
LRA_INLINE U finalise(U z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

// Element e takes the low half of hash e / 2 when e is even, the high half when it is odd.
template <class T>
LRA_INLINE void drop_one(T* x, uint64_t e, const DropoutRule& rule) {
  const uint64_t hash = finalise(rule.key + kGolden * (e / 2));
  const uint32_t bits = static_cast<uint32_t>(hash >> (32 * (e % 2)));
  *x = bits < rule.drop_below ? T(0) : *x * static_cast<T>(rule.kept_scale);
}

template <class T>
void dropout(int64_t n, T* x, const DropoutRule& rule) {
  typedef uint64_t Hashes __attribute__((vector_size(kVectorBytes)));
  typedef uint32_t Bits __attribute__((vector_size(4 * kLanes<T>)));
  constexpr int kHashes = kVectorBytes / 8;
  constexpr int kElements = 2 * kHashes;
  const T kept_scale = static_cast<T>(rule.kept_scale);
  const Bits drop_below = rule.drop_below - Bits{};
  int64_t i = 0;
  if (rule.offset % 2 != 0 && n > 0) drop_one(x + i++, rule.offset, rule);
  Hashes counter;
  for (int h = 0; h < kHashes; ++h) {
    counter[h] = rule.key + kGolden * ((rule.offset + static_cast<uint64_t>(i)) / 2 + static_cast<uint64_t>(h));
  }
  for (; i + kElements <= n; i += kElements, counter += kGolden * kHashes) {
    const Hashes hash = finalise(counter);
    for (int e = 0; e < kElements; e += kLanes<T>) {
      Bits bits;
      __builtin_memcpy(&bits, reinterpret_cast<const uint32_t*>(&hash) + e, sizeof(bits));
      const VecInt<T> dropped = __builtin_convertvector(bits < drop_below, VecInt<T>);
      store<T>(x + i + e, dropped ? Vec<T>{} : load(x + i + e) * kept_scale);
    }
  }
  for (; i < n; ++i) drop_one(x + i, rule.offset + static_cast<uint64_t>(i), rule);
}

template <class T>
void adamw(const AdamWFactors& f, int64_t n, T* w, const T* g, T* m, T* v) {
  const T beta1 = T(f.beta1), new1 = T(f.one_minus_beta1 * f.gradient_scale);
  const T beta2 = T(f.beta2), new2 = T(f.one_minus_beta2);
  const T scale = T(f.gradient_scale), rate = T(f.rate), v_unbias = T(f.v_unbias), eps = T(f.eps), shrink = T(f.shrink);
  sweep<T>(n, [=](int64_t i, auto part) {
    const Vec<T> raw = part.read(g + i);
    const Vec<T> grad = scale * raw;
    const Vec<T> m_new = beta1 * part.read(m + i) + new1 * raw;
    const Vec<T> v_new = beta2 * part.read(v + i) + new2 * (grad * grad);
    part.write(m + i, m_new);
    part.write(v + i, v_new);
    part.write(w + i, shrink * part.read(w + i) - rate * m_new / (root<T>(v_unbias * v_new) + eps));
  });
}

template <class T>
constexpr ElementwiseTable<T> kTable = {exp<T>,
                                        gelu_tanh<T>,
                                        gelu_erf<T>,
                                        gelu_tanh_backward<T>,
                                        gelu_erf_backward<T>,
                                        layer_norm<T>,
                                        layer_norm_backward<T>,
                                        add<T>,
                                        axpy<T>,
                                        scale<T>,
                                        column_sums<T>,
                                        sum_squares<T>,
                                        dropout<T>,
                                        adamw<T>};

}  // namespace

template <>
const ElementwiseTable<float>& elementwise_table<float>() {
  return kTable<float>;
}
template <>
const ElementwiseTable<double>& elementwise_table<double>() {
  return kTable<double>;
}

}  // namespace lra::math::LRA_ISA
