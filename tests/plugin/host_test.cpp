// The host services of the contract.
#include "plugin/host.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace lra {
namespace {

using Numbers = std::vector<lra_real>;

class HostTest : public testing::Test {
 protected:
  Numbers draw(const Host& host, uint64_t stream, uint64_t offset, int64_t n) const {
    Numbers out(static_cast<std::size_t>(n));
    host.table()->normal(host.table()->ctx, stream, offset, n, out.data());
    return out;
  }

  Workers workers_{2};
  Host host_{workers_, 7, 0};
};

TEST_F(HostTest, MultipliesWithTransposesAndBias) {
  const lra_real a[] = {1, 2, 3, 4};  // 2 x 2, used transposed: [[1, 3], [2, 4]]
  const lra_real b[] = {1, 0, 1, 1};  // [[1, 0], [1, 1]]
  const lra_real bias[] = {10, 20};
  lra_real c[] = {100, 100, 100, 100};
  lra_gemm g{};
  g.struct_size = sizeof(g);
  g.m = g.n = g.k = g.lda = g.ldb = g.ldc = 2;
  g.a = a;
  g.b = b;
  g.c = c;
  g.trans_a = 1;
  g.alpha = 1;
  g.beta = 2;
  g.bias = bias;
  host_.table()->gemm(host_.table()->ctx, &g);
  EXPECT_EQ(Numbers(c, c + 4), Numbers({214, 223, 216, 224}));
}

TEST_F(HostTest, DrawsTheSameNumbersHoweverTheyAreAskedFor) {
  const Numbers whole = draw(host_, 5, 0, 9);
  Numbers parts = draw(host_, 5, 0, 1);
  for (const auto& [offset, n] : {std::pair{1, 3}, {4, 5}}) {
    const Numbers part = draw(host_, 5, uint64_t(offset), n);
    parts.insert(parts.end(), part.begin(), part.end());
  }
  EXPECT_EQ(parts, whole);
}

TEST_F(HostTest, KeepsSeedsLayersAndStreamsApart) {
  Host other_seed(workers_, 8, 0);
  Host other_layer(workers_, 7, 1);
  Host same(workers_, 7, 0);
  const Numbers here = draw(host_, 5, 0, 4);
  EXPECT_EQ(draw(same, 5, 0, 4), here);
  EXPECT_NE(draw(other_seed, 5, 0, 4), here);
  EXPECT_NE(draw(other_layer, 5, 0, 4), here);
  EXPECT_NE(draw(host_, 6, 0, 4), here);
}

TEST_F(HostTest, DrawsStandardNormalsAndUniforms) {
  constexpr int64_t kCount = 40000;
  const Numbers normals = draw(host_, 1, 0, kCount);
  Numbers uniforms(kCount);
  host_.table()->uniform(host_.table()->ctx, 1, 0, kCount, uniforms.data());
  double sum = 0, squares = 0, mean = 0;
  for (std::size_t i = 0; i < kCount; ++i) {
    sum += double(normals[i]);
    squares += double(normals[i]) * double(normals[i]);
    mean += double(uniforms[i]) / kCount;
    ASSERT_TRUE(uniforms[i] >= 0 && uniforms[i] < 1);
  }
  EXPECT_NEAR(sum / kCount, 0, 0.02);  // 4 standard errors
  EXPECT_NEAR(squares / kCount, 1, 0.03);
  EXPECT_NEAR(mean, 0.5, 0.006);
}

TEST_F(HostTest, CutsARangeIntoTheSameChunksForAnyNumberOfThreads) {
  Workers alone(1);
  Host single(alone, 7, 0);
  const auto chunks = [](const Host& host) {
    std::vector<int64_t> end_of(10, -1);
    host.table()->parallel_for(
        host.table()->ctx, 10, 4,
        [](void* user, int64_t begin, int64_t end, int32_t) {
          (*static_cast<std::vector<int64_t>*>(user))[static_cast<std::size_t>(begin)] = end;
        },
        &end_of);
    return end_of;
  };
  EXPECT_EQ(chunks(single), std::vector<int64_t>({4, -1, -1, -1, 8, -1, -1, -1, 10, -1}));
  EXPECT_EQ(chunks(host_), chunks(single));
}

TEST_F(HostTest, GivesTheLastErrorOnce) {
  host_.table()->set_error(host_.table()->ctx, "first");
  host_.table()->set_error(host_.table()->ctx, "second");
  EXPECT_EQ(host_.take_error(), "second");
  EXPECT_EQ(host_.take_error(), "");
}

}  // namespace
}  // namespace lra
