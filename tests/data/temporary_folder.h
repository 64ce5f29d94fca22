// A folder of its own for one test, removed with everything in it.
#ifndef LRA_TESTS_DATA_TEMPORARY_FOLDER_H
#define LRA_TESTS_DATA_TEMPORARY_FOLDER_H

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>

namespace lra {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    static int count = 0;
    path_ = ::testing::TempDir() + "lra_test_" + std::to_string(getpid()) + "_" + std::to_string(count++);
    std::filesystem::create_directories(path_);
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace lra

#endif  // LRA_TESTS_DATA_TEMPORARY_FOLDER_H
