// Runs a program as a shell would, and keeps what it prints.
#ifndef LRA_TESTS_CLI_PROGRAM_H
#define LRA_TESTS_CLI_PROGRAM_H

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "core/file.h"
#include "core/json.h"

namespace lra::cli_test {

struct Result {
  int code = -1;
  std::string out, err;
  Json json() const { return parse_json(out, "standard output"); }
};

// A new empty folder below the build tree.
inline std::string fresh_folder(const std::string& name) {
  const std::filesystem::path path = std::filesystem::path(LRA_WORK_DIR) / name;
  std::filesystem::remove_all(path);
  std::filesystem::create_directories(path);
  return path.string();
}

// Runs a shell command to its end.
inline Result shell(const std::string& command) {
  static std::atomic<int> number{0};
  const std::string base =
      std::string(LRA_WORK_DIR) + "/output-" + std::to_string(getpid()) + "-" + std::to_string(number++);
  std::filesystem::create_directories(LRA_WORK_DIR);
  setenv("LRA_CACHE", (std::string(LRA_WORK_DIR) + "/cache").c_str(), 1);
  const int status = std::system(("{ " + command + "; } >" + base + ".out 2>" + base + ".err").c_str());
  Result result;
  result.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  result.out = read_file(base + ".out", 1 << 24);
  result.err = read_file(base + ".err", 1 << 24);
  std::filesystem::remove(base + ".out");
  std::filesystem::remove(base + ".err");
  return result;
}

inline Result lra_run(const std::string& arguments) { return shell(std::string(LRA_RUN) + " " + arguments); }

// The one record below a folder.
inline std::string record_below(const std::string& folder) {
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.path().extension() == ".json") return entry.path().string();
  }
  return "";
}

inline bool has_file(const std::string& folder, const std::string& extension) {
  std::error_code gone;  // a file may be renamed while we look
  for (auto at = std::filesystem::recursive_directory_iterator(folder, gone);
       at != std::filesystem::recursive_directory_iterator(); at.increment(gone)) {
    if (at->path().extension() == extension) return true;
  }
  return false;
}

}  // namespace lra::cli_test

#endif  // LRA_TESTS_CLI_PROGRAM_H
