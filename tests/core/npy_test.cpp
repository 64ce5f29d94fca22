// .npy files: what is written comes back, NumPy's own bytes are read, and no damaged file gets through.
#include "core/npy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "core/error.h"
#include "core/file.h"
#include "core/rng.h"

namespace lra {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

class Npy : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("lra-npy-" + std::to_string(getpid()));
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string path() const { return (folder_ / "a.npy").string(); }

  // A file with this header (padded as NumPy does not demand) and these bytes.
  void write(const std::string& header, const std::string& data, char major = 1) {
    const auto length = static_cast<uint32_t>(header.size());
    std::string text = "\x93NUMPY";
    text += {major, '\0', static_cast<char>(length & 0xFF), static_cast<char>(length >> 8 & 0xFF)};
    if (major > 1) text += {static_cast<char>(length >> 16 & 0xFF), static_cast<char>(length >> 24)};
    put(text + header + data);
  }
  // Without the waiting for the disk that an atomic write does.
  void put(const std::string& bytes) const { std::ofstream(path(), std::ios::binary) << bytes; }
  std::string refusal() const {
    try {
      read_npy(path());
      return "";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kData);
      return error.what();
    }
  }
  std::filesystem::path folder_;
};

template <class T>
std::string bytes_of(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

TEST_F(Npy, ComesBackAsItWasWritten) {
  const std::vector<float> numbers{1, 2.5F, -3, 4, 5, 6};
  write_npy(path(), {2, 3}, numbers.data());
  const NpyArray array = read_npy(path());
  EXPECT_THAT(array.shape, ElementsAre(2, 3));
  EXPECT_THAT(array.numbers, ElementsAre(1, 2.5, -3, 4, 5, 6));
  EXPECT_EQ(array.type, "float32");
  const std::vector<double> one{1.0 / 3};
  write_npy(path(), {}, one.data());
  EXPECT_TRUE(read_npy(path()).shape.empty());
  EXPECT_EQ(read_npy(path()).numbers, one);
  EXPECT_EQ(read_npy(path()).type, "float64");
}

TEST_F(Npy, HasTheBytesThatNumpyWrites) {
  const std::vector<float> numbers{1};
  write_npy(path(), {1}, numbers.data());
  const std::string text = read_file(path(), 1000);
  EXPECT_EQ(text.size(), 132u);
  EXPECT_THAT(text, StartsWith(std::string("\x93NUMPY\x01\x00\x76\x00", 10) +
                               "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }"));
  EXPECT_EQ(text[127], '\n');
}

TEST_F(Npy, IsReadInFortranOrderAndInEveryVersion) {
  const std::string numbers = bytes_of<double>({0, 3, 1, 4, 2, 5});
  for (const char major : {char{1}, char{2}, char{3}}) {
    write("{'descr': '<f8', 'fortran_order': True, 'shape': (2, 3), }   \n", numbers, major);
    EXPECT_THAT(read_npy(path()).numbers, ElementsAre(0, 1, 2, 3, 4, 5));
  }
  write("{\"shape\":(3,2),'fortran_order':False,'descr':'<f8'}", numbers);
  EXPECT_THAT(read_npy(path()).shape, ElementsAre(3, 2));
  write("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 3), }", "");
  EXPECT_TRUE(read_npy(path()).numbers.empty());
}

TEST_F(Npy, OfAnotherKindIsRefusedWithTheWayOut) {
  const auto refused = [&](const std::string& header, const std::string& data) {
    write(header, data);
    return refusal();
  };
  EXPECT_THAT(refused("{'descr': '<i8', 'fortran_order': False, 'shape': (1,), }", "12345678"),
              HasSubstr("'<i8'; little-endian float32"));
  EXPECT_THAT(refused("{'descr': '>f4', 'fortran_order': False, 'shape': (1,), }", "1234"), HasSubstr("'>f4'"));
  EXPECT_THAT(refused("{'descr': [('a', '<f4'), ('b', '<f4', (2,))], 'fortran_order': False, 'shape': (1,), }", "1234"),
              HasSubstr("holds records"));
  EXPECT_THAT(refused("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }", "1234"),
              HasSubstr("shape (2, 2) of float32, but 4 bytes"));
  EXPECT_THAT(refused("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", "12345678"), HasSubstr("8 bytes"));
  write("{}", "", 9);
  EXPECT_THAT(refusal(), HasSubstr("version 9"));
  put("PK\x03\x04 an archive of arrays");
  EXPECT_THAT(refusal(), HasSubstr("not a .npy file"));
  EXPECT_THROW(read_npy(path() + ".none"), Error);
}

TEST_F(Npy, WithADamagedHeaderIsRefused) {
  for (const char* header :
       {"", "{", "{'descr': '<f4'}", "{'descr': '<f4', 'fortran_order': 0, 'shape': (1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} more",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': 1}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1, , )}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999999999,)}",
        "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'colour': 'red'}",
        "{'descr': [[[, 'fortran_order': False, 'shape': (1,)}", "{'descr: '<f4', 'fortran_order': False}"}) {
    write(header, "1234");
    EXPECT_THAT(refusal(), HasSubstr("header is damaged")) << header;
  }
  // A product that would overflow.
  write("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 1000000000000, 1000000000000)}", "1234");
  EXPECT_THAT(refusal(), HasSubstr("4 bytes of numbers follow"));
}

TEST_F(Npy, CutOrFlippedAnywhereIsReadOrRefusedButNothingElse) {
  const std::vector<float> numbers{1, 2, 3, 4};
  write_npy(path(), {2, 2}, numbers.data());
  const std::string whole = read_file(path(), 1000);
  for (std::size_t cut = 0; cut < whole.size(); cut += 3) {
    put(whole.substr(0, cut));
    EXPECT_NE(refusal(), "") << "cut at " << cut;
  }
  Rng rng{1, 2};
  for (int i = 0; i < 100; ++i) {
    std::string damaged = whole;
    damaged[rng.below(static_cast<uint32_t>(whole.size()))] = static_cast<char>(rng.below(256));
    put(damaged);
    refusal();
  }
}

}  // namespace
}  // namespace lra
