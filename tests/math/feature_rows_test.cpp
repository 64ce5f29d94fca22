// Row kernels of feature maps: against the C library and plain loops, slopes by differences, on every instruction set.
#include "math/feature_rows.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "core/rng.h"
#include "math/isa/feature_rows_table.h"

namespace lra::math {
namespace {

constexpr Curve kCurves[] = {Curve::kRelu, Curve::kElu1, Curve::kExp,  Curve::kSigmoid, Curve::kAbs,
                             Curve::kGelu, Curve::kCos,  Curve::kTanh, Curve::kIdentity};

double curve_at(Curve f, double x) {
  switch (f) {
    case Curve::kRelu:
      return std::max(x, 0.0);
    case Curve::kElu1:
      return x > 0 ? x + 1 : std::exp(x);
    case Curve::kExp:
      return std::exp(x);
    case Curve::kSigmoid:
      return 1 / (1 + std::exp(-x));
    case Curve::kAbs:
      return std::abs(x);
    case Curve::kGelu:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case Curve::kCos:
      return std::cos(x);
    case Curve::kTanh:
      return std::tanh(x);
    case Curve::kIdentity:
      return x;
  }
  return 0;
}

template <class T>
struct Copy {
  const char* isa;
  const FeatureRowsTable<T>* table;
};

template <class T>
std::vector<Copy<T>> copies() {
  std::vector<Copy<T>> all = {{"v2", &v2::feature_rows_table<T>()}};
  if (active_isa() >= Isa::kV3) all.push_back({"v3", &v3::feature_rows_table<T>()});
  if (active_isa() >= Isa::kV4) all.push_back({"v4", &v4::feature_rows_table<T>()});
  return all;
}

template <class T>
class FeatureRows : public testing::Test {
 protected:
  static constexpr int64_t kRows = 5, kLd = 41;
  static double either(double in_float, double in_double) { return std::is_same_v<T, float> ? in_float : in_double; }
  // kRows rows of kLd values.
  static std::vector<T> block(uint64_t key, double scale = 1) {
    std::vector<T> x(kRows * kLd);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<T>(scale * normal_at(key, i));
    return x;
  }
  static std::size_t at(int64_t r, int64_t c) { return static_cast<std::size_t>(r * kLd + c); }
};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(FeatureRows, Scalars);

TYPED_TEST(FeatureRows, CurvesAndTheirSlopesAreThoseOfTheFormula) {
  using T = TypeParam;
  const std::vector<T> x = this->block(1, 2), dy = this->block(2);
  for (const Copy<T>& copy : copies<T>()) {
    for (const Curve f : kCurves) {
      for (const int64_t d : {1, 16, 37}) {
        std::vector<T> y(x.size()), dx(x.size());
        copy.table->curve(f, this->kRows, d, x.data(), this->kLd, T(2), T(0.5), y.data(), this->kLd);
        copy.table->curve_backward(f, this->kRows, d, x.data(), this->kLd, T(2), dy.data(), this->kLd, dx.data(),
                                   this->kLd);
        for (int64_t r = 0; r < this->kRows; ++r) {
          for (int64_t c = 0; c < this->kLd; ++c) {
            const std::size_t i = this->at(r, c);
            if (c >= d) {
              ASSERT_EQ(y[i], T(0));
              ASSERT_EQ(dx[i], T(0));
              continue;
            }
            const double v = static_cast<double>(x[i]), h = 1e-6;
            const double value = 2 * curve_at(f, v) + 0.5;
            const double slope = (curve_at(f, v + h) - curve_at(f, v - h)) / (2 * h);
            ASSERT_NEAR(y[i], value, this->either(4e-7, 1e-14) * (1 + std::abs(value))) << copy.isa << " at " << v;
            const double change = 2 * slope * static_cast<double>(dy[i]);
            ASSERT_NEAR(dx[i], change, this->either(4e-6, 1e-8) * (1 + std::abs(change))) << copy.isa << " at " << v;
          }
        }
      }
    }
  }
}

TYPED_TEST(FeatureRows, PowersCosinesAndSinesAreThoseOfTheLibrary) {
  using T = TypeParam;
  const std::vector<T> x = this->block(3, 20);
  const std::vector<T> shift = {80, 90, 100, 110, 120}, offset = {0, 1, 2, 3, 4}, whole = {-3, 0, 5, 40, 1};
  for (const Copy<T>& copy : copies<T>()) {
    std::vector<T> y(x.size()), cosine(x.size()), sine(x.size());
    copy.table->exp2_rows(this->kRows, this->kLd, T(-1), x.data(), this->kLd, shift.data(), whole.data(), offset.data(),
                          y.data(), this->kLd);
    copy.table->cos_sin_rows(this->kRows, this->kLd, x.data(), this->kLd, offset.data(), cosine.data(), this->kLd,
                             sine.data(), this->kLd);
    for (int64_t r = 0; r < this->kRows; ++r) {
      for (int64_t c = 0; c < this->kLd; ++c) {
        const std::size_t i = this->at(r, c);
        const double v = static_cast<double>(x[i]), up = static_cast<double>(r);
        const std::size_t row = static_cast<std::size_t>(r);
        const double power = std::exp2(-v - static_cast<double>(shift[row]) - static_cast<double>(whole[row]));
        // The exponent itself is rounded: relative error 2^-24 of about 150.
        ASSERT_NEAR(y[i], power + up, this->either(1e-5, 1e-13) * power + this->either(1e-7, 1e-15) * up);
        ASSERT_NEAR(cosine[i], up * std::cos(v), up * this->either(2e-7, 1e-15)) << copy.isa << " at " << v;
        ASSERT_NEAR(sine[i], up * std::sin(v), up * this->either(2e-7, 1e-15)) << copy.isa << " at " << v;
      }
    }
  }
}

TYPED_TEST(FeatureRows, RowSumsAndLargestValuesLeaveOutWhatLiesBeyondTheRow) {
  using T = TypeParam;
  std::vector<T> a = this->block(4), b = this->block(5);
  for (T& v : a) v -= T(10);  // all negative: a zero from beyond the row would win
  const std::vector<T> factor = {1, 2, 3, 4, 5};
  const double tolerance = this->either(2e-4, 1e-12);
  for (const Copy<T>& copy : copies<T>()) {
    for (const int64_t d : {1, 8, 30, 41}) {
      std::vector<T> largest(this->kRows), magnitude(this->kRows), dots(this->kRows), shared(this->kRows);
      std::vector<T> sums(this->kRows), scaled(a.size()), added = b, product(a.size());
      copy.table->max_rows(this->kRows, d, a.data(), this->kLd, largest.data());
      copy.table->max_abs_rows(this->kRows, d, a.data(), this->kLd, magnitude.data());
      copy.table->dot_rows(this->kRows, d, a.data(), this->kLd, b.data(), this->kLd, dots.data());
      copy.table->dot_rows(this->kRows, d, a.data(), this->kLd, b.data(), 0, shared.data());
      copy.table->scale_rows(this->kRows, d, factor.data(), a.data(), this->kLd, scaled.data(), this->kLd);
      copy.table->axpy_rows(this->kRows, d, factor.data(), a.data(), this->kLd, added.data(), this->kLd);
      copy.table->product_rows(this->kRows, d, a.data(), this->kLd, b.data(), this->kLd, factor.data(), product.data(),
                               this->kLd, sums.data());
      for (int64_t r = 0; r < this->kRows; ++r) {
        const std::size_t row = static_cast<std::size_t>(r);
        double top = -1e30, bottom = 0, dot = 0, dot_shared = 0, sum = 0;
        for (int64_t c = 0; c < d; ++c) {
          const std::size_t i = this->at(r, c);
          const double x = static_cast<double>(a[i]), y = static_cast<double>(b[i]),
                       f = static_cast<double>(factor[row]);
          top = std::max(top, x);
          bottom = std::max(bottom, std::abs(x));
          dot += x * y;
          dot_shared += x * static_cast<double>(b[static_cast<std::size_t>(c)]);
          sum += x * (y - f);
          ASSERT_NEAR(scaled[i], f * x, tolerance);
          ASSERT_NEAR(added[i], y + f * x, tolerance);
          ASSERT_NEAR(product[i], x * (y - f), tolerance);
        }
        EXPECT_EQ(static_cast<double>(largest[row]), top) << copy.isa;
        EXPECT_EQ(static_cast<double>(magnitude[row]), bottom) << copy.isa;
        EXPECT_NEAR(dots[row], dot, tolerance) << copy.isa;
        EXPECT_NEAR(shared[row], dot_shared, tolerance) << copy.isa;
        EXPECT_NEAR(sums[row], sum, 10 * tolerance) << copy.isa;
        if (d < this->kLd) {
          EXPECT_EQ(scaled[this->at(r, d)], T(0));
        }
      }
    }
  }
}

TYPED_TEST(FeatureRows, TransposeSwapsRowsAndColumns) {
  using T = TypeParam;
  const std::vector<T> x = this->block(6);
  for (const Copy<T>& copy : copies<T>()) {
    std::vector<T> y(41 * 16);
    copy.table->transpose(this->kRows, this->kLd, x.data(), this->kLd, y.data(), 16);
    for (int64_t r = 0; r < this->kRows; ++r) {
      for (int64_t c = 0; c < this->kLd; ++c) ASSERT_EQ(y[static_cast<std::size_t>(c * 16 + r)], x[this->at(r, c)]);
    }
  }
}

}  // namespace
}  // namespace lra::math
