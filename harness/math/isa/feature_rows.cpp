// Row kernels of feature maps for one instruction set (see feature_rows.h).
//   cos, sin   n = round(x 2/pi),  r = x - n pi/2 (pi/2 in three parts),  |r| <= pi/4; polynomials of degree 2 in r^2
//   that
//              interpolate (sin r / r - 1) / r^2 and (cos r - 1 + r^2/2) / r^4: errors 2e-8. n mod 4 picks and signs
//              them. Double takes the C library's, value by value: it is for checks, not for speed.
#include "math/isa/feature_rows_table.h"
#include "math/isa/gelu.h"
#include "math/isa/sweep.h"
#include "math/isa/tile.h"
#include "math/isa/vexp.h"

namespace lra::math::LRA_ISA {
namespace {

template <class T>
struct CosSin {
  Vec<T> cosine, sine;
};

LRA_INLINE CosSin<double> cos_sin(Vec<double> x) {
  CosSin<double> y;
  for (int i = 0; i < kLanes<double>; ++i) {
    y.cosine[i] = __builtin_cos(x[i]);
    y.sine[i] = __builtin_sin(x[i]);
  }
  return y;
}

LRA_INLINE CosSin<float> cos_sin(Vec<float> x) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer, kept in the low bits
  const Vec<float> rounded = x * 0.636619772f + kRound;
  const Vec<float> n = rounded - kRound;
  const Vec<float> r = ((x - n * 1.5703125f) - n * 4.837512969970703125e-4f) - n * 7.54978995489188e-8f;
  const Vec<float> s = r * r;
  const Vec<float> sine = r + r * s * (-1.6666664602e-01f + s * (8.3327365592e-03f + s * -1.9585373207e-04f));
  const Vec<float> cosine =
      1.0f - 0.5f * s + s * s * (4.1666664599e-02f + s * (-1.3888291301e-03f + s * 2.4545419078e-05f));
  const VecInt<float> quadrant = (VecInt<float>)rounded;
  const Vec<float> sine_or_cosine = (quadrant & 1) != 0 ? cosine : sine;
  const Vec<float> cosine_or_sine = (quadrant & 1) != 0 ? sine : cosine;
  return {((quadrant + 1) & 2) != 0 ? -cosine_or_sine : cosine_or_sine,
          (quadrant & 2) != 0 ? -sine_or_cosine : sine_or_cosine};
}

// e^x for x <= 0: the rounding of x log2(e) is an absolute error below 1e-7, and cheaper than vexp's two parts of ln 2.
template <class T>
LRA_INLINE Vec<T> exp_below_0(Vec<T> x) {
  return vexp2_small<T>(x * ExpTable<T>::kLog2e);
}

template <class T, Curve f>
LRA_INLINE Vec<T> value_at(Vec<T> x) {
  if constexpr (f == Curve::kRelu) return x > 0 ? x : Vec<T>{};
  if constexpr (f == Curve::kElu1) return x > 0 ? x + T(1) : exp_below_0<T>(x);
  if constexpr (f == Curve::kExp) return vexp<T>(x);
  if constexpr (f == Curve::kSigmoid) return T(1) / (T(1) + vexp<T>(-x));
  if constexpr (f == Curve::kAbs) return x > 0 ? x : -x;
  if constexpr (f == Curve::kGelu) return vgelu<T>(x);
  if constexpr (f == Curve::kCos) return cos_sin(x).cosine;
  if constexpr (f == Curve::kTanh) return T(1) - T(2) / (T(1) + vexp<T>(x + x));
  return x;
}

template <class T, Curve f>
LRA_INLINE Vec<T> slope_at(Vec<T> x) {
  if constexpr (f == Curve::kRelu) return x > 0 ? broadcast(T(1)) : Vec<T>{};
  if constexpr (f == Curve::kElu1) return x > 0 ? broadcast(T(1)) : exp_below_0<T>(x);
  if constexpr (f == Curve::kExp) return vexp<T>(x);
  if constexpr (f == Curve::kAbs) return x > 0 ? broadcast(T(1)) : broadcast(T(-1));
  if constexpr (f == Curve::kGelu) return vgelu_slope<T>(x);
  if constexpr (f == Curve::kCos) return -cos_sin(x).sine;
  if constexpr (f == Curve::kSigmoid) {
    const Vec<T> s = value_at<T, f>(x);
    return s * (T(1) - s);
  }
  if constexpr (f == Curve::kTanh) {
    const Vec<T> y = value_at<T, f>(x);
    return T(1) - y * y;
  }
  return broadcast(T(1));
}

// body(constant) with f as a constant.
template <class Body>
LRA_INLINE void with_constant(Curve f, const Body& body) {
  switch (f) {
    case Curve::kRelu:
      return body(std::integral_constant<Curve, Curve::kRelu>{});
    case Curve::kElu1:
      return body(std::integral_constant<Curve, Curve::kElu1>{});
    case Curve::kExp:
      return body(std::integral_constant<Curve, Curve::kExp>{});
    case Curve::kSigmoid:
      return body(std::integral_constant<Curve, Curve::kSigmoid>{});
    case Curve::kAbs:
      return body(std::integral_constant<Curve, Curve::kAbs>{});
    case Curve::kGelu:
      return body(std::integral_constant<Curve, Curve::kGelu>{});
    case Curve::kCos:
      return body(std::integral_constant<Curve, Curve::kCos>{});
    case Curve::kTanh:
      return body(std::integral_constant<Curve, Curve::kTanh>{});
    case Curve::kIdentity:
      return body(std::integral_constant<Curve, Curve::kIdentity>{});
  }
}

template <class T>
void curve(Curve f, int64_t rows, int64_t d, const T* x, int64_t ldx, T factor, T offset, T* y, int64_t ldy) {
  with_constant(f, [=](auto constant) {
    for (int64_t r = 0; r < rows; ++r) {
      sweep<T>(d, [=](int64_t c, auto part) {
        part.write(y + r * ldy + c,
                   factor * value_at<T, decltype(constant)::value>(part.read(x + r * ldx + c)) + offset);
      });
    }
  });
}

template <class T>
void curve_backward(Curve f, int64_t rows, int64_t d, const T* x, int64_t ldx, T factor, const T* dy, int64_t lddy,
                    T* dx, int64_t lddx) {
  with_constant(f, [=](auto constant) {
    for (int64_t r = 0; r < rows; ++r) {
      sweep<T>(d, [=](int64_t c, auto part) {
        const Vec<T> slope = slope_at<T, decltype(constant)::value>(part.read(x + r * ldx + c));
        part.write(dx + r * lddx + c, factor * slope * part.read(dy + r * lddy + c));
      });
    }
  });
}

template <class T>
void exp2_rows(int64_t rows, int64_t d, T sign, const T* x, int64_t ldx, const T* shift, const T* whole,
               const T* offset, T* y, int64_t ldy) {
  using Table = ExpTable<T>;
  for (int64_t r = 0; r < rows; ++r) {
    const T minus = shift[r], down = whole[r], up = offset[r];
    sweep<T>(d, [=](int64_t c, auto part) {
      const Vec<T> t = sign * part.read(x + r * ldx + c) - minus;
      const Vec<T> rounded = t + Table::kRound;
      const Vec<T> power = exp_assemble<T>(t - (rounded - Table::kRound), rounded - down, Table::kTwo);
      part.write(y + r * ldy + c, (t - down < Table::kLowest2 ? Vec<T>{} : power) + up);
    });
  }
}

template <class T>
void cos_sin_rows(int64_t rows, int64_t d, const T* x, int64_t ldx, const T* factor, T* cosine, int64_t ldcosine,
                  T* sine, int64_t ldsine) {
  for (int64_t r = 0; r < rows; ++r) {
    const T f = factor[r];
    sweep<T>(d, [=](int64_t c, auto part) {
      const CosSin<T> both = cos_sin(part.read(x + r * ldx + c));
      part.write(cosine + r * ldcosine + c, f * both.cosine);
      part.write(sine + r * ldsine + c, f * both.sine);
    });
  }
}

template <class T>
void max_rows(int64_t rows, int64_t d, const T* x, int64_t ldx, T* out) {
  for (int64_t r = 0; r < rows; ++r) {
    const T first = x[r * ldx];
    Vec<T> largest = broadcast(first);
    sweep<T>(d,
             [&](int64_t c, auto part) { largest = max<T>(largest, part.beyond(part.read(x + r * ldx + c), first)); });
    out[r] = max_lanes<T>(largest);
  }
}

template <class T>
void max_abs_rows(int64_t rows, int64_t d, const T* x, int64_t ldx, T* out) {
  for (int64_t r = 0; r < rows; ++r) {
    Vec<T> largest{};
    sweep<T>(d, [&](int64_t c, auto part) {
      const Vec<T> v = part.read(x + r * ldx + c);
      largest = max<T>(largest, max<T>(v, -v));
    });
    out[r] = max_lanes<T>(largest);
  }
}

template <class T>
void dot_rows(int64_t rows, int64_t d, const T* a, int64_t lda, const T* b, int64_t ldb, T* out) {
  for (int64_t r = 0; r < rows; ++r) {
    Vec<T> sum{};
    sweep<T>(d, [&](int64_t c, auto part) { sum += part.read(a + r * lda + c) * part.read(b + r * ldb + c); });
    out[r] = sum_lanes<T>(sum);
  }
}

template <class T>
void scale_rows(int64_t rows, int64_t d, const T* factor, const T* x, int64_t ldx, T* y, int64_t ldy) {
  for (int64_t r = 0; r < rows; ++r) {
    const T f = factor[r];
    sweep<T>(d, [=](int64_t c, auto part) { part.write(y + r * ldy + c, f * part.read(x + r * ldx + c)); });
  }
}

template <class T>
void axpy_rows(int64_t rows, int64_t d, const T* factor, const T* x, int64_t ldx, T* y, int64_t ldy) {
  for (int64_t r = 0; r < rows; ++r) {
    const T f = factor[r];
    sweep<T>(d, [=](int64_t c, auto part) {
      part.write(y + r * ldy + c, part.read(y + r * ldy + c) + f * part.read(x + r * ldx + c));
    });
  }
}

template <class T>
void product_rows(int64_t rows, int64_t d, const T* a, int64_t lda, const T* b, int64_t ldb, const T* offset, T* y,
                  int64_t ldy, T* sum) {
  for (int64_t r = 0; r < rows; ++r) {
    const T down = offset[r];
    Vec<T> total{};
    sweep<T>(d, [&](int64_t c, auto part) {
      const Vec<T> product = part.read(a + r * lda + c) * (part.read(b + r * ldb + c) - down);
      total += product;
      part.write(y + r * ldy + c, product);
    });
    sum[r] = sum_lanes<T>(total);
  }
}

template <class T>
void transpose_rows(int64_t rows, int64_t d, const T* x, int64_t ldx, T* y, int64_t ldy) {
  pack_transposed<T>(rows, d, x, ldx, y, ldy);
}

template <class T>
constexpr FeatureRowsTable<T> kTable = {curve<T>,     curve_backward<T>, exp2_rows<T>,     cos_sin_rows<T>,
                                        max_rows<T>,  max_abs_rows<T>,   dot_rows<T>,      scale_rows<T>,
                                        axpy_rows<T>, product_rows<T>,   transpose_rows<T>};

}  // namespace

template <>
const FeatureRowsTable<float>& feature_rows_table<float>() {
  return kTable<float>;
}
template <>
const FeatureRowsTable<double>& feature_rows_table<double>() {
  return kTable<double>;
}

}  // namespace lra::math::LRA_ISA
