// Pathfinder: drawing by hand, statistics of images made by the published generator, labels read off paddles and
// pixels.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/json.h"
#include "core/rng.h"
#include "data/dataset.h"
#include "tasks/pathfinder/snakes.h"
#include "tests/data/temporary_folder.h"
#include "tests/tasks/opened.h"
#include "tests/tasks/png_file.h"

namespace lra::tasks::pathfinder {
namespace {

using data::Dataset;
using data::SplitName;
using data::Token;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr int64_t kTries = 1'000'000;

std::vector<Sample> draw(const Geometry& geometry, uint64_t seed, std::size_t count) {
  const SnakeGenerator generator(geometry);
  std::vector<Sample> samples(count);
  for (std::size_t i = 0; i < count; ++i) EXPECT_TRUE(generator.draw(key_of({seed, i}), kTries, samples[i]));
  return samples;
}

TEST(PathfinderRaster, DrawsThinLinesPixelByPixelWithBothEnds) {
  Gray image(5);
  draw_line(image, {0, 0}, {2, 4}, 1);
  const std::vector<Point> wanted{{0, 0}, {1, 1}, {1, 2}, {2, 3}, {2, 4}};
  int white = 0;
  for (const uint8_t pixel : image.pixels()) white += pixel == 255;
  EXPECT_EQ(white, 5);
  for (const Point p : wanted) EXPECT_EQ(image.at(p), 255) << p.y << " " << p.x;
}

TEST(PathfinderRaster, DrawsWideLinesAsRectangles) {
  Gray image(7);
  draw_line(image, {3, 1}, {3, 5}, 3);
  for (int y = 0; y < 7; ++y) {
    for (int x = 0; x < 7; ++x) {
      EXPECT_EQ(image.at({y, x}), y >= 2 && y <= 4 && x >= 1 && x <= 5 ? 255 : 0) << y << " " << x;
    }
  }
}

TEST(PathfinderRaster, KeepsAConstantImageAndAveragesTwoPixelsIntoOne) {
  Gray constant(17);
  for (uint8_t& pixel : constant.pixels()) pixel = 93;
  const Gray reduced = Lanczos(17, 9).reduce(constant);
  for (const uint8_t pixel : reduced.pixels()) EXPECT_EQ(pixel, 93);
  Gray pair(2);
  pair.at({0, 1}) = pair.at({1, 1}) = 255;
  EXPECT_EQ(Lanczos(2, 1).reduce(pair).at({0, 0}), 128);
}

TEST(PathfinderRaster, DilatesAsThePlainLoopDoes) {
  Rng rng{1};
  for (const int size : {12, 64, 100, 130}) {
    Bitmap source(size), dilated(size);
    for (int i = 0; i < size; ++i) source.set({rng.between(0, size - 1), rng.between(0, size - 1)});
    for (int i = 0; i < 5; ++i) source.set({rng.between(0, size - 1), i % 2 == 0 ? 0 : size - 1});
    const std::vector<Bitmap::Run> element{{-7, -8, -2}, {-1, -3, 5}, {0, 2, 2}, {4, 1, 9}};
    dilated.dilate(source, element);
    for (int y = 0; y < size; ++y) {
      for (int x = 0; x < size; ++x) {
        bool wanted = false;
        for (const auto& run : element) {
          for (int dx = run.first; dx <= run.last; ++dx) {
            const Point from{y + run.dy, x + dx};
            wanted = wanted || (source.contains(from) && source.at(from));
          }
        }
        ASSERT_EQ(dilated.at({y, x}), wanted) << size << ": " << y << " " << x;
      }
    }
  }
}

// One number for each image; compared by their means.
std::map<std::string, std::vector<double>> statistics(const std::vector<Sample>& samples) {
  std::map<std::string, std::vector<double>> values;
  for (const Sample& sample : samples) {
    const std::vector<uint8_t>& pixels = sample.image.pixels();
    double zero = 0, low = 0, bright = 0, brightest = 0, sum = 0, squares = 0;
    for (const uint8_t pixel : pixels) {
      zero += pixel == 0;
      low += pixel <= 5;
      bright += pixel > 64;
      brightest += pixel > 192;
      sum += pixel;
      squares += pixel * pixel;
    }
    const auto n = static_cast<double>(pixels.size());
    values["share_zero"].push_back(zero / n);
    values["share_up_to_5"].push_back(low / n);
    values["share_above_64"].push_back(bright / n);
    values["share_above_192"].push_back(brightest / n);
    values["mean"].push_back(sum / n);
    values["standard_deviation"].push_back(std::sqrt(squares / n - sum / n * (sum / n)));
  }
  return values;
}

TEST(PathfinderSnakes, DrawsImagesWithTheStatisticsOfThePublishedGenerator) {
  const auto file = std::filesystem::path(__FILE__).parent_path() / "pathfinder_reference.json";
  const std::map<std::string, Difficulty> difficulties{
      {"easy", Difficulty::kEasy}, {"intermediate", Difficulty::kIntermediate}, {"hard", Difficulty::kHard}};
  const Json sets = read_json(file.string()).at("sets");
  ASSERT_EQ(sets.size(), 4u);
  for (const Json& reference : sets) {
    const auto window = reference.at("resolution").get<int>();
    const auto difficulty = reference.at("difficulty").get<std::string>();
    const auto images = reference.at("images").get<double>();
    const std::vector<Sample> samples =
        draw(Geometry::of(window, difficulties.at(difficulty)), 3, static_cast<std::size_t>(images));
    // As many images as the reference has: the difference of two means has variance (s1^2 + s2^2) / n. Four standard
    // errors: one comparison in 16,000 would fail by chance.
    for (const auto& [name, values] : statistics(samples)) {
      const auto wanted = reference.at(name).at("mean").get<double>();
      const auto between = reference.at(name).at("between").get<double>();
      double mean = 0, squares = 0;
      for (const double value : values) mean += value / images;
      for (const double value : values) squares += (value - mean) * (value - mean) / (images - 1);
      EXPECT_NEAR(mean, wanted, 4 * std::sqrt((between * between + squares) / images))
          << name << " at " << window << " " << difficulty;
    }
    double ones = 0;
    for (const Sample& sample : samples) ones += sample.label / images;
    EXPECT_NEAR(ones, 0.5, 4 * std::sqrt(0.25 / images)) << window << " " << difficulty;
  }
}

TEST(PathfinderSnakes, TracesEveryLabelFromPaddleToPaddle) {
  for (const int window : {12, 32, 128}) {
    const SnakeGenerator generator(Geometry::of(window, Difficulty::kEasy));
    for (const Sample& sample : draw(generator.geometry(), 5, window == 128 ? 20 : 300)) {
      ASSERT_EQ(generator.trace(sample), sample.label);
      ASSERT_EQ(sample.target_paddles, 2u * static_cast<std::size_t>(generator.geometry().contour_length));
    }
  }
}

TEST(PathfinderSnakes, SeesThatAMarkerWasMovedToTheOtherContour) {
  const SnakeGenerator generator(Geometry::of(128, Difficulty::kEasy));
  Sample sample = draw(generator.geometry(), 6, 1)[0];
  const Point first_end = sample.paddles[sample.target_paddles / 2 - 1].at;
  const Point second_end = sample.paddles[sample.target_paddles - 1].at;
  sample.markers[1] = sample.markers[1] == first_end ? second_end : first_end;
  EXPECT_EQ(generator.trace(sample), 1 - sample.label);
}

TEST(PathfinderSnakes, KeepsBothFarEndsEquallyFarWhenBalanced) {
  Geometry geometry = Geometry::of(32, Difficulty::kHard);
  geometry.distance_gap = 1;
  for (const Sample& sample : draw(geometry, 7, 100)) {
    const Point first_end = sample.paddles[sample.target_paddles / 2 - 1].at;
    const Point second_end = sample.paddles[sample.target_paddles - 1].at;
    EXPECT_LE(std::abs(distance(sample.markers[0], first_end) - distance(sample.markers[0], second_end)), 1);
  }
}

// Small windows as the preset uses them.
class SmallPathfinder : public ::testing::Test {
 protected:
  static Options options(std::map<std::string, std::string> set) {
    set.insert({{"resolution", "12"}, {"difficulty", "easy"}, {"gray_levels", "16"}});
    set.insert({{"train", "2500"}, {"validation", "100"}, {"test", "2500"}});
    return {"pathfinder", task().info().options, set};
  }
  static const data::Task& task() { return data::find_task("pathfinder"); }
  Dataset open(const Options& set, int threads, const std::string& name) {
    Workers workers(threads);
    return Dataset::open(task(), set, workers, folder_.path() + "/" + name);
  }
  std::map<std::string, double> baselines(const Options& set) {
    Workers workers(2);
    const Dataset data = open(set, 2, "cache");
    std::map<std::string, double> found;
    for (const data::Baseline& one : task().baselines(set, data, workers)) found[one.name] = one.accuracy;
    return found;
  }
  TemporaryFolder folder_;
};

TEST_F(SmallPathfinder, GivesTheSameBytesForOneWorkerAndForTwo) {
  const Options set = options({{"train", "300"}, {"test", "100"}, {"balance", "distance"}});
  const Dataset one = open(set, 1, "one"), two = open(set, 2, "two");
  EXPECT_EQ(one.hash(), two.hash());
  EXPECT_EQ(one.facts(), two.facts());
  EXPECT_NE(one.hash(), open(options({{"train", "300"}, {"test", "100"}, {"seed", "1"}}), 2, "two").hash());
}

TEST_F(SmallPathfinder, JoinsTheBrightestTokensByInkExactlyWhenTheLabelIsOne) {
  for (const char* difficulty : {"easy", "hard"}) {
    const Dataset data = open(options({{"train", "500"}, {"test", "100"}, {"difficulty", difficulty}}), 2, "cache");
    const data::Split& train = data.split(SplitName::kTrain);
    for (int64_t i = 0; i < train.size(); ++i) {
      // Markers are the only tokens of level 15; ink begins at level 2. Flood from the first level-15 token.
      const auto tokens = train.tokens(i);
      const auto level = [&](int y, int x) { return tokens[static_cast<std::size_t>(12 * y + x)]; };
      std::vector<Point> bright;
      for (int p = 0; p < 144; ++p) {
        if (level(p / 12, p % 12) == 15) bright.push_back({p / 12, p % 12});
      }
      ASSERT_GE(bright.size(), 2u);
      Bitmap ink(12), reached(12);
      for (int p = 0; p < 144; ++p) {
        if (level(p / 12, p % 12) >= 2) ink.set({p / 12, p % 12});
      }
      reached.flood(ink, bright.front());
      bool joined = true;
      for (const Point p : bright) joined = joined && reached.at(p);
      ASSERT_EQ(joined, train.label(i) == 1) << difficulty << " " << i;
    }
  }
}

TEST_F(SmallPathfinder, MeasuresTheShortcutsThatABalanceClosesAndOpens) {
  // 0.53 is three standard errors of 2,500 fair answers above chance.
  auto none = baselines(options({{"balance", "none"}, {"difficulty", "hard"}}));
  EXPECT_GE(none["marker distance"], 0.58);
  EXPECT_GE(none["marker places"], 0.68);
  EXPECT_LE(none["logistic regression on pixels"], 0.53);
  auto balanced = baselines(options({{"balance", "distance"}, {"difficulty", "hard"}}));
  EXPECT_LE(balanced["marker distance"], 0.55);
  EXPECT_GE(balanced["marker places"], 0.6);
  EXPECT_GE(balanced["logistic regression on pixels"], 0.53);
}

TEST_F(SmallPathfinder, CountsBothClassesAndWhatItDropped) {
  const Dataset data = open(options({{"balance", "distance"}}), 2, "cache");
  const Json& facts = data.facts();
  // 4 standard errors of 2,500 fair draws.
  EXPECT_NEAR(facts.at("train").at("class_shares").at(0).get<double>(), 0.5, 4 * 0.5 / std::sqrt(2500.0));
  EXPECT_GE(facts.at("images_drawn").get<int>(), 5100);
  EXPECT_GE(facts.at("untraceable_pairs_dropped").get<int>(), 0);
  EXPECT_EQ(data.shape().vocab, 16);
  EXPECT_EQ(data.shape().height * data.shape().width, data.shape().max_len);
}

TEST(PathX, IsPathfinderAt128PixelsHard) {
  const data::Task &pathx = data::find_task("pathx"), &pathfinder = data::find_task("pathfinder");
  const std::map<std::string, std::string> sizes{{"train", "2"}, {"validation", "1"}, {"test", "1"}};
  auto at_128 = sizes;
  at_128["resolution"] = "128";
  const Options own("pathx", pathx.info().options, sizes), other("pathfinder", pathfinder.info().options, at_128);
  EXPECT_EQ(own.json(), other.json());
  TemporaryFolder folder;
  Workers workers(2);
  const Dataset data = Dataset::open(pathx, own, workers, folder.path());
  EXPECT_EQ(data.shape().max_len, 16384);
  EXPECT_EQ(data.shape().vocab, 256);
  EXPECT_EQ(data.hash(), Dataset::open(pathfinder, other, workers, folder.path()).hash());
  try {
    pathx.shape(Options("pathx", pathx.info().options, {{"contour_length", "1"}}));
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), ::testing::StartsWith("pathx: contour_length 1 "));
  }
}

TEST_F(SmallPathfinder, RefusesContoursThatDoNotFitWithOneLineThatSaysWhatToDo) {
  for (const char* length : {"1", "10", "60"}) {
    try {
      open(options({{"contour_length", length}}), 2, "cache");
      FAIL() << length;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUsage);
      EXPECT_THAT(error.what(), AllOf(HasSubstr("contour_length"), HasSubstr("choose"), Not(HasSubstr("\n"))));
    }
  }
}

// ---- the release ----------------------------------------------------------------------------------------------------

// Ten images of 12 x 12 pixels in two batches; image i is all gray 10 i, its label i mod 2. Image 3 has no bytes, as
// one of the published ones.
class Release : public ::testing::Test {
 protected:
  Release() {
    for (int i = 0; i < 10; ++i) {
      tables_[i / 5].push_back(row(std::to_string(i % 2), i));
      write_png(image(i), 12, 12, std::vector<unsigned char>(144, static_cast<unsigned char>(10 * i)));
    }
    std::ofstream(image(3), std::ios::trunc).close();
    for (int b = 0; b < 2; ++b) write_table(b);
  }
  static std::string row(const std::string& label, int i) {
    const std::string n = std::to_string(i % 5);
    return "imgs/" + std::to_string(i / 5) + " sample_" + n + ".png " + n + " " + label + " 1.0 6 2 2 0.5 1 1";
  }
  std::string set_path() const { return folder_.path() + "/pathfinder12/curv_baseline"; }
  std::string image(int i) const {
    return set_path() + "/imgs/" + std::to_string(i / 5) + "/sample_" + std::to_string(i % 5) + ".png";
  }
  std::string table(int batch) const { return set_path() + "/metadata/" + std::to_string(batch) + ".npy"; }
  void write_table(int batch) {
    std::filesystem::create_directories(set_path() + "/metadata");
    std::ofstream out(table(batch), std::ios::binary);
    for (const std::string& one : tables_[batch]) out << one << "\n";
  }
  std::map<std::string, std::string> with_defaults(std::map<std::string, std::string> set) const {
    set.insert({{"source", "lra"}, {"path", folder_.path()}, {"resolution", "12"}, {"difficulty", "easy"}});
    set.insert({{"train", "5"}, {"validation", "2"}, {"test", "2"}});
    return set;
  }
  Dataset open(const std::map<std::string, std::string>& set) const { return opened("pathfinder", with_defaults(set)); }
  std::string refusal(const std::map<std::string, std::string>& set, ErrorKind kind) const {
    return tasks::refusal("pathfinder", with_defaults(set), kind);
  }
  TemporaryFolder folder_;
  std::map<int, std::vector<std::string>> tables_;
};

TEST_F(Release, IsReadWithTheEmptyImageLeftOutAndCounted) {
  const Dataset data = open({});
  std::map<int, int> seen;
  for (const SplitName name : {SplitName::kTrain, SplitName::kValidation, SplitName::kTest}) {
    const data::Split& split = data.split(name);
    for (int64_t i = 0; i < split.size(); ++i) {
      EXPECT_EQ(split.tokens(i).size(), 144u);
      const int number = split.tokens(i)[0] / 10;
      EXPECT_EQ(split.label(i), number % 2);
      ++seen[number];
    }
  }
  EXPECT_EQ(seen.size(), 9u);
  EXPECT_FALSE(seen.contains(3));
  EXPECT_EQ(data.facts().at("empty_images_left_out"), 1);
  EXPECT_EQ(data.facts().at("rows_left_out"), 0);
  EXPECT_THAT(data.facts().at("source").get<std::string>(), HasSubstr("pathfinder12/curv_baseline"));
  for (const std::string& path : {set_path(), folder_.path() + "/pathfinder12"})
    EXPECT_EQ(open({{"path", path}}).hash(), data.hash());
  EXPECT_EQ(open({{"gray_levels", "16"}}).shape().vocab, 16);
}

TEST_F(Release, RefusesImagesAndRowsWithTheirPlaceAndLeavesOutSomeIfAllowed) {
  const std::map<std::string, std::string> bad{{"imgs/1 sample_1.png 1", "four columns at least are wanted"},
                                               {row("2", 6), "label '2'; 0 or 1 is wanted"},
                                               {"imgs/../.. sample_1.png 1 0 1.0", "folder 'imgs/../..'"},
                                               {"imgs/1 ../sample_1.png 1 0 1.0", "file '../sample_1.png'"},
                                               {"\x93NUMPY\x01", "binary array of numpy"},
                                               {"", "four columns"}};
  for (const auto& [bytes, reason] : bad) {
    tables_[1][1] = bytes;
    write_table(1);
    EXPECT_THAT(refusal({}, ErrorKind::kData), AllOf(HasSubstr(table(1) + ", row 2: "), HasSubstr(reason)));
    EXPECT_EQ(open({{"train", "4"}, {"bad_rows", "skip:1"}}).facts().at("rows_left_out"), 1);
  }
  tables_[1][1] = row("0", 6);
  write_table(1);
  std::filesystem::remove(image(7));
  EXPECT_THAT(refusal({}, ErrorKind::kData), AllOf(HasSubstr(image(7)), HasSubstr("cannot read")));
  write_png(image(7), 13, 12, std::vector<unsigned char>(156, 9));
  EXPECT_THAT(refusal({}, ErrorKind::kData),
              AllOf(HasSubstr(image(7)), HasSubstr("13 x 12 pixels; 12 x 12 are wanted")));
  const Dataset data = open({{"train", "4"}, {"bad_rows", "skip:3"}});
  EXPECT_LE(data.facts().at("rows_left_out"), 1);
}

TEST_F(Release, SaysWhatIsMissingAndWhichOptionsDoNotGoWithFiles) {
  EXPECT_THAT(refusal({{"train", "6"}}, ErrorKind::kUsage),
              HasSubstr("train=6 is more than the 5 that are left for it of 10"));
  EXPECT_THAT(refusal({{"difficulty", "hard"}}, ErrorKind::kData), HasSubstr("pathfinder12/curv_contour_length_4"));
  EXPECT_THAT(refusal({{"balance", "distance"}}, ErrorKind::kUsage), HasSubstr("reads files as they are"));
  EXPECT_THAT(refusal({{"path", ""}}, ErrorKind::kUsage), HasSubstr("path=FOLDER"));
}

TEST_F(Release, KeepsTheSplitsThatAnExportHas) {
  for (const int batch : {10000, 20000}) {
    tables_[batch] = {"imgs/" + std::to_string(batch) + " sample_0.png 0 1 1.0"};
    write_table(batch);
    write_png(set_path() + "/imgs/" + std::to_string(batch) + "/sample_0.png", 12, 12,
              std::vector<unsigned char>(144, static_cast<unsigned char>(batch / 100)));
  }
  const Dataset data = open({{"train", "9"}, {"validation", "1"}, {"test", "1"}});
  EXPECT_EQ(data.split(SplitName::kValidation).tokens(0)[0], 100);
  EXPECT_EQ(data.split(SplitName::kTest).tokens(0)[0], 200);
}

}  // namespace
}  // namespace lra::tasks::pathfinder
