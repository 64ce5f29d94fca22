// Matrix products: hand values, double references over random shapes, edges and limits, on every instruction set this
// machine has.
#include "math/gemm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "math/dispatch.h"
#include "math/isa/gemm_table.h"
#include "math/peak.h"
#include "math/reference.h"

namespace lra::math {
namespace {

template <class T>
constexpr T kNan = std::numeric_limits<T>::quiet_NaN();

template <class T>
struct Copy {
  const char* isa;
  const GemmTable<T>* table;
};

// One table for each instruction set that can run here.
template <class T>
std::vector<Copy<T>> copies() {
  std::vector<Copy<T>> all = {{"v2", &v2::gemm_table<T>()}};
  if (active_isa() >= Isa::kV3) all.push_back({"v3", &v3::gemm_table<T>()});
  if (active_isa() >= Isa::kV4) all.push_back({"v4", &v4::gemm_table<T>()});
  return all;
}

// A stored matrix whose rows are `gap` elements longer than needed; the gaps hold NaN, so that reading one shows in the
// result. The last row has no gap: an address sanitizer sees a read beyond it.
template <class T>
struct Stored {
  int64_t rows, columns, ld;
  std::vector<T> x;

  Stored(int64_t rows_in, int64_t columns_in, int64_t gap, uint64_t seed)
      : rows(rows_in), columns(columns_in), ld(columns_in + gap) {
    if (rows > 0) x.assign(static_cast<size_t>((rows - 1) * ld + columns), kNan<T>);
    const std::vector<T> values = reference::random_values<T>(rows * columns, seed);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < columns; ++c) at(r, c) = values[static_cast<size_t>(r * columns + c)];
    }
  }
  T& at(int64_t r, int64_t c) { return x[static_cast<size_t>(r * ld + c)]; }
};

struct Shape {
  int64_t m, n, k;
  Op op_a = Op::kNone, op_b = Op::kNone;
  double alpha = 1, beta = 0;
  bool bias = false;
  int64_t gap = 0;
};

template <class T>
class GemmKernel : public testing::Test {
 protected:
  static constexpr double kTolerance = std::is_same_v<T, float> ? 1e-5 : 1e-12;

  // Runs every copy on the shape, compares with the reference and looks at the gaps of C.
  static void check(const Shape& s) {
    const bool a_t = s.op_a == Op::kTranspose, b_t = s.op_b == Op::kTranspose;
    Stored<T> a(a_t ? s.k : s.m, a_t ? s.m : s.k, s.gap, 1), b(b_t ? s.n : s.k, b_t ? s.k : s.n, s.gap, 2);
    const std::vector<T> bias = reference::random_values<T>(s.n, 3);
    for (const Copy<T>& copy : copies<T>()) {
      SCOPED_TRACE(std::string(copy.isa) + " m " + std::to_string(s.m) + " n " + std::to_string(s.n) + " k " +
                   std::to_string(s.k) + (a_t ? " A^T" : "") + (b_t ? " B^T" : ""));
      Stored<T> c(s.m, s.n, s.gap, 4);
      Gemm<T> g{
          .m = s.m, .n = s.n, .k = s.k, .a = a.x.data(), .lda = a.ld, .op_a = s.op_a, .b = b.x.data(), .ldb = b.ld};
      g.op_b = s.op_b;
      g.c = c.x.data();
      g.ldc = c.ld;
      g.alpha = static_cast<T>(s.alpha);
      g.beta = static_cast<T>(s.beta);
      if (s.bias) g.bias = bias.data();
      const reference::Doubles want = reference::gemm(g);
      if (s.beta == 0) {
        for (int64_t i = 0; i < s.m; ++i) {
          for (int64_t j = 0; j < s.n; ++j) c.at(i, j) = kNan<T>;  // must not be read
        }
      }
      copy.table->gemm(g);
      double largest = 1, worst = 0;
      for (int64_t i = 0; i < s.m; ++i) {
        for (int64_t j = 0; j < s.n; ++j) {
          const double w = want[static_cast<size_t>(i * s.n + j)],
                       error = std::abs(static_cast<double>(c.at(i, j)) - w);
          largest = std::max(largest, std::abs(w));
          if (!(error <= worst)) worst = error;
        }
        for (int64_t j = s.n; j < c.ld && i + 1 < s.m; ++j) EXPECT_TRUE(std::isnan(c.at(i, j))) << "gap written";
      }
      EXPECT_LE(worst, kTolerance * largest);
    }
  }
};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(GemmKernel, Scalars);

TYPED_TEST(GemmKernel, MultipliesTwoByTwoAsByHand) {
  using T = TypeParam;
  const std::vector<T> a = {1, 2, 3, 4}, b = {5, 6, 7, 8}, bias = {100, 200};
  for (const Copy<T>& copy : copies<T>()) {
    std::vector<T> c = {1, 1, 1, 1};
    Gemm<T> g{.m = 2, .n = 2, .k = 2, .a = a.data(), .lda = 2, .b = b.data(), .ldb = 2, .c = c.data(), .ldc = 2};
    copy.table->gemm(g);
    EXPECT_EQ(c, (std::vector<T>{19, 22, 43, 50})) << copy.isa;
    g.op_a = Op::kTranspose;
    copy.table->gemm(g);
    EXPECT_EQ(c, (std::vector<T>{26, 30, 38, 44})) << copy.isa;
    g.op_a = Op::kNone;
    g.op_b = Op::kTranspose;
    copy.table->gemm(g);
    EXPECT_EQ(c, (std::vector<T>{17, 23, 39, 53})) << copy.isa;
    g.alpha = 2;
    g.beta = T(0.5);
    g.bias = bias.data();
    copy.table->gemm(g);
    EXPECT_EQ(c, (std::vector<T>{142.5, 257.5, 197.5, 332.5})) << copy.isa;
  }
}

TYPED_TEST(GemmKernel, EqualsTheReferenceForTheShapesOfTheEncoder) {
  this->check({.m = 196, .n = 64, .k = 64, .bias = true});
  this->check({.m = 300, .n = 128, .k = 64, .op_b = Op::kTranspose});
  this->check({.m = 200, .n = 64, .k = 128, .beta = 1});
  this->check({.m = 64, .n = 64, .k = 1000, .op_a = Op::kTranspose, .beta = 1});
  this->check({.m = 260, .n = 256, .k = 32, .op_b = Op::kTranspose});
  this->check({.m = 256, .n = 32, .k = 700, .op_a = Op::kTranspose});
  this->check({.m = 70, .n = 600, .k = 300, .gap = 7});
}

TYPED_TEST(GemmKernel, EqualsTheReferenceForEveryEdgeOfTheRegisterTiles) {
  for (int64_t m = 1; m <= 25; m += 3) {
    for (int64_t n : {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 48, 63, 64, 65, 80, 97}) {
      this->check({.m = m, .n = n, .k = 5, .gap = 1});
      this->check({.m = m, .n = n, .k = 17, .op_b = Op::kTranspose, .beta = 1, .bias = true});
    }
  }
}

TYPED_TEST(GemmKernel, EqualsTheReferenceForRandomShapesAndFlags) {
  std::mt19937_64 draw(7);
  const auto below = [&](int64_t n) { return static_cast<int64_t>(draw() % static_cast<uint64_t>(n)); };
  for (int trial = 0; trial < 120; ++trial) {
    const double factors[] = {0, 1, -0.5, 2};
    this->check({.m = below(90),
                 .n = below(150),
                 .k = below(trial % 8 == 0 ? 800 : 90),
                 .op_a = below(2) == 0 ? Op::kNone : Op::kTranspose,
                 .op_b = below(2) == 0 ? Op::kNone : Op::kTranspose,
                 .alpha = factors[1 + below(3)],
                 .beta = factors[below(4)],
                 .bias = below(2) == 0,
                 .gap = below(2) * below(20)});
  }
}

TYPED_TEST(GemmKernel, LeavesBetaTimesCPlusBiasWhenTheInnerLengthIsZero) {
  this->check({.m = 5, .n = 20, .k = 0});
  this->check({.m = 5, .n = 20, .k = 0, .beta = 3, .bias = true});
  this->check({.m = 0, .n = 20, .k = 4});
  this->check({.m = 5, .n = 0, .k = 4});
}

TYPED_TEST(GemmKernel, KeepsLongSumsAccurate) {
  using T = TypeParam;
  const int64_t k = 32768;
  const std::vector<T> a(static_cast<size_t>(k), T(0.1)), b(static_cast<size_t>(k), T(0.3));
  for (const Copy<T>& copy : copies<T>()) {
    T c = 0;
    copy.table->gemm({.m = 1, .n = 1, .k = k, .a = a.data(), .lda = k, .b = b.data(), .ldb = 1, .c = &c, .ldc = 1});
    const double want = static_cast<double>(k) * static_cast<double>(a[0]) * static_cast<double>(b[0]);
    EXPECT_LE(std::abs(static_cast<double>(c) - want), (std::is_same_v<T, float> ? 1e-5 : 1e-14) * want) << copy.isa;
  }
}

TYPED_TEST(GemmKernel, GivesTheSameBitsWhenTheRowsAreSplit) {
  using T = TypeParam;
  const int64_t m = 211, n = 90, k = 333;
  const std::vector<T> a = reference::random_values<T>(m * k, 1), b = reference::random_values<T>(k * n, 2);
  for (const Copy<T>& copy : copies<T>()) {
    std::vector<T> whole(static_cast<size_t>(m * n)), parts = whole;
    Gemm<T> g{.m = m, .n = n, .k = k, .a = a.data(), .lda = k, .b = b.data(), .ldb = n, .c = whole.data(), .ldc = n};
    copy.table->gemm(g);
    for (int64_t row = 0; row < m; row += 29) {
      g.m = std::min<int64_t>(29, m - row);
      g.a = a.data() + row * k;
      g.c = parts.data() + row * n;
      copy.table->gemm(g);
    }
    EXPECT_EQ(whole, parts) << copy.isa;
  }
}

TEST(KernelFlops, GrowByTwoPerMultiplyAdd) {
  const std::vector<float> a(6, 1), b(12, 1);
  std::vector<float> c(8);
  const uint64_t before = kernel_flops();
  gemm<float>({.m = 2, .n = 4, .k = 3, .a = a.data(), .lda = 3, .b = b.data(), .ldb = 4, .c = c.data(), .ldc = 4});
  EXPECT_EQ(kernel_flops() - before, 48u);
  EXPECT_EQ(c, std::vector<float>(8, 3));
}

TEST(FmaPeak, IsTwiceAsHighInFloatAsInDouble) {
  double ratio = 0;
  for (int trial = 0; trial < 20 && std::abs(ratio - 2) > 0.2; ++trial) {
    ratio = measure_fma_peak<float>(0.005) / measure_fma_peak<double>(0.005);
  }
  EXPECT_NEAR(ratio, 2, 0.2);
}

}  // namespace
}  // namespace lra::math
