// UTF-8 by its definition; widths by the blocks that matter for names.
#include "report/unicode.h"

#include <algorithm>
#include <array>

namespace lra::report {
namespace {

constexpr char32_t kUnknown = 0xFFFD;

struct Range {
  char32_t first, last;
};
template <std::size_t N>
bool within(char32_t point, const std::array<Range, N>& ranges) {
  return std::any_of(ranges.begin(), ranges.end(),
                     [point](const Range& range) { return point >= range.first && point <= range.last; });
}

constexpr std::array<Range, 7> kUnprintable{{{0, 0x1F},
                                             {0x7F, 0x9F},
                                             {0x2028, 0x202E},
                                             {0x2066, 0x2069},
                                             {0x200E, 0x200F},
                                             {0xFEFF, 0xFEFF},
                                             {0xFFF9, 0xFFFB}}};
constexpr std::array<Range, 5> kCombining{
    {{0x300, 0x36F}, {0x200B, 0x200D}, {0x20D0, 0x20FF}, {0xFE00, 0xFE0F}, {0x1F3FB, 0x1F3FF}}};
constexpr std::array<Range, 8> kWide{{{0x1100, 0x115F},
                                      {0x2E80, 0xA4CF},
                                      {0xAC00, 0xD7A3},
                                      {0xF900, 0xFAFF},
                                      {0xFF00, 0xFF60},
                                      {0x1F300, 0x1F64F},
                                      {0x1F680, 0x1FAFF},
                                      {0x20000, 0x3FFFD}}};

std::size_t width(char32_t point) { return within(point, kCombining) ? 0 : within(point, kWide) ? 2 : 1; }

}  // namespace

std::vector<char32_t> code_points(std::string_view text) {
  std::vector<char32_t> out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const std::size_t size = lead < 0x80 ? 1 : lead >> 5 == 6 ? 2 : lead >> 4 == 14 ? 3 : lead >> 3 == 30 ? 4 : 0;
    char32_t point = size == 1 ? lead : size == 0 ? kUnknown : lead & (0x7FU >> size);
    std::size_t taken = 1;
    for (; taken < size && i + taken < text.size(); ++taken) {
      const auto next = static_cast<unsigned char>(text[i + taken]);
      if (next >> 6 != 2) break;
      point = point << 6 | (next & 0x3FU);
    }
    constexpr std::array<char32_t, 5> kLeast{0, 0, 0x80, 0x800, 0x10000};
    const bool whole = size > 0 && taken == size && point >= kLeast[size] && point <= 0x10FFFF &&
                       !(point >= 0xD800 && point <= 0xDFFF);
    out.push_back(whole ? point : kUnknown);
    i += whole ? size : 1;
  }
  return out;
}

std::string utf8(char32_t point) {
  const auto byte = [](char32_t bits) { return static_cast<char>(static_cast<unsigned char>(bits)); };
  if (point < 0x80) return {byte(point)};
  if (point < 0x800) return {byte(0xC0 | point >> 6), byte(0x80 | (point & 0x3F))};
  if (point < 0x10000) return {byte(0xE0 | point >> 12), byte(0x80 | (point >> 6 & 0x3F)), byte(0x80 | (point & 0x3F))};
  return {byte(0xF0 | point >> 18), byte(0x80 | (point >> 12 & 0x3F)), byte(0x80 | (point >> 6 & 0x3F)),
          byte(0x80 | (point & 0x3F))};
}

std::string one_line(std::string_view text) {
  std::string out;
  for (const char32_t point : code_points(text)) out += utf8(within(point, kUnprintable) ? kUnknown : point);
  return out;
}

std::size_t columns(std::string_view text) {
  std::size_t out = 0;
  for (const char32_t point : code_points(text)) out += width(point);
  return out;
}

std::string clipped(std::string_view text, std::size_t most) {
  if (columns(text) <= most) return std::string(text);
  std::string out;
  std::size_t used = 1;  // the sign of omission
  for (const char32_t point : code_points(text)) {
    used += width(point);
    if (used > most) break;
    out += utf8(point);
  }
  return out + "…";
}

}  // namespace lra::report
