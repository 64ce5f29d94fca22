// Tiled softmax attention: a value by hand, double references, gradients by differences, limits, on every instruction
// set this machine has.
#include "math/attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "math/dispatch.h"
#include "math/gemm.h"
#include "math/isa/attention_table.h"
#include "math/reference.h"

namespace lra::math {
namespace {

template <class T>
constexpr T kNan = std::numeric_limits<T>::quiet_NaN();

template <class T>
struct Copy {
  const char* isa;
  const AttentionTable<T>* table;
};

// One table for each instruction set that can run here.
template <class T>
std::vector<Copy<T>> copies() {
  std::vector<Copy<T>> all = {{"v2", &v2::attention_table<T>()}};
  if (active_isa() >= Isa::kV3) all.push_back({"v3", &v3::attention_table<T>()});
  if (active_isa() >= Isa::kV4) all.push_back({"v4", &v4::attention_table<T>()});
  return all;
}

// Scratch of exactly the bytes asked for, filled with NaN: what a kernel reads before it writes shows in the result.
template <class T>
class Scratch {
 public:
  explicit Scratch(size_t bytes) : memory_(static_cast<T*>(std::aligned_alloc(64, bytes)), &std::free) {
    std::fill_n(memory_.get(), bytes / sizeof(T), kNan<T>);
  }
  void* get() const { return memory_.get(); }

 private:
  std::unique_ptr<T, void (*)(void*)> memory_;
};

// One head with all its arrays. Rows lie `gap` elements further apart than head_dim; gaps hold NaN, and so do outputs
// at first.
template <class T>
struct Head {
  int64_t d, keys;
  std::vector<T> q, k, v, o, lse, d_o, dq, dk, dv;
  Attention<T> a;

  Head(int64_t queries, int64_t head_dim, const KeyRange& range, int64_t gap = 0, double spread = 1)
      : d(head_dim), keys(range.keys) {
    const int64_t ld = head_dim + gap;
    q = values(queries, gap, 1, spread);
    k = values(keys, gap, 2, spread);
    v = values(keys, gap, 3, 1);
    d_o = values(queries, gap, 4, 1);
    o.assign(q.size(), kNan<T>);
    lse.assign(static_cast<size_t>(queries), kNan<T>);
    dq = o;
    dk.assign(k.size(), kNan<T>);
    dv = dk;
    a.queries = queries;
    a.head_dim = head_dim;
    a.scale = static_cast<T>(1 / std::sqrt(static_cast<double>(head_dim)));
    a.range = range;
    a.ldq = a.ldk = a.ldv = a.ldo = ld;
    a.q = q.data();
    a.k = k.data();
    a.v = v.data();
    a.o = o.data();
    a.lse = lse.data();
    a.d_o = d_o.data();
    a.dq = dq.data();
    a.dk = dk.data();
    a.dv = dv.data();
  }
  Head(const Head&) = delete;
  Head& operator=(const Head&) = delete;

  std::vector<T> values(int64_t rows, int64_t gap, uint64_t seed, double spread) const {
    std::vector<T> x(static_cast<size_t>(rows * (d + gap)), kNan<T>);
    const std::vector<T> random = reference::random_values<T>(rows * d, seed, spread);
    for (int64_t r = 0; r < rows; ++r) {
      std::copy_n(random.begin() + r * d, d, x.begin() + r * (d + gap));
    }
    return x;
  }
  void forward(const AttentionTable<T>& table) {
    const Scratch<T> scratch(table.forward_scratch(a));
    table.forward(a, 0, a.queries, scratch.get());
  }
  void backward(const AttentionTable<T>& table) {
    const Scratch<T> scratch(table.backward_scratch(a));
    table.backward(a, scratch.get());
  }
};

template <class T>
class AttentionKernel : public testing::Test {
 protected:
  static constexpr double kTolerance = std::is_same_v<T, float> ? 1e-5 : 1e-12;

  // x: rows ld apart with NaN between, against the contiguous w, relative to the largest value or, where sums cancel,
  // to 1.
  static void expect_near(const char* what, const std::vector<T>& x, int64_t ld, const reference::Doubles& w,
                          int64_t d) {
    double largest = 1, worst = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      const int64_t row = static_cast<int64_t>(i) / ld, column = static_cast<int64_t>(i) % ld;
      if (column >= d) {
        EXPECT_TRUE(std::isnan(x[i])) << what << ": gap written";
        continue;
      }
      const double want = w[static_cast<size_t>(row * d + column)], got = static_cast<double>(x[i]);
      if (std::isinf(want)) {
        EXPECT_EQ(got, want) << what;
        continue;
      }
      largest = std::max(largest, std::abs(want));
      if (!(std::abs(got - want) <= worst)) worst = std::abs(got - want);
    }
    EXPECT_LE(worst, kTolerance * largest) << what;
  }

  static void check(int64_t queries, int64_t head_dim, const KeyRange& range, int64_t gap = 0, double spread = 1) {
    Head<T> head(queries, head_dim, range, gap, spread);
    const reference::AttentionResult want = reference::attention(head.a);
    for (const Copy<T>& copy : copies<T>()) {
      SCOPED_TRACE(std::string(copy.isa) + " queries " + std::to_string(queries) + " keys " +
                   std::to_string(range.keys) + " dh " + std::to_string(head_dim) + " left " +
                   std::to_string(range.left) + " right " + std::to_string(range.right) + " block " +
                   std::to_string(range.block) + " offset " + std::to_string(range.offset));
      head.forward(*copy.table);
      expect_near("o", head.o, head.a.ldo, want.o, head_dim);
      expect_near("lse", head.lse, 1, want.lse, 1);
      head.backward(*copy.table);
      expect_near("dq", head.dq, head.a.ldq, want.dq, head_dim);
      expect_near("dk", head.dk, head.a.ldk, want.dk, head_dim);
      expect_near("dv", head.dv, head.a.ldv, want.dv, head_dim);
    }
  }
};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(AttentionKernel, Scalars);

TYPED_TEST(AttentionKernel, WeighsTwoKeysAsByHand) {
  using T = TypeParam;
  // Scores 0 and ln 3, so P = (1/4, 3/4), O = 1/4 * 8 + 3/4 * 16 = 14 and lse = ln 4.
  // With dO = 1: dV = P, dP = (8, 16), dS = P o (dP - 14) = (-1.5, 1.5), dQ = dS K = 1.5 ln 3, dK = dS q.
  const T log3 = static_cast<T>(std::log(3.0));
  for (const Copy<T>& copy : copies<T>()) {
    Head<T> head(1, 1, KeyRange::full(2));
    head.q = {1};
    head.k = {0, log3};
    head.v = {8, 16};
    head.d_o = {1};
    head.forward(*copy.table);
    head.backward(*copy.table);
    const double eps = std::is_same_v<T, float> ? 2e-6 : 4e-15;
    EXPECT_NEAR(head.o[0], 14, 14 * eps) << copy.isa;
    EXPECT_NEAR(head.lse[0], std::log(4.0), 2 * eps) << copy.isa;
    EXPECT_NEAR(head.dv[0], 0.25, eps) << copy.isa;
    EXPECT_NEAR(head.dv[1], 0.75, eps) << copy.isa;
    EXPECT_NEAR(head.dq[0], 1.5 * std::log(3.0), 8 * eps) << copy.isa;
    EXPECT_NEAR(head.dk[0], -1.5, 8 * eps) << copy.isa;
    EXPECT_NEAR(head.dk[1], 1.5, 8 * eps) << copy.isa;
  }
}

TYPED_TEST(AttentionKernel, EqualsTheReferenceOverAllKeys) {
  for (int64_t n : {1, 2, 15, 16, 17, 27, 49, 64, 196, 257, 300}) this->check(n, 16, KeyRange::full(n), 3);
  this->check(40, 16, KeyRange::full(333));
  this->check(333, 16, KeyRange::full(5));
}

TYPED_TEST(AttentionKernel, EqualsTheReferenceForEveryKindOfHeadDim) {
  for (int64_t d : {1, 2, 3, 7, 8, 15, 17, 24, 31, 32, 33, 48, 63, 64, 65, 100, 127, 128, 256}) {
    this->check(67, d, KeyRange::causal(67), d % 2 * 5);
  }
}

TYPED_TEST(AttentionKernel, EqualsTheReferenceUnderCausalBandAndBlockMasks) {
  for (int64_t n : {30, 130, 600}) {
    this->check(n, 8, KeyRange::causal(n));
    this->check(n, 8, {.keys = n, .left = 20, .right = 20});
    this->check(n, 8, {.keys = n, .left = 7, .right = 0});
    this->check(n, 8, {.keys = n, .left = 0, .right = 0});
    this->check(n, 8, {.keys = n, .right = 0, .block = 32, .back = 1});
    this->check(n, 8, {.keys = n, .block = 25, .back = 1, .forward = 1});
    this->check(n, 8, {.keys = n + 40, .right = 0, .offset = 40});
    this->check(n, 8, {.keys = n + 40, .left = 60, .right = 0, .offset = 40});
  }
}

TYPED_TEST(AttentionKernel, EqualsTheReferenceForRandomShapes) {
  std::mt19937_64 draw(11);
  const auto below = [&](int64_t n) { return static_cast<int64_t>(draw() % static_cast<uint64_t>(n)); };
  for (int trial = 0; trial < 60; ++trial) {
    KeyRange range = KeyRange::full(1 + below(350));
    if (below(2) == 0) range.left = below(100);
    if (below(2) == 0) range.right = below(100);
    if (below(3) == 0) {
      range.block = 1 + below(60);
      range.back = below(3);
      range.forward = below(2);
    }
    range.offset = below(3) * 17;
    this->check(1 + below(350), 1 + below(40), range, below(2) * 9);
  }
}

TYPED_TEST(AttentionKernel, GivesZeroAndMinusInfinityToRowsWithoutKeys) {
  using T = TypeParam;
  // Queries past the last key that their band reaches.
  this->check(200, 8, {.keys = 50, .left = 30, .right = 0});
  this->check(100, 8, {.keys = 100, .right = -1});
  for (const Copy<T>& copy : copies<T>()) {
    Head<T> head(3, 4, {.keys = 2, .left = 0, .right = 0});
    head.forward(*copy.table);
    head.backward(*copy.table);
    EXPECT_EQ(head.lse[2], -std::numeric_limits<T>::infinity());
    for (size_t c = 8; c < 12; ++c) {
      EXPECT_EQ(head.o[c], T(0));
      EXPECT_EQ(head.dq[c], T(0));
    }
  }
}

TYPED_TEST(AttentionKernel, AcceptsAnEmptySetOfKeys) {
  using T = TypeParam;
  for (const Copy<T>& copy : copies<T>()) {
    Head<T> head(5, 4, KeyRange::full(0));
    head.forward(*copy.table);
    head.backward(*copy.table);
    EXPECT_EQ(head.o, std::vector<T>(20, 0)) << copy.isa;
    EXPECT_EQ(head.dq, std::vector<T>(20, 0)) << copy.isa;
  }
}

TYPED_TEST(AttentionKernel, StaysFiniteWhenLogitsAreLarge) {
  using T = TypeParam;
  for (const Copy<T>& copy : copies<T>()) {
    Head<T> head(80, 16, KeyRange::causal(80), 0, 100);  // logits of some +-40000
    head.forward(*copy.table);
    head.backward(*copy.table);
    for (const std::vector<T>* x : {&head.o, &head.lse, &head.dq, &head.dk, &head.dv}) {
      for (T value : *x) EXPECT_TRUE(std::isfinite(value)) << copy.isa;
    }
  }
}

TYPED_TEST(AttentionKernel, EqualsFullAttentionWhenWindowOrBlockHoldsAllKeys) {
  using T = TypeParam;
  const int64_t n = 150;
  for (const Copy<T>& copy : copies<T>()) {
    Head<T> full(n, 16, KeyRange::full(n));
    full.forward(*copy.table);
    full.backward(*copy.table);
    for (const KeyRange& range : {KeyRange{.keys = n, .left = n, .right = n}, KeyRange{.keys = n, .block = n},
                                  KeyRange{.keys = n, .block = 50, .back = 2, .forward = 2}}) {
      Head<T> other(n, 16, range);
      other.forward(*copy.table);
      other.backward(*copy.table);
      EXPECT_EQ(other.o, full.o) << copy.isa;
      EXPECT_EQ(other.lse, full.lse) << copy.isa;
      EXPECT_EQ(other.dq, full.dq) << copy.isa;
      EXPECT_EQ(other.dk, full.dk) << copy.isa;
      EXPECT_EQ(other.dv, full.dv) << copy.isa;
    }
  }
}

TYPED_TEST(AttentionKernel, GivesTheLastCausalRowWhatFullAttentionGivesIt) {
  using T = TypeParam;
  const int64_t n = 150;
  for (const Copy<T>& copy : copies<T>()) {
    Head<T> full(n, 16, KeyRange::full(n)), causal(n, 16, KeyRange::causal(n));
    full.forward(*copy.table);
    causal.forward(*copy.table);
    EXPECT_EQ(full.lse.back(), causal.lse.back()) << copy.isa;
    EXPECT_TRUE(std::equal(full.o.end() - 16, full.o.end(), causal.o.end() - 16)) << copy.isa;
  }
}

TYPED_TEST(AttentionKernel, GivesTheSameBitsWhenTheRowsAreSplit) {
  using T = TypeParam;
  for (const KeyRange& range :
       {KeyRange::full(310), KeyRange::causal(310), KeyRange{.keys = 310, .left = 90, .right = 3}}) {
    for (const Copy<T>& copy : copies<T>()) {
      Head<T> whole(310, 24, range), parts(310, 24, range);
      whole.forward(*copy.table);
      const Scratch<T> scratch(copy.table->forward_scratch(parts.a));
      for (int64_t row : {0, 61, 122, 183, 244, 305}) {
        copy.table->forward(parts.a, row, std::min<int64_t>(310, row + 61), scratch.get());
      }
      EXPECT_EQ(whole.o, parts.o) << copy.isa;
      EXPECT_EQ(whole.lse, parts.lse) << copy.isa;
    }
  }
}

TYPED_TEST(AttentionKernel, CoversLittleMoreThanTheWindow) {
  using T = TypeParam;
  const int64_t n = 4096;
  for (const Copy<T>& copy : copies<T>()) {
    Attention<T> a;
    a.queries = n;
    a.head_dim = 32;
    a.range = {.keys = n, .left = 127, .right = 0};
    const auto exact = static_cast<double>(a.range.pairs(n));
    EXPECT_LE(static_cast<double>(copy.table->forward_pairs(a, 0, n)), 1.5 * exact) << copy.isa;
    EXPECT_LE(static_cast<double>(copy.table->backward_pairs(a)), 1.5 * exact) << copy.isa;
  }
}

TEST(AttentionGradient, AgreesWithCentralDifferences) {
  for (const KeyRange& range :
       {KeyRange::full(70), KeyRange::causal(70), KeyRange{.keys = 70, .left = 9, .right = 4}}) {
    for (const Copy<double>& copy : copies<double>()) {
      Head<double> head(70, 5, range);
      head.forward(*copy.table);
      head.backward(*copy.table);
      const auto loss = [&] {
        head.forward(*copy.table);
        double sum = 0;
        for (size_t i = 0; i < head.o.size(); ++i) sum += head.o[i] * head.d_o[i];
        return sum;
      };
      std::vector<double>* inputs[] = {&head.q, &head.k, &head.v};
      const std::vector<double>* gradients[] = {&head.dq, &head.dk, &head.dv};
      for (int which = 0; which < 3; ++which) {
        std::vector<double>& x = *inputs[which];
        const std::vector<double> at = x, direction = reference::random_values<double>(350, 20 + which);
        double analytic = 0;
        for (size_t i = 0; i < x.size(); ++i) analytic += (*gradients[which])[i] * direction[i];
        const auto moved = [&](double step) {
          for (size_t i = 0; i < x.size(); ++i) x[i] = at[i] + step * direction[i];
          return loss();
        };
        const double h = 1e-5, numeric = (moved(h) - moved(-h)) / (2 * h);
        x = at;
        EXPECT_NEAR(numeric, analytic, 1e-7 * std::max(1.0, std::abs(analytic))) << copy.isa << " input " << which;
      }
    }
  }
}

TEST(AttentionFlops, AreCountedAsTheTilesDoThem) {
  Head<float> head(100, 16, KeyRange::causal(100));
  std::vector<std::byte> memory(attention_backward_scratch(head.a) + attention_forward_scratch(head.a) + 64);
  void* scratch = memory.data();
  size_t space = memory.size();
  std::align(64, space - 64, scratch, space);
  uint64_t before = kernel_flops();
  attention_forward(head.a, 0, 33, scratch);
  attention_forward(head.a, 33, 100, scratch);
  EXPECT_EQ(static_cast<double>(kernel_flops() - before), attention_forward_flops(head.a));
  before = kernel_flops();
  attention_backward(head.a, scratch);
  EXPECT_EQ(static_cast<double>(kernel_flops() - before), attention_backward_flops(head.a));
  EXPECT_GE(attention_forward_flops(head.a), 4.0 * 16 * static_cast<double>(head.a.range.pairs(100)));
}

TEST(KeyRange, HoldsTheIntervalsOfItsDefinition) {
  for (const KeyRange& range :
       {KeyRange::full(50), KeyRange::causal(50), KeyRange{.keys = 50, .left = 5, .right = 2},
        KeyRange{.keys = 50, .block = 8, .back = 1, .forward = 2}, KeyRange{.keys = 50, .right = 0, .offset = 13},
        KeyRange{.keys = 20, .left = 4, .right = 0}, KeyRange{.keys = 50, .right = -1},
        KeyRange{.keys = 50, .left = 10, .right = 3, .block = 7, .back = 1}}) {
    int64_t pairs = 0;
    for (int64_t i = 0; i < 60; ++i) {
      EXPECT_LE(range.begin(i), range.end(i));
      EXPECT_LE(range.begin(i), range.begin(i + 1));
      EXPECT_LE(range.end(i), range.end(i + 1));
      for (int64_t j = 0; j < 50; ++j) {
        EXPECT_EQ(j >= range.begin(i) && j < range.end(i), reference::sees(range, i, j)) << i << " " << j;
        pairs += reference::sees(range, i, j) ? 1 : 0;
      }
    }
    EXPECT_EQ(range.pairs(60), pairs);
  }
}

}  // namespace
}  // namespace lra::math
