// The variant that was built against the staged installation loads and computes; the staged variants load from their
// place.
#include <gmock/gmock.h>

#include "variants/variant_fixture.h"

namespace lra::test {
namespace {

TEST(OutOfTree, TheVariantLoadsAndComputes) {
  for (const auto& r : registry().refused()) ADD_FAILURE() << r.path << ": " << r.reason;
  ASSERT_THAT(registry().ids(), testing::ElementsAre("mean", "softmax"));
  for (const bool causal : {false, true}) {
    Module m({.variant = "mean", .len = 2, .dim = 1, .heads = 1, .head_dim = 1, .causal = causal});
    m.set_param("wv", {2});
    m.set_param("wo", {10});
    EXPECT_EQ(m.forward({1, 4}), causal ? Numbers({20, 50}) : Numbers({50, 50}));
  }
}

TEST(OutOfTree, TheVariantHasItsGradients) {
  for (const bool causal : {false, true}) expect_gradients({.variant = "mean", .causal = causal, .bias = true});
}

TEST(OutOfTree, TheKernelsOfTheInstalledLibraryCompute) { expect_gradients({.variant = "softmax", .len = 70}); }

TEST(OutOfTree, TheInstalledVariantsLoad) {
  const PluginRegistry installed({LRA_STAGE_VARIANTS_DIR});
  for (const auto& r : installed.refused()) ADD_FAILURE() << r.path << ": " << r.reason;
  EXPECT_THAT(installed.ids(), testing::IsSupersetOf({"identity", "local", "softmax"}));
}

}  // namespace
}  // namespace lra::test
