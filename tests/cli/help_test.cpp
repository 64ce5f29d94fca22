// The help of all programs and their commands, as approved texts: a change is seen, and meant.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "core/file.h"
#include "tests/cli/program.h"

namespace lra::cli_test {
namespace {

struct Program {
  std::string path;
  std::vector<std::string> commands;  // "" is the program itself
};

class Help : public testing::TestWithParam<Program> {};

TEST_P(Help, IsTheApprovedText) {
  const std::string name = GetParam().path.substr(GetParam().path.rfind('/') + 1);
  std::string help;
  for (const auto& command : GetParam().commands) {
    const Result result = shell(GetParam().path + " " + command + " --help");
    EXPECT_EQ(result.code, 0) << command;
    EXPECT_EQ(result.err, "") << command;
    help += result.out;
  }
  const std::string path = std::string(LRA_GOLDEN_DIR) + "/" + name + "-help.txt";
  if (std::getenv("LRA_APPROVE") != nullptr) std::ofstream(path) << help;
  EXPECT_EQ(help, read_file(path, 1 << 20)) << "approve a wanted change with LRA_APPROVE=1";
}

INSTANTIATE_TEST_SUITE_P(
    OfAllPrograms, Help,
    testing::Values(Program{LRA_RUN, {""}}, Program{LRA_BENCH, {""}}, Program{LRA_CHECK, {""}},
                    Program{LRA_DATA, {"", "stats", "show", "export", "verify"}},
                    Program{LRA_INSPECT, {"", "apply", "attention", "fidelity"}},
                    Program{LRA_REPORT, {"", "table", "dashboard", "figure", "export", "validate"}},
                    Program{LRA_COMPARE,
                            {"", "gate", "baseline", "baseline check", "baseline set", "baseline update", "history",
                             "history add", "history show", "history steps", "doctor"}}),
    [](const auto& one) {
      const std::string& path = one.param.path;
      std::string name = path.substr(path.rfind('/') + 1);
      std::replace(name.begin(), name.end(), '-', '_');
      return name;
    });

}  // namespace
}  // namespace lra::cli_test
