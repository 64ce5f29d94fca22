// Files and JSON: atomic writes, locks, bounded parsing.
#include "core/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "core/error.h"
#include "core/json.h"

namespace lra {
namespace {

class Files : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("lra-core-" + std::to_string(getpid()));
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string at(const std::string& name) const { return (folder_ / name).string(); }
  std::filesystem::path folder_;
};

TEST_F(Files, AreReplacedWholeAndLeaveNoTemporaryBehind) {
  write_file_atomically(at("a/b/c.txt"), "one");
  write_file_atomically(at("a/b/c.txt"), "two");
  EXPECT_EQ(read_file(at("a/b/c.txt"), 100), "two");
  int entries = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder_ / "a" / "b")) ++entries;
  EXPECT_EQ(entries, 1);
}

TEST_F(Files, ThatCannotBeWrittenAreAnIoErrorAndTheOldContentStays) {
  write_file_atomically(at("f"), "old");
  EXPECT_THROW(write_file_atomically(at("f/inside"), "x"), Error);
  EXPECT_EQ(read_file(at("f"), 100), "old");
  EXPECT_THROW(read_file(at("missing"), 100), Error);
  EXPECT_THROW(read_file(at("f"), 2), Error);
}

TEST_F(Files, LocksNameTheirHolder) {
  const FileLock first(at("lock"), false);
  try {
    const FileLock second(at("lock"), false);
    FAIL() << "a second lock was granted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kIo);
    EXPECT_THAT(error.what(), testing::HasSubstr(std::to_string(getpid())));
  }
}

TEST(Json, ErrorsNameLineAndColumn) {
  try {
    parse_json("{\n  \"a\": 1,\n  oops\n}", "file.json");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kData);
    EXPECT_THAT(error.what(), testing::HasSubstr("file.json:3:"));
  }
}

TEST(Json, DeepNestingIsRefusedWithoutRecursion) {
  EXPECT_THROW(parse_json(std::string(500000, '['), "deep"), Error);
  EXPECT_NO_THROW(parse_json("[\"[[[[\\\"[[\"]", "strings do not nest"));
}

TEST(Json, NeverHoldsANumberThatIsNotFinite) {
  EXPECT_TRUE(finite_or_null(std::nan("")).is_null());
  EXPECT_TRUE(finite_or_null(1.5).is_number());
}

}  // namespace
}  // namespace lra
