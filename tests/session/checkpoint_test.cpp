// Checkpoints: whole or passed over, never of another run.
#include "session/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "core/error.h"
#include "core/file.h"

namespace lra::session {
namespace {

class Checkpoint : public testing::Test {
 protected:
  Checkpoint() : folder_(std::filesystem::temp_directory_path() / ("lra-ckpt-" + std::to_string(getpid()))) {
    std::filesystem::create_directories(folder_);
  }
  ~Checkpoint() override { std::filesystem::remove_all(folder_); }
  std::string path() const { return (folder_ / "run.ckpt").string(); }

  train::Trainer::State state() {
    return {&step_, {{weights_.data(), int64_t(weights_.size())}, {moments_.data(), int64_t(moments_.size())}}};
  }
  void write(int64_t step, Real value) {
    std::fill(weights_.begin(), weights_.end(), value);
    write_checkpoint(path(), {{"spec", spec_}, {"step", step}}, state());
  }

  std::filesystem::path folder_;
  Json spec_ = {{"variant", "softmax"}, {"model", {{"dim", 64}}}};
  int64_t step_ = 0;
  std::vector<Real> weights_ = std::vector<Real>(100), moments_ = std::vector<Real>(30);
};

TEST_F(Checkpoint, ComesBackAsItWasWritten) {
  write(12, Real(0.5));
  std::fill(weights_.begin(), weights_.end(), Real(0));
  const auto header = read_checkpoint(path(), spec_, state());
  ASSERT_TRUE(header.has_value());
  EXPECT_EQ(step_, 12);
  EXPECT_EQ(weights_, std::vector<Real>(100, Real(0.5)));
}

TEST_F(Checkpoint, ThatIsMissingIsNoError) { EXPECT_FALSE(read_checkpoint(path(), spec_, state()).has_value()); }

TEST_F(Checkpoint, DamagedAnywhereFallsBackToTheOneBeforeIt) {
  write(1, Real(1));
  write(2, Real(2));
  const std::string whole = read_file(path(), 1 << 20);
  for (std::size_t cut = 0; cut < whole.size(); cut += 7) {
    write_file_atomically(path(), whole.substr(0, cut));
    ASSERT_TRUE(read_checkpoint(path(), spec_, state()).has_value()) << "cut at " << cut;
    EXPECT_EQ(step_, 1);
    EXPECT_EQ(weights_[0], Real(1));
  }
  for (std::size_t at = 0; at < whole.size(); at += 5) {
    std::string flipped = whole;
    flipped[at] = static_cast<char>(flipped[at] ^ 0x10);
    write_file_atomically(path(), flipped);
    try {
      ASSERT_TRUE(read_checkpoint(path(), spec_, state()).has_value()) << "flip at " << at;
      EXPECT_EQ(step_, 1) << "flip at " << at;
      EXPECT_EQ(weights_[0], Real(1));
    } catch (const Error& error) {
      FAIL() << "flip at " << at << ": " << error.what();
    }
  }
}

TEST_F(Checkpoint, OfAnotherRunIsRefusedAndNamesTheField) {
  write(1, Real(1));
  Json other = spec_;
  other["model"]["dim"] = 128;
  try {
    read_checkpoint(path(), other, state());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kData);
    EXPECT_THAT(error.what(), testing::HasSubstr("model.dim is 64 there and 128 here"));
  }
}

}  // namespace
}  // namespace lra::session
