// Seeds become means with intervals, and nothing that failed disappears in them.
#include "report/summary.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "core/error.h"
#include "report/fixture.h"
#include "report/show.h"
#include "report/unicode.h"

namespace lra::report {
namespace {

using report_test::made_record;
using report_test::made_run;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(Summary, AddsTheReachOfSeedsAndOfExamplesInQuadrature) {
  std::vector<RunRecord> runs;
  for (const uint64_t seed : {0, 1, 2})
    runs.push_back(made_run({.seed = seed, .accuracy = 0.5 + 0.01 * static_cast<double>(seed)}));
  const auto groups = summarise(runs);
  ASSERT_EQ(groups.size(), 1u);
  const Estimate& a = *groups[0].quality;
  EXPECT_NEAR(a.mean, 0.51, 1e-12);
  EXPECT_NEAR(*a.seeds_reach, 4.303 * 0.01 / std::sqrt(3.0), 1e-9);
  EXPECT_NEAR(a.examples_reach, 0.0219, 2e-4);
  EXPECT_NEAR(a.reach(), std::hypot(*a.seeds_reach, a.examples_reach), 1e-12);
  EXPECT_EQ(groups[0].verdict, Verdict::kOk);
  EXPECT_THAT(groups[0].seeds(), ElementsAre(0, 1, 2));
}

TEST(Summary, GivesASingleSeedTheIntervalOfItsRecord) {
  const std::vector<RunRecord> runs{made_run({.accuracy = 0.4})};
  const Estimate a = *summarise(runs)[0].quality;
  EXPECT_DOUBLE_EQ(a.low, 0.38);
  EXPECT_DOUBLE_EQ(a.high, 0.42);
  EXPECT_FALSE(a.seeds_reach.has_value());
}

TEST(Summary, KeepsSeedsAtChanceInTheMeanAndSaysSo) {
  const std::vector<RunRecord> runs{made_run({.seed = 0, .accuracy = 0.9}), made_run({.seed = 1, .accuracy = 0.9}),
                                    made_run({.status = "at_chance", .seed = 2, .accuracy = 0.1})};
  const Group g = summarise(runs)[0];
  EXPECT_EQ(g.verdict, Verdict::kMixed);
  EXPECT_NEAR(g.quality->mean, 1.9 / 3, 1e-12);
  EXPECT_DOUBLE_EQ(g.quality->min, 0.1);
  EXPECT_EQ(g.trouble(), "1 of 3 seeds at chance");
}

TEST(Summary, NamesRunsWithoutAResult) {
  const std::vector<RunRecord> runs{made_run({.seed = 0}), made_run({.status = "diverged", .seed = 1}),
                                    made_run({.status = "oom", .seed = 2})};
  const Group g = summarise(runs)[0];
  EXPECT_EQ(g.verdict, Verdict::kMixed);
  EXPECT_EQ(g.quality->values.size(), 1u);
  EXPECT_EQ(g.trouble(), "1 of 3 seeds diverged, 1 oom");
  EXPECT_EQ(summarise({runs.begin() + 1, runs.end()})[0].verdict, Verdict::kNone);
}

TEST(Summary, CallsAllAtChanceAFailure) {
  const std::vector<RunRecord> runs{made_run({.status = "at_chance", .accuracy = 0.1})};
  EXPECT_EQ(summarise(runs)[0].verdict, Verdict::kAtChance);
}

TEST(Summary, TellsConfigurationsApartByWhatDiffers) {
  const std::vector<RunRecord> runs{made_run({.variant = "performer", .features = 64}),
                                    made_run({.variant = "performer", .features = 128}),
                                    made_run({.variant = "performer", .task = "image", .features = 64}), made_run({})};
  std::vector<std::string> labels;
  for (const Group& g : summarise(runs)) labels.push_back(g.task + " " + g.label);
  EXPECT_THAT(labels, ElementsAre("listops softmax", "listops performer (features=128)",
                                  "listops performer (features=64)", "image performer (features=64)"));
}

TEST(Summary, NeverMixesPresets) {
  const std::vector<RunRecord> runs{made_run({.preset = "lra"}), made_run({.preset = "small"})};
  const auto groups = summarise(runs);
  EXPECT_EQ(groups.size(), 2u);
  EXPECT_EQ(by_preset(groups).size(), 2u);
}

class Collecting : public testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_ + "/deep");
  }
  void put(const std::string& name, const std::string& text) { std::ofstream(folder_ + "/" + name) << text; }
  const std::string folder_ = testing::TempDir() + "collecting";
};

TEST_F(Collecting, WalksFoldersAndPassesOverWhatIsNotOurs) {
  put("deep/a.json", json_text(made_record({})));
  put("other.json", "{\"name\": \"not a record\"}");
  put("notes.txt", "x");
  const Collection found = collect({folder_});
  EXPECT_EQ(found.records.size(), 1u);
  EXPECT_TRUE(found.faults.empty());
  EXPECT_EQ(found.files, 2);
}

TEST_F(Collecting, TellsEachFileThatCannotBeUsedAndGoesOn) {
  put("a.json", json_text(made_record({})));
  put("b.json", "{\"schema\": \"lra.record/1\"}");
  put("c.json", "{");
  Json newer = made_record({});
  newer["schema"] = "lra.record/9";
  put("d.json", json_text(newer));
  const Collection found = collect({folder_});
  EXPECT_EQ(found.records.size(), 1u);
  EXPECT_THAT(found.faults,
              ElementsAre(HasSubstr("breaks schema"), HasSubstr("not valid JSON"), HasSubstr("lra.record/9")));
}

TEST_F(Collecting, KeepsTheNewerOfTwoRecordsOfOneCell) {
  Json newer = made_record({.accuracy = 0.7});
  newer["environment"]["started"] = "2027-01-01T00:00:00Z";
  put("a.json", json_text(newer));
  put("b.json", json_text(made_record({.accuracy = 0.3})));
  const Collection found = collect({folder_});
  ASSERT_EQ(found.records.size(), 1u);
  EXPECT_DOUBLE_EQ(*found.records[0].quality, 0.7);
  EXPECT_EQ(found.notes.size(), 1u);
}

TEST_F(Collecting, ReadsWhatGoogleBenchmarkWrites) {
  put("bench.json", R"({"context": {}, "benchmarks": [
    {"name": "softmax/step/512/manual_time", "run_type": "iteration", "real_time": 40, "time_unit": "ms", "planned": 1000, "VmHWM": 2000},
    {"name": "softmax/step/256/manual_time", "run_type": "iteration", "real_time": 10, "time_unit": "ms", "planned": 500, "VmHWM": 2000},
    {"name": "softmax/step/256/manual_time", "run_type": "iteration", "real_time": 12, "time_unit": "ms"},
    {"name": "softmax/forward/256/manual_time", "run_type": "iteration", "real_time": 3, "time_unit": "ms"},
    {"name": "local/step/256/manual_time", "run_type": "iteration", "error_occurred": true, "real_time": 0, "time_unit": "ms"},
    {"name": "softmax/step/256_mean", "run_type": "aggregate", "real_time": 11, "time_unit": "ms"}]})");
  const Collection found = collect({folder_ + "/bench.json"});
  ASSERT_EQ(found.costs.size(), 4u);
  EXPECT_EQ(found.costs[3].quantity, "training step");
  EXPECT_THAT(found.costs[3].points, ElementsAre(std::make_pair(256.0, 0.01), std::make_pair(512.0, 0.04)));
}

TEST_F(Collecting, RefusesAPathThatIsNotThere) { EXPECT_THROW(collect({folder_ + "/nowhere"}), Error); }

TEST(Unicode, MakesNamesSafeToShow) {
  EXPECT_EQ(one_line("a\nb\x1B[31m"), "a\uFFFDb\uFFFD[31m");
  EXPECT_EQ(one_line("\u202Eevil"), "\uFFFDevil");
  EXPECT_EQ(one_line("\xFF\xC3"), "\uFFFD\uFFFD");
  EXPECT_EQ(one_line("\xC0\x80"), "\uFFFD\uFFFD") << "an overlong zero";
  EXPECT_EQ(columns("é🦊e\u0301"), 4u);
  EXPECT_EQ(clipped("abcdef", 4), "abc…");
  EXPECT_EQ(clipped("abcd", 4), "abcd");
  EXPECT_EQ(clipped("🦊🦊🦊", 4), "🦊…");
}

}  // namespace
}  // namespace lra::report
