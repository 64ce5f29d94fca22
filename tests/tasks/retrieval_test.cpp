// Retrieval: labels follow from who has what in both documents, one document or counts do not give them away, and the
// published table is read row by row.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "core/error.h"
#include "core/json.h"
#include "core/rng.h"
#include "data/byte_text.h"
#include "data/dataset.h"
#include "tests/data/temporary_folder.h"

namespace lra::tasks {
namespace {

using data::Dataset;
using data::SplitName;
using ::testing::AllOf;
using ::testing::HasSubstr;
using Set = std::map<std::string, std::string>;

const data::Task& task() { return data::find_task("retrieval"); }

Options options_of(Set set) {
  set.insert({{"min_length", "200"}, {"max_length", "300"}, {"keys", "4"}, {"changed", "3"}, {"hard", "0.7"}});
  set.insert({{"train", "3000"}, {"validation", "50"}, {"test", "1000"}});
  return {"retrieval", task().info().options, set};
}

Dataset open(const Set& set, const std::string& cache, int threads = 2) {
  Workers workers(threads);
  return Dataset::open(task(), options_of(set), workers, cache);
}

std::string refusal(const Set& set, ErrorKind kind) {
  const TemporaryFolder cache;
  try {
    open(set, cache.path());
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind);
    return error.what();
  }
  return "not refused";
}

// Which value each key has: sentences that begin with a key end with its value. Fails where a document contradicts
// itself.
std::map<std::string, std::string> binding_of(const std::string& document, int mentions) {
  std::map<std::string, std::string> binding;
  std::map<std::string, int> seen;
  std::istringstream sentences(document);
  for (std::string sentence; std::getline(sentences, sentence, '.');) {
    const std::size_t start = sentence.find_first_not_of(' ');
    if (start == sentence.npos || sentence[start] < 'A' || sentence[start] > 'Z') continue;
    const std::string key(1, sentence[start]), value(1, sentence.back());
    ++seen[key];
    const auto [at, is_new] = binding.emplace(key, value);
    EXPECT_TRUE(is_new || at->second == value) << document;
  }
  for (const auto& [key, count] : seen) EXPECT_EQ(count, mentions) << document;
  return binding;
}

std::set<std::string> values_of(const std::map<std::string, std::string>& binding) {
  std::set<std::string> values;
  for (const auto& [key, value] : binding) values.insert(value);
  return values;
}

TEST(Retrieval, LabelsPairsByWhetherTheSameKeysHaveTheSameValues) {
  const TemporaryFolder cache;
  const Dataset data = open({}, cache.path());
  EXPECT_TRUE(data.shape().pair);
  int together = 0, hard = 0, easy = 0;
  for (const SplitName name : {SplitName::kTrain, SplitName::kValidation, SplitName::kTest}) {
    const data::Split& split = data.split(name);
    for (int64_t i = 0; i < split.size(); ++i) {
      const std::string first = data::byte_text(split.tokens(i, 0)), second = data::byte_text(split.tokens(i, 1));
      ASSERT_TRUE(first.size() <= 300 && second.size() <= 300);
      const auto one = binding_of(first, 2), other = binding_of(second, 2);
      ASSERT_EQ(one.size(), 4u);
      ASSERT_EQ(values_of(one).size(), 4u);
      ASSERT_EQ(split.label(i), one == other ? 1 : 0) << first << "\n" << second;
      if (one == other) {
        ++together;
        ASSERT_NE(first, second);
      } else if (values_of(one) == values_of(other)) {
        ++hard;
        int changed = 0;
        for (const auto& [key, value] : one) changed += other.at(key) != value;
        ASSERT_EQ(changed, 3);
      } else {
        ++easy;
        for (const std::string& value : values_of(other)) ASSERT_FALSE(values_of(one).contains(value));
      }
    }
  }
  EXPECT_NEAR(together, 4050 * 0.5, 4 * 32);
  EXPECT_NEAR(hard, 4050 * 0.35, 4 * 31);
  EXPECT_NEAR(easy, 4050 * 0.15, 4 * 23);
}

TEST(Retrieval, IsBeyondOneDocumentAndHardPairsAreBeyondCounts) {
  const TemporaryFolder cache;
  Workers workers(2);
  const auto accuracies = [&](const char* hard) {
    const Set set{{"hard", hard}, {"train", "6000"}};
    const Dataset data = open(set, cache.path());
    EXPECT_NEAR(data.facts().at("most_by_counts").get<double>(), 1 - std::stod(hard) / 2, 1e-9);
    std::map<std::string, double> found;
    for (const auto& [name, accuracy] : data::baselines(task(), options_of(set), data, workers, cache.path())) {
      found[name] = accuracy;
    }
    return found;
  };
  const std::string alone = "logistic regression on counts of bytes of one document";
  const std::string compared = "logistic regression on counts of bytes compared";
  const auto all_hard = accuracies("1");
  ASSERT_EQ(all_hard.size(), 3u);
  EXPECT_NEAR(all_hard.at(alone), 0.5, 4 * 0.016);
  EXPECT_NEAR(all_hard.at(compared), 0.5, 4 * 0.016);
  const auto mixed = accuracies("0.5");
  EXPECT_NEAR(mixed.at(alone), 0.5, 4 * 0.016);
  EXPECT_GT(mixed.at(compared), 0.6);
  EXPECT_LT(mixed.at(compared), 0.75 + 4 * 0.014);
}

TEST(Retrieval, GivesTheSameBytesForOneWorkerAndForTwo) {
  const TemporaryFolder one, two;
  EXPECT_EQ(open({}, one.path(), 1).hash(), open({}, two.path(), 2).hash());
  EXPECT_NE(open({{"seed", "1"}}, one.path()).hash(), open({}, two.path()).hash());
}

TEST(Retrieval, SharesNoPairBetweenSplits) {
  const TemporaryFolder cache;
  const Dataset data = open({}, cache.path());
  for (const auto& [pair, count] : data.facts().at("overlap").items()) EXPECT_EQ(count, 0) << pair;
}

TEST(Retrieval, SaysWhichOptionsDoNotFitTogether) {
  EXPECT_THAT(refusal({{"min_length", "301"}}, ErrorKind::kUsage), HasSubstr("min_length 301 is above max_length 300"));
  EXPECT_THAT(refusal({{"mentions", "20"}}, ErrorKind::kUsage), HasSubstr("the statements may need"));
  EXPECT_THAT(refusal({{"changed", "5"}}, ErrorKind::kUsage), HasSubstr("changed of at most 4"));
  EXPECT_THAT(refusal({{"values", "7"}}, ErrorKind::kUsage), HasSubstr("values of at least 8"));
  EXPECT_THAT(refusal({{"bad_rows", "ignore"}}, ErrorKind::kUsage), HasSubstr("skip:N"));
}

// A table in the published form: pair i of a part has label i mod 2.
class AanTable {
 public:
  AanTable() {
    for (const auto& [part, count] : std::map<std::string, int>{{"train", 10}, {"eval", 4}, {"test", 6}}) {
      for (int i = 0; i < count; ++i) rows_[part].push_back(row(i % 2 == 0 ? "0.0" : "1.0", part, i));
    }
  }
  static std::string row(const std::string& label, const std::string& part, int i) {
    const std::string n = std::to_string(i);
    return label + "\tA" + n + part + "\tB" + n + part + "\t\"first of " + part + n + "\tsecond, longer, of " + part +
           n;
  }
  std::vector<std::string>& rows(const std::string& part) { return rows_[part]; }
  Set set(const Set& more = {}) const {
    for (const auto& [part, rows] : rows_) {
      std::ofstream out(path(part), std::ios::binary);
      for (const std::string& row : rows) out << row << "\n";
    }
    Set set{{"source", "aan"}, {"path", folder_.path()}, {"train", "9"}, {"validation", "4"}, {"test", "6"}};
    for (const auto& [name, value] : more) set[name] = value;
    return set;
  }
  std::string path(const std::string& part) const { return folder_.path() + "/new_aan_pairs." + part + ".tsv"; }

 private:
  TemporaryFolder folder_;
  std::map<std::string, std::vector<std::string>> rows_;
};

TEST(RetrievalPairs, AreReadFromThePublishedTable) {
  const TemporaryFolder cache;
  const AanTable table;
  const Dataset data = open(table.set({{"max_length", "18"}}), cache.path());
  std::set<std::string> found;
  const data::Split& test = data.split(SplitName::kTest);
  for (int64_t i = 0; i < test.size(); ++i) {
    found.insert(std::to_string(test.label(i)) + data::byte_text(test.tokens(i, 0)) + "|" +
                 data::byte_text(test.tokens(i, 1)));
  }
  EXPECT_EQ(found.size(), 6u);
  EXPECT_TRUE(found.contains("0\"first of test4|second, longer, of"));
  EXPECT_TRUE(found.contains("1\"first of test5|second, longer, of"));
  EXPECT_EQ(data.split(SplitName::kTrain).size(), 9);
  EXPECT_EQ(data.split(SplitName::kValidation).size(), 4);
  EXPECT_EQ(data.facts().at("source"), "AAN pairs");
  EXPECT_EQ(data.facts().at("test_pairs_with_a_training_paper"), 0);
  EXPECT_EQ(data.facts().at("texts_cut").at("test"), 6);  // the second of each
}

TEST(RetrievalPairs, CountsTestPairsWhosePapersWereTrainedOn) {
  const TemporaryFolder cache;
  AanTable table;
  table.rows("test")[2] = "0\tA0train\tC\tnew\ttext";
  table.rows("test")[3] = table.rows("train")[1];
  const Json facts = open(table.set({{"train", "10"}}), cache.path()).facts();
  EXPECT_EQ(facts.at("test_pairs_with_a_training_paper"), 2);
  EXPECT_EQ(facts.at("overlap").at("test_in_train"), 1);
}

TEST(RetrievalPairs, RefusesMalformedRowsWithFileAndRowAndLeavesOutSomeIfAllowed) {
  const std::map<std::string, std::string> bad{{"2\ta\tb\tone\ttwo", "label '2'; 0 or 1 is wanted"},
                                               {"0.5\ta\tb\tone\ttwo", "label '0.5'"},
                                               {"1\ta\tb\tone", "five columns are wanted"},
                                               {"1\ta\tb\tone\ttwo\tthree", "five columns are wanted"},
                                               {"1\ta\tb\tone\ttwo\t", "five columns are wanted"},
                                               {"", "five columns are wanted"},
                                               {"1\ta\tb\t\ttwo", "a text is empty"},
                                               {"1\ta\tb\tone\t", "a text is empty"},
                                               {"1\ta\tb\tone\t" + std::string(9 << 20, 'x'), "longer than 8388608"}};
  for (const auto& [row, reason] : bad) {
    AanTable table;
    table.rows("eval").insert(table.rows("eval").begin() + 2, row);
    EXPECT_THAT(refusal(table.set(), ErrorKind::kData),
                AllOf(HasSubstr(table.path("eval") + ", row 3"), HasSubstr(reason)));
    const TemporaryFolder cache;
    EXPECT_EQ(open(table.set({{"bad_rows", "skip:1"}}), cache.path()).facts().at("rows_left_out"), 1);
  }
}

TEST(RetrievalPairs, SaysWhatIsMissing) {
  const AanTable table;
  EXPECT_THAT(refusal(table.set({{"train", "11"}}), ErrorKind::kUsage), HasSubstr("11 pairs are asked for"));
  const Set set = table.set();
  std::filesystem::remove(table.path("test"));
  EXPECT_THAT(refusal(set, ErrorKind::kData), AllOf(HasSubstr(table.path("test")), HasSubstr("path=FOLDER")));
}

TEST(RetrievalPairs, SurvivesAnyBytesInPlaceOfATable) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const AanTable table;
    const Set set = table.set({{"train", "1"}, {"bad_rows", "skip:100"}});
    std::fstream file(table.path("train"), std::ios::in | std::ios::out | std::ios::binary);
    Rng rng{seed};
    const auto bytes = static_cast<uint32_t>(std::filesystem::file_size(table.path("train")));
    for (int hits = 1 + static_cast<int>(rng.below(8)); hits > 0; --hits) {
      file.seekp(rng.below(bytes));
      file.put(static_cast<char>(rng.below(256)));
    }
    file.close();
    const TemporaryFolder cache;
    try {
      open(set, cache.path());
    } catch (const Error& error) {
      EXPECT_TRUE(error.exit_code() == 5 || error.exit_code() == 2) << error.what();
    }
  }
}

}  // namespace
}  // namespace lra::tasks
