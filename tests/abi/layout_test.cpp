// The layout of contract 1.x is frozen: offset and size of every field equal the recorded file, in C and in C++.
#include "abi/attention.h"

void layout_cpp20(char* out, size_t size);
#define LAYOUT_FUNCTION layout_cpp20
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>

#include "layout.inc"

extern "C" void layout_c11(char* out, size_t size);

namespace {

std::string layout(void (*print)(char*, size_t)) {
  std::string text(1 << 14, '\0');
  print(text.data(), text.size());
  text.resize(text.find('\0'));
  return text;
}

TEST(Contract, HasTheRecordedLayout) {
  std::ifstream file(LRA_LAYOUT_FILE);
  std::stringstream recorded;
  recorded << file.rdbuf();
  EXPECT_EQ(layout(layout_cpp20), recorded.str())
      << "A change that only appends is a new minor version: record it. Any other change breaks every plugin in use.";
}

TEST(Contract, HasOneLayoutInCAndInCpp) { EXPECT_EQ(layout(layout_cpp20), layout(layout_c11)); }

TEST(Contract, ListsEveryFieldOfEveryStruct) {
  std::istringstream lines(layout(layout_cpp20));
  std::string line, name;
  size_t end = 0, size = 0;
  const auto expect_full = [&] { EXPECT_LE(size - end, 7u) << name << " ends before its size: a field is not listed"; };
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    std::string word;
    words >> word;
    if (word.find('.') == std::string::npos) {
      if (!name.empty()) expect_full();
      name = word;
      end = 0;
      words >> size;
      continue;
    }
    size_t offset = 0, bytes = 0;
    words >> offset >> bytes;
    EXPECT_LT(offset - end, std::min<size_t>(bytes, 8)) << "a field before " << word << " is not listed";
    end = offset + bytes;
  }
  expect_full();
}

TEST(Contract, NamesItsVersion) {
  EXPECT_EQ(LRA_ABI_MAJOR, 1u);
  EXPECT_EQ(LRA_ABI_MINOR, 1u);
}

}  // namespace
