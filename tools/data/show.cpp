// Three ways to read a token: a word of ListOps, a byte of a text, a number; pixels are drawn.
#include "tools/data/show.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

#include "core/error.h"
#include "core/text.h"
#include "data/byte_text.h"
#include "tasks/listops.h"

namespace lra::datatool {
namespace {

using data::Token;

constexpr int64_t kPictureSide = 96;  // a picture of a sheet has at least so many pixels
constexpr int64_t kSheetColumns = 8;
constexpr std::string_view kInk = " .:-=+*#%@";  // of a picture in text, dark to bright
constexpr const char* kPlain = "\x1b[0m";
constexpr const char* kLabel = "\x1b[1;32m";
constexpr const char* kFaint = "\x1b[2m";
constexpr std::array kLevels{"\x1b[36m", "\x1b[33m", "\x1b[35m", "\x1b[32m", "\x1b[34m", "\x1b[31m"};  // of nesting

std::string dyed(const std::string& text, const char* colour, Colours colours) {
  return colours == Colours::kYes ? colour + text + kPlain : text;
}

// Operators and the brackets that close them have the colour of their depth.
std::string words(std::span<const Token> tokens, Colours colours) {
  std::string out;
  std::size_t level = 0;
  for (const Token token : tokens) {
    if (!out.empty()) out += ' ';
    const bool closes = token == tasks::listops::kClose;
    if (closes && level > 0) --level;
    const std::string word = tasks::listops::word(token);
    out += closes || tasks::listops::is_operator(token) ? dyed(word, kLevels[level % kLevels.size()], colours) : word;
    if (tasks::listops::is_operator(token)) ++level;
  }
  return out;
}

// A byte that a terminal should not see is written \x1b, in a faint colour.
std::string printable(const std::string& text, Colours colours) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f) {
      out += c;
    } else {
      out += dyed(byte == '\n' ? "\\n" : fmt::format("\\x{:02x}", byte), kFaint, colours);
    }
  }
  return out;
}

std::string bytes_of(std::span<const Token> tokens, const data::Shape& shape) {
  if (shape.vocab == data::kByteVocabulary) return data::byte_text(tokens);
  std::string text;
  for (const Token token : tokens) text += static_cast<char>(token);
  return text;
}

bool is_text(const data::Shape& shape) {
  return shape.height == 0 &&
         (shape.vocab == data::kByteVocabulary || (shape.next_token && shape.vocab == data::kByteVocabulary - 1));
}

std::string numbers(std::span<const Token> tokens) { return fmt::format("{}", fmt::join(tokens, " ")); }

std::string lines(std::span<const Token> pixels, const data::Shape& shape) {
  std::string out;
  for (int64_t y = 0; y < shape.height; ++y) {
    for (int64_t x = 0; x < shape.width; ++x) {
      const auto pixel = static_cast<int64_t>(pixels[static_cast<std::size_t>(y * shape.width + x)]);
      out += kInk[static_cast<std::size_t>(pixel * std::ssize(kInk) / shape.vocab)];
    }
    out += '\n';
  }
  return out;
}

std::string reading(const std::string& task, const data::Shape& shape, std::span<const Token> tokens, Colours colours) {
  if (task == "listops") return words(tokens, colours);
  return is_text(shape) ? printable(bytes_of(tokens, shape), colours) : numbers(tokens);
}

// The part of the window that the split has. Throws Error(kUsage) if it has none.
std::pair<int64_t, int64_t> range_of(const data::Split& split, const Window& window) {
  if (window.first >= split.size()) {
    throw Error(ErrorKind::kUsage, fmt::format("--first is {}; {} has {} examples, choose 0 to {}", window.first,
                                               data::split_name(window.split), split.size(), split.size() - 1));
  }
  return {window.first, std::min(split.size(), window.first + window.count)};
}

}  // namespace

std::string examples_text(const std::string& task, const data::Dataset& data, const Window& window, int64_t most,
                          Colours colours) {
  const data::Split& split = data.split(window.split);
  const data::Shape& shape = data.shape();
  const auto [begin, end] = range_of(split, window);
  std::string out;
  for (int64_t i = begin; i < end; ++i) {
    out += dyed(shape.next_token ? fmt::format("{} {}", data::split_name(window.split), i)
                                 : fmt::format("{} {}: {}", data::split_name(window.split), i, split.label(i)),
                kLabel, colours) +
           "\n";
    for (int part = 0; part < split.parts(); ++part) {
      const auto tokens = split.tokens(i, part);
      if (shape.height > 0) {
        out += lines(tokens, shape);
        continue;
      }
      const std::size_t shown = most > 0 ? std::min(tokens.size(), static_cast<std::size_t>(most)) : tokens.size();
      out += reading(task, shape, tokens.first(shown), colours);
      if (shown < tokens.size())
        out += dyed(fmt::format(" ... {} more tokens", tokens.size() - shown), kFaint, colours);
      out += '\n';
    }
    if (i + 1 < end) out += '\n';
  }
  return out;
}

Json examples_json(const std::string& task, const data::Dataset& data, const Window& window) {
  const data::Split& split = data.split(window.split);
  const auto [begin, end] = range_of(split, window);
  Json out = Json::array();
  for (int64_t i = begin; i < end; ++i) {
    Json sequences = Json::array();
    for (int part = 0; part < split.parts(); ++part) {
      const auto tokens = split.tokens(i, part);
      sequences.push_back(
          {{"tokens", std::vector<Token>(tokens.begin(), tokens.end())},
           {"text",
            data.shape().height > 0 ? Json(nullptr) : Json(reading(task, data.shape(), tokens, Colours::kNo))}});
    }
    out.push_back({{"example", i},
                   {"label", data.shape().next_token ? Json(nullptr) : Json(split.label(i))},
                   {"sequences", sequences}});
  }
  return out;
}

inspect::Image sheet_of(const data::Dataset& data, const Window& window) {
  const data::Split& split = data.split(window.split);
  const data::Shape& shape = data.shape();
  const auto [begin, end] = range_of(split, window);
  const int64_t cell = std::max<int64_t>(1, (kPictureSide + shape.width - 1) / shape.width);
  std::vector<std::pair<std::string, inspect::Image>> pictures;
  for (int64_t i = begin; i < end; ++i) {
    const auto pixels = split.tokens(i);
    inspect::Image picture(shape.width * cell, shape.height * cell, {0, 0, 0});
    for (int64_t y = 0; y < picture.height; ++y) {
      for (int64_t x = 0; x < picture.width; ++x) {
        const auto token = static_cast<int64_t>(pixels[static_cast<std::size_t>(y / cell * shape.width + x / cell)]);
        const auto gray = static_cast<unsigned char>(token * 255 / (shape.vocab - 1));
        picture.set(x, y, {gray, gray, gray});
      }
    }
    pictures.emplace_back(fmt::format("{} is {}", i, split.label(i)), std::move(picture));
  }
  return inspect::contact_sheet(pictures, kSheetColumns);
}

}  // namespace lra::datatool
