// ListOps: hand-worked values, the published text form, and the distribution of the published generator.
#include "tasks/listops.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>

#include "core/error.h"
#include "core/json.h"
#include "data/dataset.h"
#include "tests/data/temporary_folder.h"
#include "tests/tasks/opened.h"

namespace lra::tasks::listops {
namespace {

using data::Dataset;
using data::SplitName;
using ::testing::AllOf;
using ::testing::HasSubstr;

int value_of(const std::string& text) { return evaluate(from_text(text)); }

// A second evaluator, of the published text: ( t argument ) extends the list t by one argument, ( t ] ) closes it.
std::vector<int> read_tree(std::istringstream& words) {
  static const std::map<std::string, int> names{{"[MIN", -1}, {"[MAX", -2}, {"[MED", -3}, {"[SM", -4}};
  std::string word;
  words >> word;
  if (names.contains(word)) return {names.at(word)};
  if (word != "(") return {std::atoi(word.c_str())};
  std::vector<int> list = read_tree(words);
  if ((words >> std::ws).peek() == ']') {
    words >> word;
    std::sort(list.begin() + 1, list.end());
    const std::size_t n = list.size() - 1;
    int sum = 0;
    for (std::size_t i = 1; i <= n; ++i) sum += list[i];
    const double median = n % 2 == 1 ? list[1 + n / 2] : (list[n / 2] + list[1 + n / 2]) / 2.0;
    const int values[] = {list[1], list[n], static_cast<int>(median), sum % 10};
    list = {values[-list[0] - 1]};
  } else {
    list.push_back(read_tree(words).at(0));
  }
  words >> word;  // ")"
  return list;
}

int value_by_tree(const std::string& text) {
  std::istringstream words(text);
  return read_tree(words).at(0);
}

TEST(ListOps, EvaluatesWhatIsWorkedByHand) {
  EXPECT_EQ(value_of("7"), 7);
  EXPECT_EQ(value_of("[MIN 4 2 9 ]"), 2);
  EXPECT_EQ(value_of("[MAX 4 2 9 ]"), 9);
  EXPECT_EQ(value_of("[SM 4 2 9 ]"), 5);
  EXPECT_EQ(value_of("[MAX 1 [MIN 8 9 ] [SM 3 3 [MED 1 5 2 ] ] ]"), 8);
}

TEST(ListOps, TakesTheMiddleValueOrTheTruncatedMeanOfTwoAsTheMedian) {
  EXPECT_EQ(value_of("[MED 9 1 4 ]"), 4);
  EXPECT_EQ(value_of("[MED 9 1 ]"), 5);
  EXPECT_EQ(value_of("[MED 2 3 ]"), 2);
  EXPECT_EQ(value_of("[MED 0 9 7 4 ]"), 5);
}

TEST(ListOps, WritesAndReadsThePublishedText) {
  const std::vector<Token> tokens{kMax, kZero + 2, kMin, kZero + 4, kZero + 7, kClose, kZero + 0, kClose};
  const std::string text = "( ( ( ( [MAX 2 ) ( ( ( [MIN 4 ) 7 ) ] ) ) 0 ) ] )";
  EXPECT_EQ(to_text(tokens), text);
  EXPECT_EQ(from_text(text), tokens);
  EXPECT_EQ(from_text("[MAX 2 [MIN 4 7 X 0 X"), tokens);
  EXPECT_EQ(depth(tokens), 3);
  EXPECT_EQ(to_text(std::vector<Token>{kZero + 3}), "3");
}

TEST(ListOps, RefusesWhatIsNotOneWholeExpression) {
  for (const char* text : {"", "[MAX 1 2", "[MAX ]", "]", "1 2", "[MAX 1 2 ] 3"}) {
    EXPECT_THROW(value_of(text), Error) << text;
  }
  EXPECT_THROW(evaluate(std::vector<Token>{0}), Error);
  EXPECT_THROW(evaluate(std::vector<Token>{16}), Error);
  EXPECT_THROW(from_text("[AVG 1 2 ]"), Error);
}

// Data with the published limits, 2,000 training examples.
class PublishedListOps : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    data_ = new Dataset(open({{"train", "2000"}, {"validation", "50"}, {"test", "50"}}));
  }
  static void TearDownTestSuite() {
    delete data_;
    delete folder_;
  }
  static Dataset open(const std::map<std::string, std::string>& set) {
    const data::Task& task = data::find_task("listops");
    Workers workers(2);
    return Dataset::open(task, Options("listops", task.info().options, set), workers, folder_->path());
  }
  static TemporaryFolder* folder_;
  static Dataset* data_;
};
TemporaryFolder* PublishedListOps::folder_ = nullptr;
Dataset* PublishedListOps::data_ = nullptr;

TEST_F(PublishedListOps, LabelsEveryExampleWithItsValue) {
  for (const SplitName name : {SplitName::kTrain, SplitName::kValidation, SplitName::kTest}) {
    const data::Split& split = data_->split(name);
    for (int64_t i = 0; i < split.size(); ++i) {
      ASSERT_EQ(split.label(i), value_by_tree(to_text(split.tokens(i)))) << split_name(name) << " " << i;
    }
  }
}

TEST_F(PublishedListOps, HasThePublishedLengths) {
  // Reference: a re-implementation of the published generator, 20,000 examples. Bands of 4 standard errors.
  const Json& length = data_->facts().at("train").at("length");
  EXPECT_GT(length.at("min").get<int>(), 500);
  EXPECT_LT(length.at("max").get<int>(), 2000);
  EXPECT_NEAR(length.at("mean").get<double>(), 1035, 36);
  EXPECT_NEAR(length.at("median").get<double>(), 953, 55);
  EXPECT_NEAR(length.at("p95").get<double>(), 1804, 45);
}

TEST_F(PublishedListOps, HasThePublishedClassShares) {
  const std::vector<double> published{.1684, .0931, .0727, .0821, .0888, .0882, .0772, .0746, .0853, .1696};
  const auto shares = data_->facts().at("train").at("class_shares").get<std::vector<double>>();
  for (std::size_t c = 0; c < 10; ++c) {
    EXPECT_NEAR(shares[c], published[c], 4 * std::sqrt(published[c] / 2000)) << "class " << c;
  }
}

TEST_F(PublishedListOps, ReachesTheDeepestLevelInEveryTree) {
  double operators = 0;
  const data::Split& train = data_->split(SplitName::kTrain);
  for (int64_t i = 0; i < train.size(); ++i) {
    ASSERT_EQ(depth(train.tokens(i)), 10);
    operators += static_cast<double>(std::ranges::count_if(train.tokens(i), is_operator));
  }
  EXPECT_NEAR(operators / 2000, 147, 6);
}

TEST_F(PublishedListOps, AnswersMaxMinAndSumAsThePublishedGeneratorDoes) {
  std::map<int, std::array<double, 10>> labels;
  std::map<int, double> count;
  const data::Split& train = data_->split(SplitName::kTrain);
  for (int64_t i = 0; i < train.size(); ++i) {
    ++labels[train.tokens(i)[0]][static_cast<std::size_t>(train.label(i))];
    ++count[train.tokens(i)[0]];
  }
  for (const Token operation : {kMin, kMax, kMed, kSm}) EXPECT_NEAR(count[operation], 500, 80);
  EXPECT_NEAR(labels[kMax][9] / count[kMax], 0.565, 0.09);
  EXPECT_NEAR(labels[kMin][0] / count[kMin], 0.563, 0.09);
  EXPECT_NEAR(labels[kMed][4] / count[kMed], 0.213, 0.08);
  for (const double label : labels[kSm]) EXPECT_NEAR(label / count[kSm], 0.1, 0.06);
}

TEST_F(PublishedListOps, NeverSharesAnExampleBetweenSplits) {
  // Short expressions repeat often, so many candidates must have been dropped here.
  const Dataset data = open({{"min_length", "3"},
                             {"max_length", "8"},
                             {"max_args", "4"},
                             {"max_depth", "3"},
                             {"train", "3000"},
                             {"validation", "300"},
                             {"test", "300"}});
  for (const auto& [pair, count] : data.facts().at("overlap").items()) EXPECT_EQ(count, 0) << pair;
  for (const char* split : {"train", "validation", "test"}) EXPECT_EQ(data.facts().at(split).at("repeats"), 0);
  EXPECT_GT(data.facts().at("train").at("length").at("min").get<int>(), 3);
  EXPECT_LT(data.facts().at("train").at("length").at("max").get<int>(), 8);
}

TEST_F(PublishedListOps, IsPartlyKnownFromTheRootAndItsDigits) {
  const std::map<std::string, std::string> set{{"min_length", "10"}, {"max_length", "64"}, {"max_args", "5"},
                                               {"max_depth", "6"},   {"train", "20000"},   {"test", "4000"}};
  const Dataset data = open(set);
  const data::Task& task = data::find_task("listops");
  Workers workers(2);
  const auto found = baselines(task, Options("listops", task.info().options, set), data, workers, folder_->path());
  ASSERT_EQ(found.size(), 3u);
  EXPECT_NEAR(found[0].accuracy, 0.113, 0.02);  // majority
  EXPECT_NEAR(found[1].accuracy, 0.240, 0.03);  // root operator
  EXPECT_NEAR(found[2].accuracy, 0.456, 0.03);  // root operator + its direct digits
}

TEST_F(PublishedListOps, SaysWhichLimitsLeaveNoLength) {
  try {
    open({{"min_length", "500"}, {"max_length", "501"}});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    EXPECT_THAT(error.what(), HasSubstr("max_length of at least 502"));
  }
}

// A table in the published form, with a row each for the values 0 to 9.
class ListOpsTables : public ::testing::Test {
 protected:
  ListOpsTables() {
    for (const char* part : {"train", "val", "test"}) write(part, rows());
  }
  static std::vector<std::string> rows() {
    std::vector<std::string> rows{"Source\tTarget"};
    for (int i = 0; i < 10; ++i) {
      const std::string digit = std::to_string(i);
      rows.push_back("( ( ( [MAX 0 ) " + digit + " ) ] )\t" + digit);
    }
    return rows;
  }
  std::string path(const std::string& part) const { return folder_.path() + "/basic_" + part + ".tsv"; }
  void write(const std::string& part, const std::vector<std::string>& rows) const {
    std::ofstream out(path(part), std::ios::binary);
    for (const std::string& row : rows) out << row << "\r\n";  // as Python's csv ends them
  }
  std::map<std::string, std::string> with_defaults(std::map<std::string, std::string> set) const {
    set.insert({{"source", "lra"}, {"path", folder_.path()}, {"train", "10"}, {"validation", "9"}, {"test", "8"}});
    return set;
  }
  Dataset open(const std::map<std::string, std::string>& set) const { return opened("listops", with_defaults(set)); }
  std::string refusal(const std::map<std::string, std::string>& set, ErrorKind kind) const {
    return tasks::refusal("listops", with_defaults(set), kind);
  }
  TemporaryFolder folder_;
};

TEST_F(ListOpsTables, AreReadWithEveryRowOnce) {
  const Dataset data = open({});
  EXPECT_THAT(data.facts().at("train").at("class_shares").get<std::vector<double>>(), ::testing::Each(0.1));
  const data::Split& test = data.split(SplitName::kTest);
  for (int64_t i = 0; i < test.size(); ++i) {
    const auto digit = static_cast<Token>(kZero + test.label(i));
    EXPECT_THAT(test.tokens(i), ::testing::ElementsAre(kMax, kZero, digit, kClose));
  }
  EXPECT_EQ(data.facts().at("rows_left_out"), 0);
  EXPECT_EQ(data.facts().at("overlap").at("test_in_train"), 8);
  EXPECT_EQ(data.facts().at("train").at("length").at("max"), 4);
}

TEST_F(ListOpsTables, RefuseMalformedRowsWithFileAndRowAndLeaveOutSomeIfAllowed) {
  const std::map<std::string, std::string> bad{{"( ( ( [MAX 0 ) 1 ) ] )\t2", "Target 2, but the expression is 1"},
                                               {"( ( ( [MAX 0 ) 1 ) ] )\t10", "Target '10'; 0 to 9 is wanted"},
                                               {"( ( ( [MAX 0 ) 1 ) ] )", "two columns are wanted"},
                                               {"( ( ( [MAX 0 ) 1 ) ] )\t1\t1", "two columns are wanted"},
                                               {"( ( ( [AVG 0 ) 1 ) ] )\t1", "unknown word '[AVG'"},
                                               {"( ( [MAX 0 ) 1 )\t1", "ends too early"},
                                               {"\t1", "ends too early"},
                                               {"", "two columns are wanted"},
                                               {"( ( ( ( [MAX 0 ) 1 ) 1 ) ] )\t1", "5 tokens, more than max_length 4"},
                                               {std::string(2 << 20, '('), "longer than 1048576 bytes"}};
  for (const auto& [row, reason] : bad) {
    std::vector<std::string> all = rows();
    all.insert(all.begin() + 3, row);
    write("val", all);
    EXPECT_THAT(refusal({{"max_length", "4"}}, ErrorKind::kData),
                AllOf(HasSubstr(path("val") + ", row 4"), HasSubstr(reason)));
    const Dataset data = open({{"max_length", "4"}, {"bad_rows", "skip:1"}});
    EXPECT_EQ(data.facts().at("rows_left_out"), 1);
    EXPECT_THAT(data.facts().at("first_rows_left_out").at(0).get<std::string>(),
                AllOf(HasSubstr("basic_val.tsv, row 4"), HasSubstr(reason)));
  }
}

TEST_F(ListOpsTables, SayWhatIsMissing) {
  EXPECT_THAT(refusal({{"train", "11"}}, ErrorKind::kUsage), HasSubstr("11 expressions are asked for"));
  std::filesystem::remove(path("test"));
  EXPECT_THAT(refusal({}, ErrorKind::kData), AllOf(HasSubstr("no basic_test.tsv"), HasSubstr("path=FOLDER")));
}

}  // namespace
}  // namespace lra::tasks::listops
