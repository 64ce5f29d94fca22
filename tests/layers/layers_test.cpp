// The layers of the house, held against the includes that are really there: arrows go down only (docs/architecture.md).
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>

namespace lra {
namespace {

using Rooms = std::map<std::string, std::set<std::string>>;

// room -> rooms whose headers it may include (its own always).
const Rooms kAllowed{
    {"core", {}},
    {"record", {"core"}},
    {"report", {"core", "record"}},
    {"math", {"core"}},
    {"blas", {"core", "math"}},
    {"abi", {}},
    {"sdk", {"abi", "math", "core"}},
    {"data", {"core"}},
    {"nn", {"core", "abi", "math", "blas"}},
    {"plugin", {"core", "abi", "math", "blas", "nn"}},
    {"check", {"core", "abi", "blas", "plugin"}},
    {"train", {"core", "math", "data", "nn", "abi"}},
    {"session", {"core", "math", "blas", "data", "nn", "train", "plugin", "abi", "record"}},
};

std::set<std::string> rooms_included_by(const std::filesystem::path& file) {
  static const std::regex pattern("^\\s*#include \"([a-z_]+)/");
  std::set<std::string> rooms;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    std::smatch match;
    if (std::regex_search(line, match, pattern)) rooms.insert(match[1]);
  }
  return rooms;
}

bool is_source(const std::filesystem::path& path) { return path.extension() == ".h" || path.extension() == ".cpp"; }

TEST(Layers, EveryRoomIncludesOnlyWhatStandsBelowIt) {
  const std::filesystem::path harness = std::filesystem::path(LRA_SOURCE_DIR) / "harness";
  int files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(harness)) {
    if (!is_source(entry.path())) continue;
    ++files;
    const std::string room = *std::filesystem::relative(entry.path(), harness).begin();
    ASSERT_TRUE(kAllowed.contains(room)) << "harness/" << room << " is not in the table of layers";
    for (const std::string& used : rooms_included_by(entry.path())) {
      const bool known = kAllowed.contains(used);
      EXPECT_TRUE(!known || used == room || kAllowed.at(room).contains(used))
          << entry.path() << " reaches up to " << used;
    }
  }
  EXPECT_GT(files, 40);
}

TEST(Layers, VariantsSeeTheSdkAndTasksSeeTheDataRoom) {
  const std::map<std::string, std::set<std::string>> outside{{"variants", {"sdk", "math", "abi"}},
                                                             {"tasks", {"data", "core"}}};
  for (const auto& [folder, allowed] : outside) {
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(std::filesystem::path(LRA_SOURCE_DIR) / folder)) {
      if (!is_source(entry.path())) continue;
      for (const std::string& used : rooms_included_by(entry.path())) {
        EXPECT_TRUE(!kAllowed.contains(used) || allowed.contains(used)) << entry.path() << " includes " << used;
      }
    }
  }
}

TEST(Layers, TheTableItselfHasNoCycle) {
  for (const auto& [room, below] : kAllowed) {
    std::set<std::string> seen;
    std::set<std::string> open = below;
    while (!open.empty()) {
      const std::string next = *open.begin();
      open.erase(open.begin());
      EXPECT_NE(next, room) << room << " stands below itself";
      if (!seen.insert(next).second) continue;
      open.insert(kAllowed.at(next).begin(), kAllowed.at(next).end());
    }
  }
}

}  // namespace
}  // namespace lra
