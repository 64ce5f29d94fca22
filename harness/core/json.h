// JSON as the house reads and writes it: keys in the order written, nesting and size bounded, never NaN.
#ifndef LRA_CORE_JSON_H
#define LRA_CORE_JSON_H

#include <nlohmann/json.hpp>
#include <string>

#include "core/json_fwd.h"

namespace lra {

// Parses `text`; `origin` opens the message. Throws Error(kData) with line and column, or if nested deeper than 64
// levels.
Json parse_json(const std::string& text, const std::string& origin);
// Reads and parses a file of at most 256 MiB. Throws Error(kData) or Error(kIo).
Json read_json(const std::string& path);
// Two-space indented text with a final newline. A number that is not finite is a bug of ours: LRA_ASSERT.
std::string json_text(const Json& json);
// The number, or null if it is not finite.
Json finite_or_null(double value);

}  // namespace lra

#endif  // LRA_CORE_JSON_H
