// Bags: counts by hand, and that they know what order hides and nothing else.
#include "data/bag.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/rng.h"
#include "data/byte_text.h"
#include "data/dataset.h"
#include "tests/data/temporary_folder.h"

namespace lra::data {
namespace {

using ::testing::ElementsAre;

// Words over {0, 1, 2}; the label says which of "01" and "10" the text is made of.
class WordTask : public Task {
 public:
  WordTask() {
    info_.id = "words";
    info_.options = with_splits({}, {400, 10, 200});
  }
  const TaskInfo& info() const override { return info_; }
  Shape shape(const Options&) const override { return {3, 2, 16, 0, 0, false}; }
  void generate(const Options& options, Workers&, DatasetBuilder& builder) const override {
    const std::array<int64_t, 3> sizes = split_sizes(options);
    Rng rng{options.integer("seed") == 0 ? 1u : 2u};
    for (const SplitName split : {SplitName::kTrain, SplitName::kValidation, SplitName::kTest}) {
      for (int64_t i = 0; i < sizes[static_cast<std::size_t>(split)]; ++i) {
        const auto label = static_cast<int32_t>(i % 2);
        std::vector<Token> tokens;
        for (int word = 0; word < 5; ++word) {
          for (int blanks = rng.between(1, 2); blanks > 0 && word > 0; --blanks) tokens.push_back(2);
          tokens.push_back(static_cast<Token>(label));
          tokens.push_back(static_cast<Token>(1 - label));
        }
        tokens.resize(std::min<std::size_t>(tokens.size(), 16));
        builder.add(split, tokens, label);
      }
    }
  }
  std::vector<Baseline> baselines(const Options&, const Dataset&, Workers&) const override { return {}; }

 private:
  TaskInfo info_;
};

class Bags : public ::testing::Test {
 protected:
  double accuracy(const Bag& bag) {
    const auto rows = [&](SplitName name) {
      const Split& split = data_.split(name);
      return labelled_rows(split, [&](int64_t i, std::span<float> x) { bag.count(split.tokens(i), x); });
    };
    const LogisticRegression model(rows(SplitName::kTrain), bag.size(), 2, {}, workers_);
    return model.accuracy(rows(SplitName::kTest), workers_);
  }

  TemporaryFolder folder_;
  Workers workers_{2};
  WordTask task_;
  Dataset data_ = Dataset::open(task_, Options("words", task_.info().options, {}), workers_, folder_.path());
};

TEST_F(Bags, CountTokensAndTheCommonestNeighbours) {
  const Bag tokens(3);
  std::vector<float> x(3, 7.0f);
  tokens.count(std::vector<Token>{0, 2, 2}, x);
  EXPECT_THAT(x, ElementsAre(1, 0, 2));
  // Only (0, 1), (1, 0) and those with blanks occur: 7 of 9 pairs.
  const Bag neighbours(3, data_.split(SplitName::kTrain), 100);
  EXPECT_LT(neighbours.size(), 3 + 9);
  x.assign(static_cast<std::size_t>(neighbours.size()), 7.0f);
  neighbours.count(std::vector<Token>{0, 1, 0, 1}, x);
  float sum = 0;
  for (std::size_t i = 3; i < x.size(); ++i) sum += x[i];
  EXPECT_EQ(sum, 3);  // 01, 10, 01
}

TEST_F(Bags, KnowOrderOnlyIfTheyCountNeighbours) {
  EXPECT_LT(accuracy(Bag(3)), 0.75);
  EXPECT_GT(accuracy(Bag(3, data_.split(SplitName::kTrain), 9)), 0.98);
}

TEST(ByteText, NumbersBytesFromOneAndCutsTheEnd) {
  const std::string text("a\0\xff z", 5);
  const std::vector<Token> tokens = byte_tokens(text, 4);
  EXPECT_THAT(tokens, ElementsAre('a' + 1, 1, 256, ' ' + 1));
  EXPECT_EQ(byte_text(tokens), text.substr(0, 4));
  EXPECT_EQ(byte_tokens(text, 100).size(), 5u);
}

TEST(WithSplits, PutsSizesAndSeedAfterTheTasksOwnOptions) {
  const auto specs = with_splits({OptionSpec::integer("depth", 3, 1, 9, "")}, {30, 20, 10}, "seed of the shapes");
  ASSERT_EQ(specs.size(), 5u);
  EXPECT_EQ(specs[0].name, "depth");
  EXPECT_EQ(specs[4].help, "seed of the shapes");
  EXPECT_THAT(split_sizes(Options("toy", specs, {{"test", "11"}})), ElementsAre(30, 20, 11));
}

}  // namespace
}  // namespace lra::data
