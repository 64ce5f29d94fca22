// Text as bytes, numbered as Long Range Arena does: token = byte + 1 and 257 tokens in all. Token 0 is the published
// padding; it never occurs here and is counted so that a model has as many parameters as a published one.
#ifndef LRA_DATA_BYTE_TEXT_H
#define LRA_DATA_BYTE_TEXT_H

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "data/task.h"

namespace lra::data {

inline constexpr int64_t kByteVocabulary = 257;

// The first `most` bytes of a text.
inline std::vector<Token> byte_tokens(std::string_view text, int64_t most) {
  const std::string_view kept = text.substr(0, static_cast<std::size_t>(most));
  std::vector<Token> tokens(kept.size());
  std::ranges::transform(kept, tokens.begin(),
                         [](char byte) { return static_cast<Token>(static_cast<unsigned char>(byte) + 1); });
  return tokens;
}
inline std::string byte_text(std::span<const Token> tokens) {
  std::string text;
  for (const Token token : tokens) text += static_cast<char>(token - 1);
  return text;
}

}  // namespace lra::data

#endif  // LRA_DATA_BYTE_TEXT_H
