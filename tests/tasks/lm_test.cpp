// lm: the generator keeps its own rules, its entropy is what its rules say, text is cut without loss.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>
#include <string>

#include "core/error.h"
#include "core/file.h"
#include "core/json.h"
#include "data/dataset.h"
#include "tests/data/temporary_folder.h"

namespace lra::data {
namespace {

using Settings = std::map<std::string, std::string>;
using ::testing::HasSubstr;

const Task& lm() { return find_task("lm"); }

Options options_of(const Settings& set) { return Options("lm", lm().info().options, set); }

struct Made {
  explicit Made(const Settings& set)
      : options(options_of(set)), workers(2), data(Dataset::open(lm(), options, workers, folder.path())) {}
  TemporaryFolder folder;
  Options options;
  Workers workers;
  Dataset data;
};

const Settings kSmall{{"length", "100"}, {"symbols", "9"}, {"branch", "3"}, {"span", "8"},       {"distance", "24"},
                      {"copy", "0.5"},   {"train", "40"},  {"test", "300"}, {"validation", "10"}};

TEST(LanguageModelling, CopiesWhatStoodADistanceBefore) {
  Made made(kSmall);
  const Token fresh = 9, copy = 10;
  int64_t copies = 0, segments = 0;
  for (const SplitName name : {SplitName::kTrain, SplitName::kTest}) {
    for (int64_t e = 0; e < made.data.split(name).size(); ++e) {
      const auto x = made.data.split(name).tokens(e);
      ASSERT_EQ(x.size(), 101u);
      for (std::size_t t = 0; t < x.size(); ++t) {
        if (t % 8 == 0) {
          ASSERT_TRUE(x[t] == fresh || (x[t] == copy && t >= 24));
          if (t >= 24) {
            ++segments;
            copies += x[t] == copy ? 1 : 0;
          }
        } else {
          ASSERT_LT(x[t], 9);
          if (x[t - t % 8] == copy) {
            ASSERT_EQ(x[t], x[t - 24]);
          }
        }
      }
    }
  }
  EXPECT_NEAR(double(copies) / double(segments), 0.5, 0.03);
}

TEST(LanguageModelling, FollowsEachSymbolByFewOthers) {
  Made made(kSmall);
  std::map<Token, std::set<Token>> followers;
  const Split& split = made.data.split(SplitName::kTest);
  for (int64_t e = 0; e < split.size(); ++e) {
    const auto x = split.tokens(e);
    for (std::size_t t = 2; t < x.size(); ++t) {
      if (t % 8 > 1) followers[x[t - 1]].insert(x[t]);
    }
  }
  EXPECT_EQ(followers.size(), 9u);
  for (const auto& [symbol, after] : followers) EXPECT_EQ(after.size(), 3u) << symbol;
}

TEST(LanguageModelling, KnowsTheEntropyOfItsSource) {
  Made made(kSmall);
  const auto found = baselines(lm(), made.options, made.data, made.workers, made.folder.path());
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[0].name, "token frequencies");
  // By hand: of 100 targets 12 open a segment, the first two of them before anything can be copied; 13 segments have a
  // first symbol as target, twelve have 6 more, the last is cut to 3 more.
  const double opening = 10 * 1.0, firsts = 13 * std::log2(9), rest = (12 * 6 + 3) * std::log2(3);
  EXPECT_NEAR(found[1].accuracy, (opening + firsts + rest) / 100, 1e-9);
  // Of the ten segments from token 24 on, half cost nothing but their marker.
  const double saved = 0.5 * (10 * std::log2(9) + (9 * 6 + 3) * std::log2(3));
  EXPECT_NEAR(found[2].accuracy, (opening + firsts + rest - saved) / 100, 0.05);
  EXPECT_GT(found[0].accuracy, found[1].accuracy);
}

TEST(LanguageModelling, CutsAFileSoThatEveryByteIsATargetOnce) {
  const TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 400; ++i) text += "line " + std::to_string(i) + "\n";
  const std::string path = folder.path() + "/text";
  write_file_atomically(path, text);
  Made made({{"source", "text"}, {"path", path}, {"length", "50"}});
  EXPECT_EQ(made.data.shape().vocab, 256);
  std::string back;
  const Split& train = made.data.split(SplitName::kTrain);
  for (int64_t e = 0; e < train.size(); ++e) {
    const auto x = train.tokens(e);
    back.append(x.begin() + (e == 0 ? 0 : 1), x.end());
  }
  EXPECT_EQ(back, text.substr(0, back.size()));
  EXPECT_GT(back.size(), text.size() * 9 / 10 - 60);
  const auto found = baselines(lm(), made.options, made.data, made.workers, made.folder.path());
  EXPECT_EQ(found.back().name, "byte before");
  EXPECT_LT(found.back().accuracy, found.front().accuracy);
}

TEST(LanguageModelling, RefusesWhatCannotBe) {
  const auto message = [](Settings set) {
    try {
      lm().shape(options_of(set));
      lm().origin(options_of(set));
      return std::string();
    } catch (const Error& e) {
      return std::string(e.what());
    }
  };
  EXPECT_THAT(message({{"distance", "100"}, {"span", "16"}}),
              HasSubstr("distance 100 is no multiple of span 16; choose 96 or 112"));
  EXPECT_THAT(message({{"distance", "512"}, {"length", "512"}}), HasSubstr("nothing to copy"));
  EXPECT_THAT(message({{"source", "text"}}), HasSubstr("--task-set path=FILE"));
  EXPECT_THAT(message({{"source", "text"}, {"path", "/no/such/file"}}), HasSubstr("/no/such/file"));
}

}  // namespace
}  // namespace lra::data
