// Exports as their readers take them apart.
#include "report/export.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>

#include "report/fixture.h"

namespace lra::report {
namespace {

using report_test::made_run;

std::vector<OutputFile> made(const std::string& name, const std::vector<RunRecord>& runs) {
  Collection collection;
  collection.records = runs;
  const auto groups = summarise(collection.records);
  for (const Export* one : exports()) {
    if (name == one->name) return one->make(collection, groups);
  }
  ADD_FAILURE() << name;
  return {};
}

// CRC-32C by its definition, bit by bit.
uint32_t crc32c(const std::string& bytes) {
  uint32_t c = ~0U;
  for (const char byte : bytes) {
    c ^= static_cast<unsigned char>(byte);
    for (int bit = 0; bit < 8; ++bit) c = (c >> 1) ^ ((c & 1U) != 0 ? 0x82F63B78U : 0U);
  }
  return ~c;
}

uint32_t masked(const std::string& bytes) {
  const uint32_t c = crc32c(bytes);
  return ((c >> 15) | (c << 17)) + 0xa282ead8U;
}

template <class T>
T number_at(const std::string& bytes, std::size_t at) {
  T out;
  std::memcpy(&out, bytes.data() + at, sizeof(T));
  return out;
}

// Fields of a protocol buffer message, raw: varints and fixed numbers as 8 bytes, the rest as it is.
std::vector<std::pair<int, std::string>> fields_of(const std::string& bytes) {
  std::vector<std::pair<int, std::string>> out;
  std::size_t at = 0;
  const auto varint = [&] {
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes.at(at++));
      value |= static_cast<uint64_t>(byte & 127U) << shift;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.size()) {
    const uint64_t key = varint();
    std::size_t size = 0;
    switch (key & 7U) {
      case 0: {
        const uint64_t value = varint();
        out.emplace_back(key >> 3, std::string(reinterpret_cast<const char*>(&value), 8));
        continue;
      }
      case 1:
        size = 8;
        break;
      case 2:
        size = varint();
        break;
      case 5:
        size = 4;
        break;
      default:
        ADD_FAILURE() << "wire type " << (key & 7U);
    }
    out.emplace_back(key >> 3, bytes.substr(at, size));
    at += size;
  }
  return out;
}

TEST(TensorBoard, ChecksumIsCastagnolis) { EXPECT_EQ(crc32c("123456789"), 0xE3069283U); }

TEST(TensorBoard, FilesAreFramedEventsWithTheCurve) {
  const auto files = made("tensorboard", {made_run({.accuracy = 0.5})});
  ASSERT_EQ(files.size(), 1u);
  EXPECT_THAT(files[0].name,
              testing::ContainsRegex("^listops/softmax-[0-9a-f]+/s0/events.out.tfevents.1793614272.lra"));
  const std::string& bytes = files[0].bytes;
  std::map<std::string, std::vector<std::pair<uint64_t, float>>> scalars;
  bool first = true;
  for (std::size_t at = 0; at < bytes.size();) {
    const auto size = number_at<uint64_t>(bytes, at);
    ASSERT_EQ(number_at<uint32_t>(bytes, at + 8), masked(bytes.substr(at, 8)));
    const std::string event = bytes.substr(at + 12, size);
    ASSERT_EQ(number_at<uint32_t>(bytes, at + 12 + size), masked(event));
    at += 16 + size;
    uint64_t step = 0;
    for (const auto& [key, value] : fields_of(event)) {
      if (key == 2) step = number_at<uint64_t>(value, 0);
      EXPECT_TRUE(key != 3 || value == "brain.Event:2");
      if (key != 5) continue;
      EXPECT_FALSE(first) << "the version comes first";
      const auto entry = fields_of(fields_of(value).at(0).second);
      scalars[entry.at(0).second].emplace_back(step, number_at<float>(entry.at(1).second, 0));
    }
    first = false;
  }
  EXPECT_THAT(scalars["quality/validation"],
              testing::ElementsAre(std::make_pair(0u, 0.0F), std::make_pair(50u, 0.25F), std::make_pair(100u, 0.5F)));
  EXPECT_EQ(scalars["loss/train"].size(), 2u) << "what is not known is left out";
  EXPECT_EQ(scalars["quality/test"].size(), 1u);
}

TEST(TensorBoard, FoldersOfOddNamesAreTame) {
  const auto files =
      made("tensorboard", {made_run({.variant = "../" + report_test::odd_name() + report_test::long_name()})});
  EXPECT_THAT(files[0].name, testing::MatchesRegex("[A-Za-z0-9._/-]+"));
  EXPECT_EQ(files[0].name.find(".."), std::string::npos);
  EXPECT_LT(files[0].name.size(), 200u);
}

TEST(GithubActionBenchmark, EveryEntryHasNameUnitAndValueInTheFileOfItsDirection) {
  for (const OutputFile& file : made("gha", report_test::golden_runs())) {
    const Json entries = Json::parse(file.bytes);
    ASSERT_FALSE(entries.empty());
    std::vector<std::string> names;
    for (const Json& entry : entries) {
      names.push_back(entry.at("name").get<std::string>());
      EXPECT_TRUE(entry.at("value").is_number());
      EXPECT_TRUE(entry.at("unit").is_string());
      const bool smaller = names.back().find("memory") != std::string::npos ||
                           names.back().find("step") != std::string::npos ||
                           names.back().find("kept") != std::string::npos;
      EXPECT_EQ(smaller, file.name == "smaller.json") << names.back();
    }
    std::sort(names.begin(), names.end());
    EXPECT_EQ(std::adjacent_find(names.begin(), names.end()), names.end()) << "names are unique";
  }
}

TEST(Bencher, EveryMeasureHasAValueWithinItsBounds) {
  const Json out = Json::parse(made("bmf", report_test::golden_runs()).front().bytes);
  EXPECT_DOUBLE_EQ(out.at("small/listops/softmax").at("throughput").at("value").get<double>(), 10.0 * 144 * 32);
  for (const auto& [benchmark, measures] : out.items()) {
    for (const auto& [measure, metric] : measures.items()) {
      EXPECT_LE(metric.at("lower_value"), metric.at("value")) << benchmark << measure;
      EXPECT_GE(metric.at("upper_value"), metric.at("value")) << benchmark << measure;
    }
  }
}

TEST(Junit, CountsAgreeWithTheCases) {
  const std::string text =
      made("junit", {made_run({}), made_run({.status = "at_chance", .seed = 1}), made_run({.status = "oom", .seed = 2}),
                     made_run({.status = "interrupted", .seed = 3})})
          .front()
          .bytes;
  EXPECT_THAT(text, testing::HasSubstr("tests=\"4\" failures=\"1\" errors=\"1\" skipped=\"1\""));
  EXPECT_THAT(text, testing::HasSubstr(
                        "<failure type=\"at_chance\" message=\"test accuracy, % 50.0, no better than guessing\"/>"));
  EXPECT_THAT(text, testing::HasSubstr("<error type=\"oom\" message=\"loss is nan at step 7\"/>"));
}

}  // namespace
}  // namespace lra::report
