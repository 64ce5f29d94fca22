// Words for people: near names, sizes, durations.
#ifndef LRA_CORE_TEXT_H
#define LRA_CORE_TEXT_H

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lra {

// The candidate within an edit distance that a typing slip explains, or "".
std::string nearest_name(std::string_view name, const std::vector<std::string>& candidates);
// "; did you mean 'performer'?" or "; known: a, b, c".
std::string suggestion(std::string_view name, const std::vector<std::string>& candidates);
// "a, b, c"
std::string join(const std::vector<std::string>& words, std::string_view separator = ", ");
std::vector<std::string> split(std::string_view text, char separator);
// "83.1 MiB"
std::string human_bytes(double bytes);
// "2m 05s"
std::string human_seconds(double seconds);

}  // namespace lra

#endif  // LRA_CORE_TEXT_H
