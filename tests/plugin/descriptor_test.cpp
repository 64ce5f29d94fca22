// The reader of foreign bytes: whatever they are, it returns a descriptor or one sentence, and never reads outside.
#include "plugin/descriptor.h"

#include <elf.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <vector>

#include "core/error.h"
#include "core/rng.h"

namespace lra {
namespace {

std::vector<unsigned char> library() {
  std::ifstream file(std::string(LRA_BAD_PLUGINS_DIR) + "/minimal.so", std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// True if it was read, false if it was refused with a sentence.
bool readable(const std::vector<unsigned char>& bytes) {
  try {
    read_descriptor(bytes.data(), bytes.size());
    return true;
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kPlugin);
    EXPECT_GT(std::strlen(e.what()), 10u);
    return false;
  }
}

TEST(Descriptor, IsReadFromTheFile) {
  const auto bytes = library();
  const Descriptor d = read_descriptor(bytes.data(), bytes.size());
  EXPECT_EQ(d.id, "minimal");
  EXPECT_EQ(d.build, "test");
  EXPECT_EQ(d.abi_major, LRA_ABI_MAJOR);
  EXPECT_EQ(d.real_bytes, sizeof(lra_real));
  EXPECT_NO_THROW(check_descriptor(d));
}

TEST(Descriptor, SurvivesAnyFlippedByte) {
  const auto good = library();
  Elf64_Ehdr header;
  std::memcpy(&header, good.data(), sizeof(header));
  const std::size_t table = header.e_shoff;
  const std::size_t table_bytes = std::size_t{header.e_shnum} * header.e_shentsize;
  Rng rng{1, name_key("flips")};
  int refused = 0;
  for (int round = 0; round < 3000; ++round) {
    auto bytes = good;
    for (uint32_t flips = 1 + rng.below(3); flips > 0; --flips) {
      const std::size_t at = rng.below(2) == 0 ? rng.below(sizeof(header)) : table + rng.below(uint32_t(table_bytes));
      bytes[at] = static_cast<unsigned char>(rng.next());
    }
    refused += readable(bytes) ? 0 : 1;
  }
  EXPECT_GT(refused, 300);
}

TEST(Descriptor, SurvivesEveryLengthOfTheFile) {
  const auto good = library();
  const std::size_t stride = good.size() / 500 + 1;
  for (std::size_t size = 0; size < good.size(); size += stride) {
    EXPECT_FALSE(readable({good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size)})) << size;
  }
}

TEST(Descriptor, SurvivesSectionsThatPointAnywhere) {
  const auto good = library();
  Elf64_Ehdr header;
  std::memcpy(&header, good.data(), sizeof(header));
  for (const uint64_t value : {uint64_t{0}, uint64_t{1}, good.size() - 1, good.size(), UINT64_MAX, UINT64_MAX - 100}) {
    for (std::size_t i = 0; i < header.e_shnum; ++i) {
      for (const std::size_t field : {offsetof(Elf64_Shdr, sh_offset), offsetof(Elf64_Shdr, sh_size)}) {
        auto bytes = good;
        std::memcpy(bytes.data() + header.e_shoff + i * sizeof(Elf64_Shdr) + field, &value, sizeof(value));
        readable(bytes);
      }
    }
    auto bytes = good;
    std::memcpy(bytes.data() + offsetof(Elf64_Ehdr, e_shoff), &value, sizeof(value));
    EXPECT_FALSE(readable(bytes));
  }
}

}  // namespace
}  // namespace lra
