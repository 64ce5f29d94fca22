// JSON as the house reads and writes it: keys in the order written, nesting and size bounded, never NaN.
#ifndef LRA_CORE_JSON_H
#define LRA_CORE_JSON_H

#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "core/json_fwd.h"

namespace lra {

// What is read of a file at most; more is no file of ours.
inline constexpr std::size_t kMostBytesOfJson = std::size_t{256} << 20;
// Parses `text`; `origin` opens the message. Throws Error(kData) with line and column, or if nested deeper than 64
// levels.
Json parse_json(const std::string& text, const std::string& origin);
// Reads and parses a file of at most kMostBytesOfJson. Throws Error(kData) or Error(kIo).
Json read_json(const std::string& path);
// Two-space indented text with a final newline. A number that is not finite is a bug of ours: LRA_ASSERT.
std::string json_text(const Json& json);
// The number, or null if it is not finite.
Json finite_or_null(double value);
// What there is, or null.
Json or_null(const std::optional<double>& value);
Json or_null(const std::string& text);
// A text as it is, anything else as JSON writes it: for people, and for options given as words.
std::string plain_word(const Json& value);

}  // namespace lra

#endif  // LRA_CORE_JSON_H
