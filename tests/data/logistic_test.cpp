// Logistic regression: finds what is linear, learns class shares where nothing is, same bits for any crew.
#include "data/logistic.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/rng.h"

namespace lra::data {
namespace {

constexpr int64_t kFeatures = 37;  // not a multiple of the lanes of the dot product

// Class c has mean 2 in features c, c + 3, c + 6, ... ; feature 36 never changes.
LabelledRows three_clouds(uint64_t seed, int64_t size) {
  const auto label = [seed](int64_t i) { return static_cast<int32_t>(mix64(seed ^ static_cast<uint64_t>(i)) % 3); };
  return {size,
          [=](int64_t i, std::span<float> x) {
            Rng rng{seed, static_cast<uint64_t>(i)};
            for (std::size_t f = 0; f < x.size(); ++f) {
              x[f] = static_cast<float>(rng.normal() * 2 + (f % 3 == static_cast<std::size_t>(label(i)) ? 2 : 0));
            }
            x.back() = 5;
          },
          label};
}

TEST(LogisticRegression, SeparatesCloudsAlmostAsWellAsTheBestRule) {
  Workers workers(2);
  const LogisticRegression model(three_clouds(1, 3000), kFeatures, 3, {}, workers);
  // The sums over a class's 12 features differ by 24 with a standard deviation of about 9.8: few are confused.
  EXPECT_GT(model.accuracy(three_clouds(2, 2000), workers), 0.97);
}

TEST(LogisticRegression, PredictsTheMajorityClassFromFeaturesThatSayNothing) {
  Workers workers(1);
  const LabelledRows rows{900, [](int64_t, std::span<float> x) { x[0] = 3; },
                          [](int64_t i) { return i % 3 == 0 ? 0 : 1; }};
  const LogisticRegression model(rows, 1, 4, {}, workers);
  EXPECT_NEAR(model.accuracy(rows, workers), 2.0 / 3.0, 1e-12);
}

TEST(LogisticRegression, FindsTheBoundaryBetweenTwoGroupsOfKnownOdds) {
  // x = 0: class 1 in 1 of 10; x = 1: in 4 of 10; x = 2: in 9 of 10. The fitted odds cross 1 between 1 and 2.
  Workers workers(1);
  const LabelledRows rows{3000, [](int64_t i, std::span<float> x) { x[0] = static_cast<float>(i % 3); },
                          [](int64_t i) {
                            return i / 3 % 10 < (i % 3 == 0 ? 1 : i % 3 == 1 ? 4 : 9) ? 1 : 0;
                          }};
  const LogisticRegression model(rows, 1, 2, {100, 500, 3e-2, 0}, workers);
  EXPECT_EQ(model.predict(std::vector<float>{0}), 0);
  EXPECT_EQ(model.predict(std::vector<float>{1}), 0);
  EXPECT_EQ(model.predict(std::vector<float>{2}), 1);
}

TEST(LogisticRegression, IsTheSameForAnyNumberOfWorkers) {
  const LabelledRows train = three_clouds(1, 700);
  Workers one(1), four(4);
  const LogisticRegression alone(train, kFeatures, 3, {3, 200, 1e-2, 1e-4}, one);
  const LogisticRegression crew(train, kFeatures, 3, {3, 200, 1e-2, 1e-4}, four);
  EXPECT_EQ(alone.weights(), crew.weights());
}

}  // namespace
}  // namespace lra::data
