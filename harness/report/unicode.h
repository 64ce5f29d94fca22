// Names from files made safe to show: one line, nothing that a terminal or an editor would obey, a known width.
#ifndef LRA_REPORT_UNICODE_H
#define LRA_REPORT_UNICODE_H

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace lra::report {

// Code points of UTF-8 text; U+FFFD for each byte that is not part of any.
std::vector<char32_t> code_points(std::string_view text);
std::string utf8(char32_t point);

// Control characters, line breaks and marks that turn the direction of writing become U+FFFD.
std::string one_line(std::string_view text);
// Columns of a terminal that the text fills: wide characters count 2, combining ones 0.
std::size_t columns(std::string_view text);
// The text, or its beginning and "…" so that it fills at most `most` columns.
std::string clipped(std::string_view text, std::size_t most);

}  // namespace lra::report

#endif  // LRA_REPORT_UNICODE_H
