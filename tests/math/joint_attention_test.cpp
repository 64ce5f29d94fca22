// Joint attention against plain loops in double: any split of the keys into tiles gives the one softmax.
#include "math/joint_attention.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <vector>

#include "core/rng.h"

namespace lra::math {
namespace {

template <class T>
std::vector<T> normals(int64_t n, uint64_t key) {
  std::vector<T> out(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<T>(normal_at(key, i));
  return out;
}

constexpr int64_t kQueries = 13, kKeys = 37, kHeadDim = 5, kStride = 7;
constexpr double kHidden = -std::numeric_limits<double>::infinity();

// What is added to the score of a pair; -inf hides it. Row 4 sees nothing.
double bias(int64_t i, int64_t j) { return i == 4 || (i + 2 * j) % 5 == 0 ? kHidden : 0.1 * double(i - j); }

template <class T>
struct Problem {
  std::vector<T> q = normals<T>(kQueries * kStride, 1), k = normals<T>(kKeys * kStride, 2),
                 v = normals<T>(kKeys * kStride, 3), d_o = normals<T>(kQueries * kStride, 4);
  std::vector<T> o = std::vector<T>(q.size(), T(9)), lse = std::vector<T>(std::size_t(kQueries));
  std::vector<T> dq = std::vector<T>(q.size(), T(0)), dk = std::vector<T>(k.size(), T(0)), dv = dk;
  std::vector<T> dbias = std::vector<T>(std::size_t(kQueries * kKeys), T(0));

  JointTile<T> tile(const Rows& rows, const Rows& columns) {
    return {kHeadDim,
            T(0.4),
            {q.data(), kStride, o.data(), kStride, lse.data(), d_o.data(), dq.data()},
            {k.data(), v.data(), kStride, kStride, dk.data(), dv.data()},
            rows,
            columns};
  }
};

// A cover of all pairs by tiles, each pair once.
using Cover = std::vector<std::pair<Rows, Rows>>;

template <class T>
void run(Problem<T>& p, const Cover& cover) {
  std::vector<double> scratch(joint_scratch<T>(kQueries, kKeys, kHeadDim) / sizeof(double) + 8, 1e30);
  void* aligned = scratch.data() + (64 - reinterpret_cast<uintptr_t>(scratch.data()) % 64) % 64 / sizeof(double);
  const auto edit = [](const JointTile<T>& t, const JointScores<T>& s) {
    for (int64_t r = 0; r < s.rows; ++r) {
      for (int64_t c = 0; c < s.keys; ++c) s.s[r * s.lds + c] += static_cast<T>(bias(t.rows[r], t.columns[c]));
    }
  };
  joint_clear(p.tile({}, {}).queries, kQueries, kHeadDim);
  for (const auto& [rows, columns] : cover) {
    const auto t = p.tile(rows, columns);
    const auto s = joint_scores(t, aligned);
    edit(t, s);
    joint_forward(t, s, aligned);
  }
  for (const auto& [rows, columns] : cover) {
    const auto t = p.tile(rows, columns);
    const auto s = joint_scores(t, aligned);
    edit(t, s);
    joint_backward_scores(t, s, aligned);
    for (int64_t r = 0; r < s.rows; ++r) {
      for (int64_t c = 0; c < s.keys; ++c) p.dbias[std::size_t(rows[r] * kKeys + columns[c])] = s.s[r * s.lds + c];
    }
    joint_backward_inputs(t, s, aligned);
  }
}

// The definition, as loops.
Problem<double> plain(const std::function<double(int64_t, int64_t)>& added) {
  Problem<double> p;
  const auto at = [](int64_t row, int64_t c) { return std::size_t(row * kStride + c); };
  for (int64_t i = 0; i < kQueries; ++i) {
    std::vector<double> weight(kKeys, 0.0), dp(kKeys, 0.0);
    double total = 0, delta = 0;
    for (int64_t j = 0; j < kKeys; ++j) {
      double dot = 0;
      for (int64_t c = 0; c < kHeadDim; ++c) dot += p.q[at(i, c)] * p.k[at(j, c)];
      total += weight[std::size_t(j)] = std::exp(0.4 * dot + added(i, j));
    }
    p.lse[std::size_t(i)] = std::log(total);
    for (int64_t c = 0; c < kHeadDim; ++c) p.o[at(i, c)] = 0;
    if (total == 0) continue;
    for (int64_t j = 0; j < kKeys; ++j) {
      weight[std::size_t(j)] /= total;
      for (int64_t c = 0; c < kHeadDim; ++c) {
        p.o[at(i, c)] += weight[std::size_t(j)] * p.v[at(j, c)];
        p.dv[at(j, c)] += weight[std::size_t(j)] * p.d_o[at(i, c)];
        dp[std::size_t(j)] += p.d_o[at(i, c)] * p.v[at(j, c)];
      }
      delta += weight[std::size_t(j)] * dp[std::size_t(j)];
    }
    for (int64_t j = 0; j < kKeys; ++j) {
      const double ds = p.dbias[std::size_t(i * kKeys + j)] = weight[std::size_t(j)] * (dp[std::size_t(j)] - delta);
      for (int64_t c = 0; c < kHeadDim; ++c) {
        p.dq[at(i, c)] += 0.4 * ds * p.k[at(j, c)];
        p.dk[at(j, c)] += 0.4 * ds * p.q[at(i, c)];
      }
    }
  }
  return p;
}

template <class T>
void expect_near(const std::vector<T>& got, const std::vector<double>& wanted, const char* what) {
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (std::isinf(wanted[i])) {
      EXPECT_EQ(double(got[i]), wanted[i]) << what << " " << i;
    } else {
      EXPECT_NEAR(double(got[i]), wanted[i], sizeof(T) == 4 ? 1e-5 : 1e-12) << what << " " << i;
    }
  }
}

template <class T>
class JointAttentionTest : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(JointAttentionTest, Scalars);

TYPED_TEST(JointAttentionTest, EqualsOneSoftmaxHoweverTheKeysAreSplit) {
  const Problem<double> wanted = plain(bias);
  std::vector<int32_t> even, odd, shuffled(kQueries, 0);
  for (int32_t j = 0; j < kKeys; ++j) (j % 2 == 0 ? even : odd).push_back(j);
  std::iota(shuffled.begin(), shuffled.end(), 0);
  std::reverse(shuffled.begin(), shuffled.end());
  const Rows all = Rows::range(0, kQueries);
  const std::vector<Cover> covers = {
      {{all, Rows::range(0, kKeys)}},
      {{all, Rows::range(0, 1)}, {all, Rows::range(1, 30)}, {all, Rows::range(30, kKeys)}},
      {{Rows::strided(0, 2, 7), Rows::range(0, kKeys)}, {Rows::strided(1, 2, 6), Rows::range(0, kKeys)}},
      {{all, Rows::strided(0, 3, 13)}, {all, Rows::strided(1, 3, 12)}, {all, Rows::strided(2, 3, 12)}},
      {{all, Rows::listed(odd.data(), int64_t(odd.size()))}, {all, Rows::listed(even.data(), int64_t(even.size()))}},
      {{Rows::listed(shuffled.data(), kQueries), Rows::listed(even.data(), int64_t(even.size()))},
       {Rows::listed(shuffled.data(), kQueries).part(0, 5), Rows::strided(1, 2, 18)},
       {Rows::listed(shuffled.data(), kQueries).part(5, kQueries), Rows::strided(1, 2, 18)}},
  };
  for (const auto& cover : covers) {
    Problem<TypeParam> p;
    run(p, cover);
    for (int64_t i = 0; i < kQueries; ++i) {  // what lies between the rows is not touched
      for (int64_t c = kHeadDim; c < kStride; ++c) EXPECT_EQ(p.o[std::size_t(i * kStride + c)], TypeParam(9));
    }
    std::vector<double> o = wanted.o;
    for (std::size_t i = 0; i < o.size(); ++i) o[i] = i % kStride < kHeadDim ? o[i] : 9;
    expect_near(p.o, o, "o");
    expect_near(p.lse, wanted.lse, "lse");
    expect_near(p.dq, wanted.dq, "dq");
    expect_near(p.dk, wanted.dk, "dk");
    expect_near(p.dv, wanted.dv, "dv");
    expect_near(p.dbias, wanted.dbias, "dS");
  }
}

TYPED_TEST(JointAttentionTest, IsHalfAndHalfForTwoEqualKeys) {
  const TypeParam q[] = {2}, k[] = {3, 3}, v[] = {10, 20};
  TypeParam o[1], lse[1];
  alignas(64) double scratch[1024];
  ASSERT_LE(joint_scratch<TypeParam>(1, 1, 1), sizeof(scratch));
  JointTile<TypeParam> t{1, 1, {q, 1, o, 1, lse, nullptr, nullptr}, {k, v, 1, 1, nullptr, nullptr}, {}, {}};
  joint_clear(t.queries, 1, 1);
  t.rows = Rows::range(0, 1);
  for (int64_t j = 0; j < 2; ++j) {
    t.columns = Rows::range(j, j + 1);
    joint_forward(t, joint_scores(t, scratch), scratch);
  }
  EXPECT_NEAR(double(o[0]), 15, 1e-5);
  EXPECT_NEAR(double(lse[0]), 6 + std::log(2), 1e-6);
}

// Scores from the first two numbers of each row: the same as from all where the other numbers of the queries are zero.
TYPED_TEST(JointAttentionTest, TakesQueriesAndKeysOfAnotherWidthThanValues) {
  const auto run_with = [](Problem<TypeParam>& p, int64_t score_dim) {
    std::vector<double> scratch(joint_scratch<TypeParam>(kQueries, kKeys, kHeadDim) / sizeof(double) + 8, 1e30);
    void* aligned = scratch.data() + (64 - reinterpret_cast<uintptr_t>(scratch.data()) % 64) % 64 / sizeof(double);
    JointTile<TypeParam> t = p.tile(Rows::range(0, kQueries), Rows::range(0, kKeys));
    t.score_dim = score_dim;
    joint_clear(t.queries, kQueries, kHeadDim);
    joint_forward(t, joint_scores(t, aligned), aligned);
    const auto s = joint_scores(t, aligned);
    joint_backward_scores(t, s, aligned);
    joint_backward_inputs(t, s, aligned);
  };
  Problem<TypeParam> narrow, wide;
  for (int64_t i = 0; i < kQueries * kStride; ++i) {
    if (i % kStride >= 2) wide.q[std::size_t(i)] = 0;
  }
  run_with(narrow, 2);
  run_with(wide, 0);
  for (std::size_t i = 0; i < wide.o.size(); ++i) {
    EXPECT_NEAR(double(narrow.o[i]), double(wide.o[i]), 1e-5);
    if (i % kStride < 2) {
      EXPECT_NEAR(double(narrow.dq[i]), double(wide.dq[i]), 1e-5);
    }
  }
  for (std::size_t i = 0; i < wide.dk.size(); ++i) {
    EXPECT_NEAR(double(narrow.dv[i]), double(wide.dv[i]), 1e-5);
    EXPECT_NEAR(double(narrow.dk[i]), double(wide.dk[i]), 1e-5) << "those that meet a zero are zero too";
  }
}

TYPED_TEST(JointAttentionTest, StaysFiniteForScoresOfAMillion) {
  Problem<TypeParam> p;
  for (auto& x : p.q) x *= TypeParam(1e3);
  for (auto& x : p.k) x *= TypeParam(1e3);
  run(p, {{Rows::range(0, kQueries), Rows::range(0, 20)}, {Rows::range(0, kQueries), Rows::range(20, kKeys)}});
  for (const auto* block : {&p.o, &p.dq, &p.dk, &p.dv}) {
    EXPECT_TRUE(std::all_of(block->begin(), block->end(), [](auto x) { return std::isfinite(x); }));
  }
}

}  // namespace
}  // namespace lra::math
