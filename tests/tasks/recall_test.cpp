// Recall: the answer is where the options say, is the only one there, and cheap readers do not find it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "core/error.h"
#include "core/json.h"
#include "data/dataset.h"
#include "tests/data/temporary_folder.h"

namespace lra::tasks {
namespace {

using data::Dataset;
using data::SplitName;
using data::Token;
using ::testing::HasSubstr;
using Set = std::map<std::string, std::string>;

const data::Task& task() { return data::find_task("recall"); }

class Recall : public ::testing::Test {
 protected:
  static Options options(Set set) {
    set.insert({{"max_length", "40"}, {"items", "6"}, {"keys", "8"}, {"values", "5"}, {"filler", "3"}});
    set.insert({{"train", "2000"}, {"validation", "50"}, {"test", "1000"}});
    return {"recall", task().info().options, set};
  }
  Dataset open(const Set& set, int threads = 2) {
    Workers workers(threads);
    return Dataset::open(task(), options(set), workers, folder_.path() + "/" + std::to_string(threads));
  }
  std::map<std::string, double> baselines(const Set& set) {
    Workers workers(2);
    std::map<std::string, double> found;
    for (const auto& [name, accuracy] : data::baselines(task(), options(set), open(set), workers, folder_.path())) {
      found[name] = accuracy;
    }
    return found;
  }
  static std::string refusal(const Set& set) {
    try {
      (void)task().shape(options(set));
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUsage);
      return error.what();
    }
    return "not refused";
  }
  TemporaryFolder folder_;
};

TEST_F(Recall, BindsTheQueryToOneFusedPairWithinTheDistances) {
  const Dataset data = open({{"min_distance", "5"}, {"max_distance", "9"}});
  constexpr int kFirstPair = 4, kFirstQuery = kFirstPair + 8 * 5;
  EXPECT_EQ(data.shape().vocab, kFirstQuery + 8);
  const data::Split& train = data.split(SplitName::kTrain);
  std::map<std::size_t, int> distances;
  for (int64_t i = 0; i < train.size(); ++i) {
    const auto tokens = train.tokens(i);
    ASSERT_EQ(tokens.size(), 40u);
    const int key = tokens.back() - kFirstQuery;
    ASSERT_GE(key, 0);
    std::set<int> keys;
    for (std::size_t at = 0; at < 39; ++at) {
      if (tokens[at] < kFirstPair) continue;
      const int pair = tokens[at] - kFirstPair;
      ASSERT_LT(pair, 40);
      ASSERT_TRUE(keys.insert(pair / 5).second) << "a key stands twice";
      if (pair / 5 != key) continue;
      ASSERT_EQ(train.label(i), pair % 5);
      ++distances[39 - at];
    }
    ASSERT_EQ(keys.size(), 6u);
    ASSERT_TRUE(keys.contains(key));
  }
  ASSERT_EQ(distances.size(), 5u);
  EXPECT_EQ(distances.begin()->first, 5u);
  EXPECT_EQ(distances.rbegin()->first, 9u);
  for (const auto& [distance, count] : distances) EXPECT_NEAR(count, 400, 4 * 18) << distance;
}

TEST_F(Recall, KeepsKeyAndValueSideBySideWhereTheyAreTwoTokens) {
  const Dataset data = open({{"pairing", "adjacent"}});
  constexpr int kFirstKey = 4, kFirstValue = kFirstKey + 8;
  EXPECT_EQ(data.shape().vocab, kFirstValue + 5);
  const data::Split& train = data.split(SplitName::kTrain);
  for (int64_t i = 0; i < train.size(); ++i) {
    const auto tokens = train.tokens(i);
    int answers = 0, pairs = 0;
    for (std::size_t at = 0; at + 1 < tokens.size(); ++at) {
      if (tokens[at] < kFirstKey || tokens[at] >= kFirstValue) continue;
      ++pairs;
      ASSERT_GE(tokens[at + 1], kFirstValue);
      if (tokens[at] != tokens.back()) continue;
      ++answers;
      ASSERT_EQ(tokens[at + 1] - kFirstValue, train.label(i));
    }
    ASSERT_EQ(pairs, 6);
    ASSERT_EQ(answers, 1);
  }
}

TEST_F(Recall, AsksForASymbolOfTheWordByItsIndex) {
  const Dataset data = open({{"mode", "copy"}, {"min_distance", "3"}, {"max_distance", "30"}});
  constexpr int kFirstSymbol = 4, kFirstIndex = kFirstSymbol + 5;
  EXPECT_EQ(data.shape().vocab, kFirstIndex + 6);
  const data::Split& train = data.split(SplitName::kTrain);
  for (int64_t i = 0; i < train.size(); ++i) {
    const auto tokens = train.tokens(i);
    ASSERT_EQ(tokens.size(), 40u);
    const auto mark = static_cast<std::size_t>(std::ranges::find(tokens, 0) - tokens.begin());
    const auto index = static_cast<std::size_t>(tokens.back() - kFirstIndex);
    const std::size_t at = mark + 1 + index;
    for (std::size_t s = mark + 1; s <= mark + 6; ++s)
      ASSERT_TRUE(tokens[s] >= kFirstSymbol && tokens[s] < kFirstIndex);
    ASSERT_EQ(tokens[at] - kFirstSymbol, train.label(i));
    ASSERT_TRUE(39 - at >= 3 && 39 - at <= 30);
  }
}

TEST_F(Recall, CutsZeroWordZeroWordInsideItsCopy) {
  const Dataset data = open({{"mode", "duplicate"}, {"filler", "0"}, {"min_distance", "4"}});
  EXPECT_EQ(data.shape().vocab, 1 + 5);
  const data::Split& train = data.split(SplitName::kTrain);
  std::set<std::size_t> words;
  for (int64_t i = 0; i < train.size(); ++i) {
    const auto tokens = train.tokens(i);
    ASSERT_EQ(tokens[0], 0);
    const auto word = static_cast<std::size_t>(std::find(tokens.begin() + 1, tokens.end(), 0) - tokens.begin()) - 1;
    words.insert(word);
    const std::size_t copied = tokens.size() - word - 2;
    ASSERT_LT(copied, word);
    ASSERT_TRUE(std::equal(tokens.begin() + 1, tokens.begin() + 1 + static_cast<std::ptrdiff_t>(copied),
                           tokens.begin() + static_cast<std::ptrdiff_t>(word) + 2));
    ASSERT_EQ(tokens[1 + copied] - 1, train.label(i));
  }
  EXPECT_EQ(*words.begin(), 4u);
  EXPECT_EQ(*words.rbegin(), 19u);
}

TEST_F(Recall, IsBeyondCheapReadersUnlessTheDistanceIsKnown) {
  const auto found = baselines({});
  ASSERT_EQ(found.size(), 5u);
  const double chance = 1.0 / 5;
  EXPECT_NEAR(found.at("majority"), chance, 0.05);
  // Right if it is the pair asked for, one of six, and else by chance.
  EXPECT_NEAR(found.at("last value"), 1.0 / 6 + 5.0 / 6 * chance, 0.05);
  EXPECT_LT(found.at("most frequent value"), 0.5);
  EXPECT_LT(found.at("logistic regression on counts of values"), 0.5);
  EXPECT_LT(found.at("value at the best distance"), 0.2);
  const auto fixed = baselines({{"min_distance", "7"}, {"max_distance", "7"}});
  EXPECT_EQ(fixed.at("value at the best distance"), 1);
  const auto repeated = baselines({{"mode", "duplicate"}, {"min_distance", "9"}, {"max_distance", "9"}});
  EXPECT_EQ(repeated.at("value at the best distance"), 1);
}

TEST_F(Recall, GivesTheSameBytesForOneWorkerAndForTwo) {
  for (const char* mode : {"recall", "copy", "duplicate"}) {
    const Set set{{"mode", mode}, {"train", "1500"}};
    EXPECT_EQ(open(set, 1).hash(), open(set, 2).hash()) << mode;
  }
  EXPECT_NE(open({{"seed", "1"}}).hash(), open({}).hash());
  EXPECT_EQ(open({}).facts().at("distance").at("max"), 39);
}

TEST_F(Recall, SaysWhatDoesNotFit) {
  EXPECT_THAT(refusal({{"items", "9"}}), HasSubstr("choose keys of at least 9"));
  EXPECT_THAT(refusal({{"items", "40"}, {"keys", "40"}}), HasSubstr("items of at most 39"));
  EXPECT_THAT(refusal({{"items", "14"}, {"keys", "40"}, {"pairing", "adjacent"}}), HasSubstr("items of at most 13"));
  EXPECT_THAT(refusal({{"items", "39"}, {"mode", "copy"}}), HasSubstr("items of at most 38"));
  EXPECT_THAT(refusal({{"max_distance", "40"}}), HasSubstr("max_distance <= 39"));
  EXPECT_THAT(refusal({{"mode", "duplicate"}, {"max_distance", "20"}}), HasSubstr("max_distance <= 19"));
  EXPECT_THAT(refusal({{"min_distance", "9"}, {"max_distance", "8"}}), HasSubstr("no distance lies between"));
  EXPECT_THAT(refusal({{"keys", "4096"}, {"values", "16"}}), HasSubstr("fewer keys or values"));
}

}  // namespace
}  // namespace lra::tasks
