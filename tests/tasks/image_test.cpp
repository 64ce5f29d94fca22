// Image: reads what the IDX files hold, refuses files that are damaged, and draws pictures where there are none.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <fstream>

#include "core/error.h"
#include "data/dataset.h"
#include "tests/data/temporary_folder.h"

namespace lra::tasks {
namespace {

using data::Dataset;
using data::SplitName;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using Set = std::map<std::string, std::string>;

constexpr std::size_t kPixels = 28 * 28;

Dataset open_image(const Set& set, const std::string& cache) {
  const data::Task& task = data::find_task("image");
  Workers workers(2);
  return Dataset::open(task, Options("image", task.info().options, set), workers, cache);
}

void write_gz(const std::string& path, const std::string& bytes) {
  gzFile file = gzopen(path.c_str(), "wb");
  ASSERT_EQ(gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size())), static_cast<int>(bytes.size()));
  ASSERT_EQ(gzclose(file), Z_OK);
}

std::string big_endian(uint32_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift & 0xff);
  return bytes;
}

std::string image_file(uint32_t count) {
  std::string bytes = big_endian(0x803) + big_endian(count) + big_endian(28) + big_endian(28);
  for (std::size_t i = 0; i < count * kPixels; ++i) bytes += static_cast<char>((i / kPixels * 7 + i % kPixels) % 256);
  return bytes;
}

std::string label_file(uint32_t count) {
  std::string bytes = big_endian(0x801) + big_endian(count);
  for (uint32_t i = 0; i < count; ++i) bytes += static_cast<char>(i % 10);
  return bytes;
}

// A folder with 30 training and 12 test pictures; pixel p of picture i is (7 i + p) mod 256, its label i mod 10.
class SmallFiles {
 public:
  SmallFiles() {
    write_gz(path("train-images-idx3-ubyte.gz"), image_file(30));
    write_gz(path("train-labels-idx1-ubyte.gz"), label_file(30));
    write_gz(path("t10k-images-idx3-ubyte.gz"), image_file(12));
    write_gz(path("t10k-labels-idx1-ubyte.gz"), label_file(12));
  }
  std::string path(const std::string& file) const { return folder_.path() + "/" + file; }
  Set set() const { return {{"path", folder_.path()}, {"train", "20"}, {"validation", "5"}, {"test", "12"}}; }
  Dataset open(const Set& more = {}) const {
    Set all = more;
    all.merge(set());
    return open_image(all, folder_.path());
  }
  // The message with which a folder is refused.
  std::string refusal(const Set& more = {}) const {
    try {
      open(more);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kData);
      return error.what();
    }
    return "not refused";
  }

 private:
  TemporaryFolder folder_;
};

TEST(Image, GivesTrainingPicturesInOrderAndValidationFromTheEnd) {
  const SmallFiles files;
  const Dataset data = files.open();
  EXPECT_EQ(data.shape().vocab, 256);
  EXPECT_EQ(data.shape().height, 28);
  EXPECT_EQ(data.shape().width, 28);
  EXPECT_EQ(data.shape().max_len, 784);
  const data::Split& train = data.split(SplitName::kTrain);
  ASSERT_EQ(train.size(), 20);
  EXPECT_EQ(train.label(3), 3);
  EXPECT_EQ(train.tokens(3)[0], 21);
  EXPECT_EQ(train.tokens(3)[783], (21 + 783) % 256);
  const data::Split& validation = data.split(SplitName::kValidation);
  ASSERT_EQ(validation.size(), 5);
  EXPECT_EQ(validation.label(4), 9);
  EXPECT_EQ(validation.tokens(4)[0], 29 * 7);
  EXPECT_EQ(data.split(SplitName::kTest).label(11), 1);
  EXPECT_EQ(data.facts().at("source"), "Fashion-MNIST");
  // The made-up test file repeats the start of the training file: real data may do so, and it must be counted.
  EXPECT_EQ(data.facts().at("overlap").at("test_in_train"), 12);
}

TEST(Image, PoolsAndQuantisesByHand) {
  const SmallFiles files;
  const Dataset data = files.open({{"size", "14"}, {"levels", "16"}});
  EXPECT_EQ(data.shape().vocab, 16);
  EXPECT_EQ(data.shape().max_len, 196);
  const auto tokens = data.split(SplitName::kTrain).tokens(1);
  ASSERT_EQ(tokens.size(), 196u);
  // Pixels 7, 8 and 35, 36: mean 21.5, rounded to 22; 22 * 16 / 256 = 1.375.
  EXPECT_EQ(tokens[0], 1);
  // Pixels 7 + 26, 7 + 27, 7 + 54, 7 + 55: mean 47.5, rounded to 48; 48 * 16 / 256 = 3.
  EXPECT_EQ(tokens[13], 3);
}

TEST(Image, RefusesATruncatedFileAndNamesIt) {
  const SmallFiles files;
  const std::string path = files.path("train-images-idx3-ubyte.gz");
  std::filesystem::resize_file(path, std::filesystem::file_size(path) / 2);
  EXPECT_THAT(files.refusal(), AllOf(HasSubstr(path), HasSubstr("truncated")));
}

TEST(Image, RefusesAMissingFileADamagedStreamAndAWrongMagic) {
  const SmallFiles files;
  const std::string path = files.path("t10k-images-idx3-ubyte.gz");
  write_gz(path, label_file(12));
  EXPECT_THAT(files.refusal(), AllOf(HasSubstr(path), HasSubstr("0x00000803 is wanted")));
  std::fstream(path, std::ios::in | std::ios::out | std::ios::binary).seekp(14) << "\xff\xff\xff\xff";
  EXPECT_THAT(files.refusal(), HasSubstr(path));
  std::filesystem::remove(path);
  EXPECT_THAT(files.refusal(), AllOf(HasSubstr(path), HasSubstr("cannot be opened")));
}

TEST(Image, RefusesFilesWhoseSizesDoNotFit) {
  const SmallFiles files;
  const std::string images = files.path("train-images-idx3-ubyte.gz");
  write_gz(images, image_file(30) + "x");
  EXPECT_THAT(files.refusal(), HasSubstr("does not end after its 30 rows"));
  write_gz(images, image_file(29));
  EXPECT_THAT(files.refusal(), HasSubstr("30 labels for 29 pictures"));
  write_gz(images, big_endian(0x803) + big_endian(30) + big_endian(28) + big_endian(32));
  EXPECT_THAT(files.refusal(), HasSubstr("rows of 32; 28 is wanted"));
  write_gz(images, big_endian(0x803) + big_endian(4'000'000'000u) + big_endian(28) + big_endian(28));
  EXPECT_THAT(files.refusal(), HasSubstr("claims 4000000000 rows"));
  write_gz(images, big_endian(0x803) + big_endian(9'000'000) + big_endian(28) + big_endian(28));
  EXPECT_THAT(files.refusal(), HasSubstr("truncated"));
}

TEST(Image, RefusesALabelThatIsNoClass) {
  const SmallFiles files;
  write_gz(files.path("train-labels-idx1-ubyte.gz"), big_endian(0x801) + big_endian(30) + std::string(30, '\x0a'));
  EXPECT_THAT(files.refusal(), HasSubstr("label 10; 0 to 9 are known"));
}

TEST(Image, SaysSoWhenMoreIsAskedForThanThereIs) {
  const SmallFiles files;
  try {
    files.open({{"train", "26"}});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    EXPECT_THAT(error.what(), HasSubstr("26 training + 5 validation and 12 test examples are more than the 30 and 12"));
  }
  EXPECT_THROW(files.open({{"size", "10"}}), Error);
}

TEST(Image, DrawsBalancedShapesWhereNoFilesAreAndSaysSo) {
  const TemporaryFolder folder;
  const Set set{{"path", folder.path()}, {"train", "400"}, {"validation", "20"}, {"test", "100"}, {"size", "14"}};
  ::testing::internal::CaptureStderr();
  const Dataset data = open_image(set, folder.path());
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("procedural"));
  EXPECT_THAT(data.facts().at("source").get<std::string>(), HasSubstr("procedural"));
  EXPECT_THAT(data.facts().at("train").at("class_shares").get<std::vector<double>>(), Each(0.1));
  EXPECT_EQ(data.facts().at("overlap").at("test_in_train"), 0);
}

TEST(Image, DrawsTheSameShapesForTheSameSeedOnly) {
  const TemporaryFolder one, two;
  const auto hash = [](const char* seed, const TemporaryFolder& folder) {
    return open_image({{"source", "procedural"}, {"train", "60"}, {"validation", "10"}, {"test", "10"}, {"seed", seed}},
                      folder.path())
        .hash();
  };
  EXPECT_EQ(hash("3", one), hash("3", two));
  EXPECT_NE(hash("3", one), hash("4", one));
}

TEST(Image, TakesTheFilesOnceTheyAreThere) {
  const SmallFiles files;
  const std::string images = files.path("train-images-idx3-ubyte.gz");
  std::filesystem::rename(images, images + ".away");
  EXPECT_THAT(files.open().facts().at("source").get<std::string>(), HasSubstr("procedural"));
  std::filesystem::rename(images + ".away", images);
  EXPECT_EQ(files.open().facts().at("source"), "Fashion-MNIST");
}

TEST(Image, HasALinearBaselineAboveChance) {
  const TemporaryFolder folder;
  const Set set{{"source", "procedural"}, {"train", "2000"}, {"validation", "20"}, {"test", "500"}, {"size", "14"}};
  const data::Task& task = data::find_task("image");
  Workers workers(2);
  const auto found = baselines(task, Options("image", task.info().options, set), open_image(set, folder.path()),
                               workers, folder.path());
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[1].name, "logistic regression on pixels");
  EXPECT_GT(found[1].accuracy, 0.2);
  EXPECT_LT(found[1].accuracy, 0.9);
}

}  // namespace
}  // namespace lra::tasks
