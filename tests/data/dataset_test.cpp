// Data sets: what goes in comes out, the cache never lies, splits never share an example unseen.
#include "data/dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <functional>
#include <thread>

#include "core/error.h"
#include "core/json.h"
#include "core/rng.h"
#include "tests/data/temporary_folder.h"

namespace lra::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A task whose generator and shape are given by the test.
class ToyTask : public Task {
 public:
  using Generate = std::function<void(const Options&, Workers&, DatasetBuilder&)>;
  ToyTask(Shape shape, Generate generate) : shape_(shape), generate_(std::move(generate)) {
    info_.id = "toy";
    info_.options = {OptionSpec::integer("train", 40, 1, 1e6, ""), OptionSpec::integer("validation", 7, 1, 1e6, ""),
                     OptionSpec::integer("test", 9, 1, 1e6, ""), OptionSpec::integer("seed", 0, 0, 1e6, "")};
  }
  const TaskInfo& info() const override { return info_; }
  Shape shape(const Options&) const override { return shape_; }
  std::string origin(const Options&) const override { return origin_; }
  void generate(const Options& options, Workers& workers, DatasetBuilder& builder) const override {
    ++generated_;
    generate_(options, workers, builder);
  }
  std::vector<Baseline> baselines(const Options&, const Dataset&, Workers&) const override {
    ++asked_for_baselines_;
    return {{"guess", 0.25}};
  }

  TaskInfo info_;
  Shape shape_;
  Generate generate_;
  std::string origin_ = "here";
  mutable std::atomic<int> generated_{0};
  mutable std::atomic<int> asked_for_baselines_{0};
};

// Rows of 1 to 9 random tokens below 50, labelled by their first token.
Row random_row(uint64_t seed, uint64_t index) {
  Rng rng{seed, index};
  Row row;
  row.tokens.resize(1 + rng.below(9));
  for (Token& token : row.tokens) token = static_cast<Token>(rng.below(50));
  row.label = row.tokens[0] % 3;
  return row;
}

ToyTask random_task() {
  return {Shape{50, 3, 9, 0, 0, false}, [](const Options& options, Workers& workers, DatasetBuilder& builder) {
            const auto seed = static_cast<uint64_t>(options.integer("seed"));
            generate_splits(
                workers, split_sizes(options), [&](uint64_t index) { return random_row(seed, index); }, builder);
          }};
}

Options options_of(const ToyTask& task, const std::map<std::string, std::string>& set = {}) {
  return {"toy", task.info().options, set};
}

std::string only_data_file(const std::string& cache) {
  for (const auto& entry : std::filesystem::directory_iterator(cache + "/data")) {
    if (entry.path().extension() == ".lrad") return entry.path().string();
  }
  return "";
}

TEST(Dataset, GivesBackWhatTheTaskAdded) {
  const ToyTask task({50, 3, 9, 0, 0, false}, [](const Options&, Workers&, DatasetBuilder& builder) {
    EXPECT_TRUE(builder.add_unique(SplitName::kTrain, std::vector<Token>{1, 2, 3}, 2));
    EXPECT_TRUE(builder.add_unique(SplitName::kTrain, std::vector<Token>{4}, 0));
    EXPECT_TRUE(builder.add_unique(SplitName::kValidation, std::vector<Token>{5, 6}, 1));
    EXPECT_TRUE(builder.add_unique(SplitName::kTest, std::vector<Token>{7, 8, 9, 49}, 2));
    builder.note("source", "by hand");
  });
  const TemporaryFolder cache;
  Workers workers(1);
  const Dataset data = Dataset::open(task, options_of(task), workers, cache.path());
  EXPECT_EQ(data.shape().vocab, 50);
  EXPECT_EQ(data.shape().max_len, 9);
  ASSERT_EQ(data.split(SplitName::kTrain).size(), 2);
  EXPECT_THAT(data.split(SplitName::kTrain).tokens(0), ElementsAre(1, 2, 3));
  EXPECT_THAT(data.split(SplitName::kTrain).tokens(1), ElementsAre(4));
  EXPECT_EQ(data.split(SplitName::kTrain).label(0), 2);
  EXPECT_THAT(data.split(SplitName::kValidation).tokens(0), ElementsAre(5, 6));
  EXPECT_THAT(data.split(SplitName::kTest).tokens(0), ElementsAre(7, 8, 9, 49));
  EXPECT_EQ(data.split(SplitName::kTest).label(0), 2);
  EXPECT_EQ(data.facts().at("source"), "by hand");
}

TEST(Dataset, GivesBackBothSequencesOfAPair) {
  const ToyTask task({50, 2, 9, 0, 0, true}, [](const Options&, Workers&, DatasetBuilder& builder) {
    for (const SplitName split : {SplitName::kTrain, SplitName::kValidation, SplitName::kTest}) {
      builder.add_pair(split, std::vector<Token>{1, 2}, std::vector<Token>{3}, 0);
      builder.add_pair(split, std::vector<Token>{4}, std::vector<Token>{5, 6, 7}, 1);
    }
  });
  const TemporaryFolder cache;
  Workers workers(1);
  const Dataset data = Dataset::open(task, options_of(task), workers, cache.path());
  const Split& train = data.split(SplitName::kTrain);
  ASSERT_EQ(train.size(), 2);
  EXPECT_THAT(train.tokens(0, 1), ElementsAre(3));
  EXPECT_THAT(train.tokens(1, 0), ElementsAre(4));
  EXPECT_THAT(train.tokens(1, 1), ElementsAre(5, 6, 7));
  EXPECT_EQ(data.facts().at("overlap").at("test_in_train"), 2);
}

TEST(Dataset, CountsLengthsClassesRepeatsAndOverlaps) {
  const ToyTask task({50, 3, 9, 0, 0, false}, [](const Options&, Workers&, DatasetBuilder& builder) {
    builder.add(SplitName::kTrain, std::vector<Token>{1}, 0);
    builder.add(SplitName::kTrain, std::vector<Token>{1}, 0);
    builder.add(SplitName::kTrain, std::vector<Token>{1, 2, 3}, 1);
    builder.add(SplitName::kTrain, std::vector<Token>{1, 2, 3, 4}, 0);
    builder.add(SplitName::kValidation, std::vector<Token>{9}, 0);
    builder.add(SplitName::kTest, std::vector<Token>{1}, 2);
    builder.add(SplitName::kTest, std::vector<Token>{9}, 2);
  });
  const TemporaryFolder cache;
  Workers workers(1);
  const Dataset data = Dataset::open(task, options_of(task), workers, cache.path());
  const Json expected = Json::parse(R"({
    "examples": 4, "class_shares": [0.75, 0.25, 0.0],
    "length": {"min": 1, "median": 3, "p95": 4, "max": 4, "mean": 2.25}, "repeats": 1})");
  EXPECT_EQ(data.facts().at("train"), expected) << data.facts().dump(1);
  EXPECT_EQ(data.facts().at("overlap"),
            Json::parse(R"({"validation_in_train": 0, "test_in_train": 1, "test_in_validation": 1})"));
}

TEST(DatasetBuilder, TakesARowOnceOverAllSplits) {
  DatasetBuilder builder({50, 3, 9, 0, 0, false});
  const std::vector<Token> row{1, 2};
  EXPECT_TRUE(builder.add_unique(SplitName::kTrain, row, 0));
  EXPECT_FALSE(builder.add_unique(SplitName::kTrain, row, 0));
  EXPECT_FALSE(builder.add_unique(SplitName::kTest, row, 1));
  EXPECT_TRUE(builder.add_unique(SplitName::kTest, std::vector<Token>{1, 2, 0}, 1));
  EXPECT_EQ(builder.size(SplitName::kTrain), 1);
  EXPECT_EQ(builder.size(SplitName::kTest), 1);
}

TEST(Dataset, IsTheSameForAnyNumberOfWorkers) {
  const ToyTask task = random_task();
  std::vector<std::string> hashes;
  for (const int threads : {1, 2, 5}) {
    const TemporaryFolder cache;
    Workers workers(threads);
    hashes.push_back(Dataset::open(task, options_of(task, {{"train", "3000"}}), workers, cache.path()).hash());
  }
  EXPECT_EQ(hashes[0], hashes[1]);
  EXPECT_EQ(hashes[0], hashes[2]);
}

TEST(Dataset, ComesFromTheCacheTheSecondTime) {
  const ToyTask task = random_task();
  const TemporaryFolder cache;
  Workers workers(2);
  const Dataset first = Dataset::open(task, options_of(task), workers, cache.path());
  const Dataset second = Dataset::open(task, options_of(task), workers, cache.path());
  EXPECT_FALSE(first.from_cache());
  EXPECT_TRUE(second.from_cache());
  EXPECT_EQ(task.generated_, 1);
  EXPECT_EQ(first.hash(), second.hash());
  EXPECT_EQ(first.facts(), second.facts());
  EXPECT_EQ(first.facts().at("overlap").at("test_in_train"), 0);
}

TEST(Dataset, IsMadeAgainForOtherOptionsAnotherVersionOrAnotherOrigin) {
  ToyTask task = random_task();
  const TemporaryFolder cache;
  Workers workers(1);
  const auto hash = [&](const std::map<std::string, std::string>& set) {
    return Dataset::open(task, options_of(task, set), workers, cache.path()).hash();
  };
  EXPECT_NE(hash({}), hash({{"seed", "1"}}));
  EXPECT_EQ(task.generated_, 2);
  task.info_.version = 2;
  hash({});
  EXPECT_EQ(task.generated_, 3);
  task.origin_ = "elsewhere";
  hash({});
  EXPECT_EQ(task.generated_, 4);
}

// A cached data set whose file can be spoiled again and again.
class SpoiledDataset : public ::testing::Test {
 protected:
  SpoiledDataset() : hash_(open().hash()), path_(only_data_file(cache_.path())), whole_(read_file(path_, 1 << 20)) {}

  Dataset open() { return Dataset::open(task_, options_of(task_, {{"train", "12"}}), workers_, cache_.path()); }

  // With `bytes` in the file the data must be made anew, be the same, and say so in one line.
  void expect_recovery_from(const std::string& bytes) {
    std::ofstream(path_, std::ios::binary) << bytes;
    ::testing::internal::CaptureStderr();
    const Dataset again = open();
    const std::string said = ::testing::internal::GetCapturedStderr();
    EXPECT_FALSE(again.from_cache());
    EXPECT_EQ(again.hash(), hash_);
    EXPECT_THAT(said, HasSubstr("making it anew"));
    EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << said;
    EXPECT_EQ(read_file(path_, 1 << 20), whole_);
  }
  std::string with_flipped_bit(std::size_t at) const {
    std::string bytes = whole_;
    bytes[at] ^= 0x10;
    return bytes;
  }

  const ToyTask task_ = random_task();
  const TemporaryFolder cache_;
  Workers workers_{1};
  const std::string hash_, path_, whole_;
};

TEST_F(SpoiledDataset, IsMadeAgainWhenItsFileIsCutAnywhere) {
  for (std::size_t share = 0; share < 20; ++share) expect_recovery_from(whole_.substr(0, whole_.size() * share / 20));
  expect_recovery_from(whole_.substr(0, whole_.size() - 1));
  expect_recovery_from(whole_ + '\0');
}

TEST_F(SpoiledDataset, IsMadeAgainWhenAnyByteOfItsFileIsWrong) {
  for (std::size_t at = 0; at < 40; ++at) expect_recovery_from(with_flipped_bit(at));  // the head
  for (std::size_t share = 1; share < 20; ++share) expect_recovery_from(with_flipped_bit(whole_.size() * share / 20));
  expect_recovery_from(with_flipped_bit(whole_.size() - 1));
}

TEST(Dataset, IsGeneratedOnceWhenManyAskAtTheSameTime) {
  const ToyTask task = random_task();
  const TemporaryFolder cache;
  std::vector<std::string> hashes(4);
  std::vector<std::thread> threads;
  for (std::string& hash : hashes) {
    threads.emplace_back([&] {
      Workers workers(1);
      hash = Dataset::open(task, options_of(task, {{"train", "5000"}}), workers, cache.path()).hash();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(task.generated_, 1);
  for (const std::string& hash : hashes) EXPECT_EQ(hash, hashes[0]);
}

TEST(Dataset, StaysReadableWhenItsFileIsRemoved) {
  const ToyTask task = random_task();
  const TemporaryFolder cache;
  Workers workers(1);
  const Dataset data = Dataset::open(task, options_of(task), workers, cache.path());
  std::filesystem::remove(only_data_file(cache.path()));
  EXPECT_THAT(data.split(SplitName::kTrain).tokens(0), ::testing::ElementsAreArray(random_row(0, 0).tokens));
}

TEST(Dataset, SaysSoWhenTheOptionsLeaveTooFewExamples) {
  const ToyTask task({50, 3, 9, 0, 0, false}, [](const Options& options, Workers& workers, DatasetBuilder& builder) {
    generate_splits(
        workers, split_sizes(options),
        [](uint64_t index) {
          return Row{{static_cast<Token>(index % 50)}, 0};
        },
        builder);
  });
  const TemporaryFolder cache;
  Workers workers(1);
  try {
    Dataset::open(task, options_of(task), workers, cache.path());
    FAIL() << "56 examples of 50 possible ones";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    EXPECT_THAT(error.what(), HasSubstr("50 of 56 found"));
  }
}

TEST(Baselines, BeginWithTheMajorityClassAndAreComputedOnce) {
  const ToyTask task({50, 3, 9, 0, 0, false}, [](const Options&, Workers&, DatasetBuilder& builder) {
    // Class 1 leads in training; in the test split it has one example of four.
    for (Token t = 1; t <= 3; ++t) builder.add_unique(SplitName::kTrain, std::vector<Token>{t}, t == 1 ? 0 : 1);
    builder.add_unique(SplitName::kValidation, std::vector<Token>{4}, 0);
    for (Token t = 5; t <= 8; ++t) builder.add_unique(SplitName::kTest, std::vector<Token>{t}, t == 5 ? 1 : 0);
  });
  const TemporaryFolder cache;
  Workers workers(1);
  const Options options = options_of(task);
  const Dataset data = Dataset::open(task, options, workers, cache.path());
  for (int round = 0; round < 2; ++round) {
    const auto found = baselines(task, options, data, workers, cache.path());
    ASSERT_EQ(found.size(), 2u);
    EXPECT_EQ(found[0].name, "majority");
    EXPECT_EQ(found[0].accuracy, 0.25);
    EXPECT_EQ(found[1].name, "guess");
    EXPECT_EQ(found[1].accuracy, 0.25);
  }
  EXPECT_EQ(task.asked_for_baselines_, 1);

  for (const auto& entry : std::filesystem::directory_iterator(cache.path() + "/data")) {
    if (entry.path().extension() == ".json") std::ofstream(entry.path()) << "{\"data\"";
  }
  EXPECT_EQ(baselines(task, options, data, workers, cache.path()).size(), 2u);
  EXPECT_EQ(task.asked_for_baselines_, 2);
}

}  // namespace
}  // namespace lra::data
