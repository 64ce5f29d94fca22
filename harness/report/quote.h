// Text put between the quotes of other languages.
#ifndef LRA_REPORT_QUOTE_H
#define LRA_REPORT_QUOTE_H

#include <string>
#include <string_view>

namespace lra::report {

// & < > " ' as entities: safe in text and in attributes of HTML, XML and SVG.
std::string html_text(std::string_view text);
// A field of a CSV file. Text that a spreadsheet would take for a formula gets a quote before it.
std::string csv_field(std::string_view text);
// Text of a LaTeX document. Letters outside Latin-1, which pdflatex has no glyph for, are given by their number.
std::string latex_text(std::string_view text);

}  // namespace lra::report

#endif  // LRA_REPORT_QUOTE_H
