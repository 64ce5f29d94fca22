// Element and row kernels: hand values, double references, gradients by differences, on every instruction set this
// machine has.
#include "math/elementwise.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "core/rng.h"
#include "math/dispatch.h"
#include "math/elementwise_reference.h"
#include "math/isa/elementwise_table.h"

namespace lra::math {
namespace {

template <class T>
std::vector<T> normals(std::size_t n, uint64_t key, double scale = 1) {
  std::vector<T> x(n);
  for (std::size_t i = 0; i < n; ++i) x[i] = static_cast<T>(scale * normal_at(key, i));
  return x;
}

template <class T>
std::vector<double> widened(const std::vector<T>& x, std::size_t begin, std::size_t n) {
  return {x.begin() + static_cast<std::ptrdiff_t>(begin), x.begin() + static_cast<std::ptrdiff_t>(begin + n)};
}

template <class T>
struct Copy {
  const char* isa;
  const ElementwiseTable<T>* table;
};

// One table for each instruction set that can run here.
template <class T>
std::vector<Copy<T>> copies() {
  std::vector<Copy<T>> all = {{"v2", &v2::elementwise_table<T>()}};
  if (active_isa() >= Isa::kV3) all.push_back({"v3", &v3::elementwise_table<T>()});
  if (active_isa() >= Isa::kV4) all.push_back({"v4", &v4::elementwise_table<T>()});
  return all;
}

template <class T>
class Elementwise : public testing::Test {
 protected:
  // Relative rounding allowed for a handful of operations.
  static constexpr double kRounding = std::is_same_v<T, float> ? 4e-7 : 2e-15;
  static double either(double in_float, double in_double) { return std::is_same_v<T, float> ? in_float : in_double; }
};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(Elementwise, Scalars);

TYPED_TEST(Elementwise, ExpIsRelativelyExactOverTheWholeRange) {
  using T = TypeParam;
  const double reach = std::is_same_v<T, float> ? 87 : 708;
  std::vector<T> x;
  for (double v = -reach; v <= reach; v += reach / 5003) x.push_back(static_cast<T>(v));
  std::vector<T> y(x.size());
  for (const Copy<T>& copy : copies<T>()) {
    copy.table->exp(static_cast<int64_t>(x.size()), x.data(), y.data());
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double expected = std::exp(static_cast<double>(x[i]));
      ASSERT_NEAR(y[i] / expected, 1.0, this->either(2e-7, 1e-15)) << copy.isa << " x = " << x[i];
    }
  }
}

TYPED_TEST(Elementwise, GeluIsZeroAtZeroTheIdentityFarAboveAndNothingFarBelow) {
  using T = TypeParam;
  const std::vector<T> x = {0, 1, -1, 50, -50, static_cast<T>(1e15), static_cast<T>(-1e15)};
  std::vector<T> y(x.size());
  for (const Gelu form : {Gelu::kTanh, Gelu::kErf}) {
    gelu(static_cast<int64_t>(x.size()), x.data(), y.data(), form);
    EXPECT_EQ(y[0], T(0));
    EXPECT_NEAR(y[1], form == Gelu::kTanh ? 0.8411919906082768 : 0.8413447460685429, this->kRounding);
    EXPECT_NEAR(y[2], form == Gelu::kTanh ? -0.1588080093917232 : -0.1586552539314571, this->kRounding);
    EXPECT_EQ(y[3], x[3]);
    EXPECT_NEAR(y[4], 0, 1e-30);
    EXPECT_EQ(y[5], x[5]);
    EXPECT_EQ(y[6], T(0));
    std::vector<T> dx(x.size(), T(1));
    gelu_backward(static_cast<int64_t>(x.size()), x.data(), dx.data(), dx.data(), form);
    EXPECT_NEAR(dx[0], 0.5, this->kRounding);
    EXPECT_NEAR(dx[5], 1, this->kRounding);
    EXPECT_NEAR(dx[6], 0, this->kRounding);
  }
}

TYPED_TEST(Elementwise, GeluAndItsSlopeAgreeWithTheFormulaOnEveryInstructionSet) {
  using T = TypeParam;
  std::vector<T> x;
  for (double v = -9; v <= 9; v += 0.00731) x.push_back(static_cast<T>(v));
  const int64_t n = static_cast<int64_t>(x.size());
  std::vector<T> y(x.size()), dx(x.size());
  const std::vector<T> ones(x.size(), T(1));
  for (const Gelu form : {Gelu::kTanh, Gelu::kErf}) {
    for (const Copy<T>& copy : copies<T>()) {
      (form == Gelu::kTanh ? copy.table->gelu_tanh : copy.table->gelu_erf)(n, x.data(), y.data());
      (form == Gelu::kTanh ? copy.table->gelu_tanh_backward : copy.table->gelu_erf_backward)(n, x.data(), ones.data(),
                                                                                             dx.data());
      for (std::size_t i = 0; i < x.size(); ++i) {
        const double v = static_cast<double>(x[i]);
        const double h = 1e-5;
        const double slope = (reference::gelu(v + h, form) - reference::gelu(v - h, form)) / (2 * h);
        ASSERT_NEAR(y[i], reference::gelu(v, form), this->kRounding * (0.3 + std::abs(v))) << copy.isa << " x = " << v;
        ASSERT_NEAR(dx[i], slope, this->either(2e-6, 1e-9)) << copy.isa << " x = " << v;
      }
    }
  }
}

TEST(ElementwiseByHand, LayerNormOfTwoChannelsIsPlusAndMinusOne) {
  const std::vector<double> x = {1, 3}, gain = {2, 5}, shift = {10, 20};
  std::vector<double> y(2), mean(1), rstd(1);
  layer_norm<double>(1, 2, x.data(), gain.data(), shift.data(), 0.0, y.data(), mean.data(), rstd.data());
  EXPECT_EQ(mean[0], 2);
  EXPECT_EQ(rstd[0], 1);
  EXPECT_EQ(y[0], 8);
  EXPECT_EQ(y[1], 25);
}

TYPED_TEST(Elementwise, LayerNormAgreesWithTheFormulaForEveryWidth) {
  using T = TypeParam;
  for (const std::size_t d : {1u, 3u, 16u, 31u, 64u, 100u}) {
    const std::size_t rows = 7;
    // A large common offset: a one-pass variance would lose all its digits here.
    std::vector<T> x = normals<T>(rows * d, 1);
    for (T& v : x) v += T(1000);
    const std::vector<T> gain = normals<T>(d, 2), shift = normals<T>(d, 3);
    for (const Copy<T>& copy : copies<T>()) {
      std::vector<T> y(rows * d), mean(rows), rstd(rows);
      copy.table->layer_norm(static_cast<int64_t>(rows), static_cast<int64_t>(d), x.data(), gain.data(), shift.data(),
                             static_cast<T>(1e-6), y.data(), mean.data(), rstd.data());
      for (std::size_t r = 0; r < rows; ++r) {
        const std::vector<double> expected =
            reference::layer_norm(widened(x, r * d, d), widened(gain, 0, d), widened(shift, 0, d), 1e-6);
        for (std::size_t j = 0; j < d; ++j) {
          ASSERT_NEAR(y[r * d + j], expected[j], this->either(2e-3, 1e-11)) << copy.isa << " width " << d;
        }
      }
    }
  }
}

TEST(ElementwiseByHand, LayerNormBackwardIsTheDirectionalDerivative) {
  const double h = 1e-5;
  for (const std::size_t d : {1u, 5u, 8u, 33u, 64u}) {
    const std::size_t rows = 6;
    const int64_t r64 = static_cast<int64_t>(rows), d64 = static_cast<int64_t>(d);
    const auto x = normals<double>(rows * d, 1), gain = normals<double>(d, 2), shift = normals<double>(d, 3);
    const auto dy = normals<double>(rows * d, 4), step_x = normals<double>(rows * d, 5);
    const auto step_gain = normals<double>(d, 6), step_shift = normals<double>(d, 7);
    for (const Copy<double>& copy : copies<double>()) {
      std::vector<double> y(rows * d), mean(rows), rstd(rows), dx(rows * d);
      const auto loss = [&](double t) {
        auto xt = x, gt = gain, st = shift;
        for (std::size_t i = 0; i < xt.size(); ++i) xt[i] += t * step_x[i];
        for (std::size_t j = 0; j < d; ++j) gt[j] += t * step_gain[j], st[j] += t * step_shift[j];
        copy.table->layer_norm(r64, d64, xt.data(), gt.data(), st.data(), 1e-6, y.data(), mean.data(), rstd.data());
        double sum = 0;
        for (std::size_t i = 0; i < y.size(); ++i) sum += y[i] * dy[i];
        return sum;
      };
      const double numeric = (loss(h) - loss(-h)) / (2 * h);
      loss(0);
      std::vector<double> dgain(d, 1.0), dshift(d, 2.0);  // += : what was there stays
      copy.table->layer_norm_backward(r64, d64, x.data(), gain.data(), mean.data(), rstd.data(), dy.data(), dx.data(),
                                      dgain.data(), dshift.data());
      double analytic = 0;
      for (std::size_t i = 0; i < x.size(); ++i) analytic += dx[i] * step_x[i];
      for (std::size_t j = 0; j < d; ++j) analytic += (dgain[j] - 1) * step_gain[j] + (dshift[j] - 2) * step_shift[j];
      EXPECT_NEAR(analytic, numeric, 1e-7 * (1 + std::abs(numeric))) << copy.isa << " width " << d;
      std::vector<double> in_place = dy;
      copy.table->layer_norm_backward(r64, d64, x.data(), gain.data(), mean.data(), rstd.data(), in_place.data(),
                                      in_place.data(), dgain.data(), dshift.data());
      EXPECT_EQ(in_place, dx);
    }
  }
}

TYPED_TEST(Elementwise, AddAxpyAndScaleTouchExactlyTheirElements) {
  using T = TypeParam;
  for (const Copy<T>& copy : copies<T>()) {
    for (const std::size_t n : {0u, 1u, 7u, 16u, 37u}) {
      std::vector<T> a(n + 1, T(2)), b(n + 1, T(3));
      copy.table->add(static_cast<int64_t>(n), a.data(), b.data(), a.data());
      copy.table->axpy(static_cast<int64_t>(n), T(10), a.data(), b.data());
      copy.table->scale(static_cast<int64_t>(n), T(0.5), b.data());
      for (std::size_t i = 0; i < n; ++i) {
        EXPECT_EQ(a[i], T(5));
        EXPECT_EQ(b[i], T(26.5));
      }
      EXPECT_EQ(a[n], T(2));
      EXPECT_EQ(b[n], T(3));
    }
  }
}

TYPED_TEST(Elementwise, ColumnSumsAddEveryRowToWhatIsThere) {
  using T = TypeParam;
  const int64_t rows = 150, ld = 150;
  const std::vector<T> x = normals<T>(static_cast<std::size_t>(rows * ld), 11);
  for (const Copy<T>& copy : copies<T>()) {
    for (const int64_t d : {1, 8, 64, 77, 150}) {
      std::vector<T> out(static_cast<std::size_t>(d), T(5));
      copy.table->column_sums(rows, d, x.data(), ld, out.data());
      for (int64_t j = 0; j < d; ++j) {
        double expected = 5;
        for (int64_t r = 0; r < rows; ++r) expected += static_cast<double>(x[static_cast<std::size_t>(r * ld + j)]);
        ASSERT_NEAR(out[static_cast<std::size_t>(j)], expected, 100 * this->kRounding) << copy.isa;
      }
    }
  }
}

TYPED_TEST(Elementwise, SumOfSquaresKeepsDoubleDigitsAndTheSameOrderEverywhere) {
  using T = TypeParam;
  const std::vector<T> three_four(25, T(2));
  for (const Copy<T>& copy : copies<T>()) EXPECT_EQ(copy.table->sum_squares(25, three_four.data()), 100.0);
  // A float sum of so many terms would be wrong in the fifth digit.
  const std::vector<T> many((1u << 20) + 3, static_cast<T>(0.1f));
  const double expected = static_cast<double>(many.size()) * static_cast<double>(0.1f) * static_cast<double>(0.1f);
  for (const Copy<T>& copy : copies<T>()) {
    EXPECT_NEAR(copy.table->sum_squares(static_cast<int64_t>(many.size()), many.data()) / expected, 1, 1e-11);
  }
}

TYPED_TEST(Elementwise, DropoutDependsOnTheElementAloneAndNotOnHowTheRangeIsCut) {
  using T = TypeParam;
  const std::size_t n = 1000;
  std::vector<T> whole(n, T(1));
  dropout(static_cast<int64_t>(n), whole.data(), 0.3, 42, 77);
  const DropoutRule rule = {mix64(42), 0, static_cast<uint32_t>(0.3 * 0x1p32), 1 / 0.7};
  for (const Copy<T>& copy : copies<T>()) {
    for (const std::size_t piece : {1u, 7u, 33u, 64u}) {
      std::vector<T> parts(n, T(1));
      for (std::size_t i = 0; i < n; i += piece) {
        DropoutRule here = rule;
        here.offset = 77 + i;
        copy.table->dropout(static_cast<int64_t>(std::min(piece, n - i)), parts.data() + i, here);
      }
      EXPECT_EQ(parts, whole) << copy.isa << " in pieces of " << piece;
    }
  }
}

TYPED_TEST(Elementwise, DropoutKeepsTheMeanAndDropsTheAskedShare) {
  using T = TypeParam;
  const std::size_t n = 1u << 18;
  for (const double p : {0.1, 0.5, 0.9}) {
    std::vector<T> x(n, T(1)), y(n, T(1));
    dropout(static_cast<int64_t>(n), x.data(), p, 1, 0);
    dropout(static_cast<int64_t>(n), y.data(), p, 2, 0);
    double dropped = 0, both = 0, neighbours = 0;
    for (std::size_t i = 0; i < n; ++i) {
      ASSERT_TRUE(x[i] == T(0) || x[i] == static_cast<T>(1 / (1 - p)));
      dropped += x[i] == T(0);
      both += x[i] == T(0) && y[i] == T(0);
      neighbours += i > 0 && x[i] == T(0) && x[i - 1] == T(0);
    }
    const double sd = std::sqrt(p * (1 - p) / static_cast<double>(n));
    EXPECT_NEAR(dropped / n, p, 4 * sd);
    // Neighbouring keys and neighbouring elements are independent.
    EXPECT_NEAR(both / n, p * p, 6 * sd);
    EXPECT_NEAR(neighbours / n, p * p, 6 * sd);
  }
}

TYPED_TEST(Elementwise, DropoutOfNothingChangesNothing) {
  using T = TypeParam;
  std::vector<T> x = normals<T>(50, 3);
  const std::vector<T> before = x;
  dropout(50, x.data(), 0.0, 1, 0);
  EXPECT_EQ(x, before);
}

TEST(ElementwiseByHand, TheFirstAdamWStepMovesByTheRateAgainstTheSignOfTheGradient) {
  AdamW rule;
  rule.lr = 0.1;
  rule.decay = 0.5;
  rule.eps = 0;
  std::vector<double> w = {2, 2}, m(2), v(2);
  const std::vector<double> g = {3, -0.001};
  adamw<double>(rule, 2, w.data(), g.data(), m.data(), v.data());
  // m_hat / sqrt(v_hat) = sign(g); the decay takes lr * 0.5 of the old value.
  EXPECT_NEAR(w[0], 2 - 0.1 - 0.1 * 0.5 * 2, 1e-14);
  EXPECT_NEAR(w[1], 2 + 0.1 - 0.1 * 0.5 * 2, 1e-14);
  EXPECT_NEAR(m[0], 0.3, 1e-15);
  EXPECT_NEAR(v[0], 0.09, 1e-15);
}

TYPED_TEST(Elementwise, AdamWFollowsItsFormulaOverManySteps) {
  using T = TypeParam;
  const std::size_t n = 37;
  for (const Copy<T>& copy : copies<T>()) {
    std::vector<T> w = normals<T>(n, 1), m(n), v(n);
    std::vector<double> rw = widened(w, 0, n), rm(n), rv(n);
    AdamW rule;
    rule.gradient_scale = 0.25;
    for (rule.step = 1; rule.step <= 20; ++rule.step) {
      const std::vector<T> g = normals<T>(n, 100 + static_cast<uint64_t>(rule.step));
      const double c1 = 1 - std::pow(rule.beta1, static_cast<double>(rule.step));
      const double c2 = 1 - std::pow(rule.beta2, static_cast<double>(rule.step));
      const AdamWFactors f = {rule.beta1,   1 - rule.beta1, rule.beta2, 1 - rule.beta2,          rule.gradient_scale,
                              rule.lr / c1, 1 / c2,         rule.eps,   1 - rule.lr * rule.decay};
      copy.table->adamw(f, static_cast<int64_t>(n), w.data(), g.data(), m.data(), v.data());
      for (std::size_t i = 0; i < n; ++i) {
        const double grad = 0.25 * static_cast<double>(g[i]);
        rm[i] = rule.beta1 * rm[i] + (1 - rule.beta1) * grad;
        rv[i] = rule.beta2 * rv[i] + (1 - rule.beta2) * grad * grad;
        rw[i] -= rule.lr * (rm[i] / c1 / (std::sqrt(rv[i] / c2) + rule.eps) + rule.decay * rw[i]);
      }
    }
    for (std::size_t i = 0; i < n; ++i) ASSERT_NEAR(w[i], rw[i], 10 * this->kRounding) << copy.isa;
  }
}

}  // namespace
}  // namespace lra::math
